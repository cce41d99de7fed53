"""What the backend's IMAP and POP3 have in common: who is let in, whose mailbox is here, jobs
that block, and which sessions there are.

What must not live here: either protocol's words, how mail is kept.
"""
