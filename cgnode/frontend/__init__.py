"""The frontend: it takes mail and sessions, and passes them to the hosts of the accounts.

What lives here: ``queue``, where accepted mail waits, and ``bounce``, what its senders are
told.  What must not: protocols (``cgnode.proto``), the directory.
"""
