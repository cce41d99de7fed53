"""What a POP3 server's core asks of its shell, and what it is told.

What lives here: a frozen class per question.  Messages are named by their place in what
the shell gave with its ``accept``, the first being 0.  An event waits for its answer, and
every command behind it with it, unless it says that it does not.  Any question may be
answered by ``no``.
"""

from __future__ import annotations

from typing import TypeAlias

from attrs import frozen

from cgnode.proto import sasl


@frozen
class StartTLS:
    """Send ``answer``, then begin the handshake.  Answered by ``tls_started``."""

    answer: bytes


@frozen
class Forwarded:
    """What a trusted proxy says of the client, names in capitals: ADDR, PORT, SESSION,
    TTL, as Dovecot has them.  No answer."""

    fields: tuple[tuple[str, str], ...]


# Besides these: ``sasl.Credentials`` and ``sasl.Proven``, answered by ``accept`` once the
# maildrop is open, and ``sasl.KeysWanted``, answered by ``keys``.


@frozen
class ProofFailed:
    """The client has not shown that it knows the password of ``authcid``.  Answered by
    ``no``, at the shell's leisure."""

    authcid: str


@frozen
class LoginDropped:
    """What was accepted has not come to an end: the client gave up.  No answer."""


@frozen
class LoggedIn:
    """The client has been told.  No answer."""


@frozen
class Joined:
    """The client has been told, and the core is done: what it gives as ``unread`` is for
    whoever goes on.  No answer."""


@frozen
class Retrieve:
    """Answered by ``content`` for each piece of the message, and then ``content_end``.

    ``lines``: no more of the body than so many; ``enough`` says when to stop.
    """

    place: int
    lines: int | None


@frozen
class Update:
    """Remove ``deleted``; ``retrieved`` have been read.  Answered by ``updated``."""

    deleted: tuple[int, ...]
    retrieved: tuple[int, ...]


@frozen
class Closed:
    """The end: send ``last_words`` and close.  ``reason`` is for the log, "" when the
    client said good-bye."""

    last_words: bytes
    reason: str


Notice: TypeAlias = Forwarded | LoginDropped | LoggedIn | Joined | Closed
Question: TypeAlias = (
    StartTLS | sasl.Credentials | sasl.KeysWanted | sasl.Proven | ProofFailed | Retrieve | Update
)
Event: TypeAlias = bytes | Notice | Question
"""``bytes`` are ready to be sent."""
