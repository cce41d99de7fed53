"""POP3 over the mail store: the shell of ``cgnode.proto.pop3.server``.

What lives here: the session (``session``), and what all sessions have in common (``service``).
"""
