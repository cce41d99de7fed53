"""The embedded engine: Maildir++ in plain Python.

A **storage** is a folder that can be carried to another host as it is:

    cgnode-storage                      format and owner (``storage``)
    cgnode-attached                     held by the process that serves it (``backend.storages``)
    example.com/alice/cgnode-account    whose it is (``identities``)
    example.com/alice/Maildir/          an account, INBOX
        cur/ new/ tmp/                  messages, one file each, all line ends CRLF
        .Sent/ .Lists.Python/ ...       folders, each with the same inside
        cgnode-uids                     of each folder: UIDs, keywords, mod-sequences (``uidlist``)
        cgnode-uidvalidity              the last that was given out
        cgnode-lock, cgnode-pop3        what processes hold while they work here (``guard``, ``maildrop``)
        subscriptions, maildirsize      as Dovecot and Courier have them
    .accounts/                          by identity: which account that is
    .removed/example.com/bob.20260102T030405Z/     accounts that were set aside

The files are the truth: a message is there when its file is, its system flags are those of
the file's name.  What ``cgnode-uids`` adds can be lost without losing mail.  Other programs
may deliver, rename and delete beside us.
"""
