"""SMTP (RFC 5321), message submission (RFC 6409) and LMTP (RFC 2033), both sides.

``server`` and ``client`` are the cores.  What both have in common, with their shells and
with a queue between them: ``address``, ``envelope``, ``reply``.  The server's parts:
``states`` (tables of states and roles, what a listener offers, limits), ``commands``,
``standing``, ``message``, ``answers``, and ``events``, which its shell sees.  The client's:
``opening`` (how to talk to a destination), ``delivery`` (results).
"""
