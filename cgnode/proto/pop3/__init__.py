"""POP3 (RFC 1939, RFC 2449, RFC 2595, RFC 3206, RFC 5034), without I/O: a server's core and
a proxy's log-in at a server.

What lives here: the dialogue until log-in, which is all that a frontend needs (``login``),
the maildrop behind it (``server``), and the client's half (``client``).  What must not:
sockets, clocks, files, and who may read what.
"""
