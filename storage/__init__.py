"""Durable state of a directory: entries, indexes, placements and changes in LMDB.

What lives here: bytes and how they are kept.  What must not: protocols, schema,
matching rules (callers hand over normalised bytes), Twisted.
"""
