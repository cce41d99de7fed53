"""The backend: it stores the mail of the accounts that the directory gives it.

``store`` is the interface to a mail store and ``maildir`` its engine, which know nothing of
the directory and of protocols; ``storages``, ``mailboxes`` and ``upkeep`` say whose mail is
in them; ``lmtp``, ``imap`` and ``pop3`` serve it, ``sessions`` is what these two share;
``service`` makes one backend of all.
"""
