"""IMAP over the mail store: the shell of ``cgnode.proto.imap.server``.

What lives here: what each of the core's questions costs the store (``folders``, ``messages``,
``searching``, ``fetching``, ``appending``, none of which know Twisted), and the session that
asks them in threads and hears of changes (``session``).
"""
