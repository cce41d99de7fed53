"""Mail protocols as sans-IO cores: bytes in, events out; answers in, bytes out.

What lives here: dialogues.  What must not: sockets, clocks, files, Twisted; accounts,
queues and mailboxes, of which a core knows what its shell answers.

The shell calls ``begin`` (what a server says first), ``receive`` with what has arrived,
and ``next_event`` until that is None.  An event that is ``bytes`` is to be sent.  Another
event asks for something, and its answer is a method of the core, which returns bytes to
send; until then the commands behind it wait.  ``backlog`` says when to stop reading.
"""
