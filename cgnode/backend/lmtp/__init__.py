"""LMTP (RFC 2033): frontends bring the mail of the accounts that are hosted here.

``service`` makes the connections' handlers (``session``); ``recipients`` says who is taken,
``letter`` keeps a message's text on its way, ``delivering`` puts it into mailboxes.  What
must not live here: the dialogue's rules (``proto.smtp``), how mail is kept (``store``), a
queue: what can't be stored now is the sender's to bring again.
"""
