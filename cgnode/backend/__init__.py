"""The backend: it stores the mail of the accounts that the directory gives it.

What lives here: ``store``, the interface to a mail store, and its engines.  What must not:
protocols (``cgnode.proto``), Twisted, the directory.
"""
