"""The durable mail queue: what was accepted is kept until its fate is settled.

The parts, from the disk upwards; none knows those below it in this list:

``frames``     records with checksums, and how to find them again in a damaged file
``log``        the segment files: append, sync, give room back
``committer``  the thread that syncs once for all who wait
``entries``    what the records say: messages, changes, ends
``spool``      contents, big ones in files of their own; what a start finds
``message``    a queued message in memory
``lane``       one destination: how many at a time, whether it lives
``schedule``   who is tried when; pure
``mailqueue``  all of it together, for the shell; ``listing`` is its face for operators

``policy`` has what an operator says of it, ``values`` what the shell and the queue tell each
other, ``errors`` how it fails.

What must not live here: Twisted, sockets, protocols, routing.
"""
