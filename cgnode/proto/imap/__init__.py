"""IMAP4rev1 (RFC 3501), without I/O: a server's core and a proxy's log-in at a server.

What lives here: octets to commands (``reader``, ``scanner``, ``parse``), commands as
values (``commands``, ``search``), answers to octets (``encode``, ``codes``, ``responses``,
``answers``, ``fetching``), whose turn it is (``states``, ``dialogue``), a server until
log-in (``login``) and behind it (``server``, which asks its shell by ``events``), a mailbox
as a client has been told of it (``view``), messages taken apart (``mime``, ``structure``),
what a shell needs to answer LIST and SEARCH (``listing``, ``matching``), and the client's
half (``client``).  What must not: sockets, clocks, files, and who may read what.
"""
