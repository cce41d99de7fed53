"""What an IMAP server's core asks of its shell, and what it is told (RFC 3501 section 6).

What lives here: a frozen class per question.  Messages are named by UID, ascending, and
all of them are messages that the client has been told of.  Questions that are the
client's command word for word are that command (``commands``).

An event waits for its answer, and every command behind it with it, unless it says that it
does not.  Any question may be answered by ``no``.
"""

from __future__ import annotations

from typing import TypeAlias

from attrs import field, frozen

from cgnode.proto import sasl
from cgnode.proto.imap import commands as c
from cgnode.proto.imap.fetching import Needs
from cgnode.proto.imap.search import Key

# --- the connection ----------------------------------------------------------------------


@frozen
class StartTLS:
    """Send ``answer``, then begin the handshake.  Answered by ``tls_started``."""

    answer: bytes


@frozen
class Identified:
    """What the client says of itself (RFC 2971), names in lower case.  No answer."""

    fields: tuple[tuple[bytes, bytes], ...]


@frozen
class Closed:
    """The end: send ``last_words`` and close.  ``reason`` is for the log, "" when the
    client said good-bye.  Nothing that was asked wants an answer any more, and what an
    APPEND has brought is to be dropped."""

    last_words: bytes
    reason: str


# --- log-in ------------------------------------------------------------------------------
# Besides these: ``sasl.Credentials`` and ``sasl.Proven``, answered by ``accept`` once
# everything is ready for the user, and ``sasl.KeysWanted``, answered by ``keys``.


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


# --- mailboxes ---------------------------------------------------------------------------


@frozen
class Leave:
    r"""The mailbox is closed; ``expunge``: what is \Deleted is removed first, and nothing
    is said of it (RFC 3501 section 6.4.2).  Answered by ``ok``."""

    expunge: bool


@frozen
class AppendMessage:
    """A message of ``size`` octets is announced, with its internal ``date`` in seconds since
    1970.  Answered by ``ready``, or ``no`` with TRYCREATE, OVERQUOTA ...  ``first``: of
    those that this APPEND brings."""

    mailbox: str
    flags: tuple[str, ...]
    date: int | None
    size: int
    first: bool


@frozen
class AppendOctets:
    """Some of its octets.  No answer but, if need be, ``no``."""

    data: bytes = field(repr=False)
    last: bool


@frozen
class AppendEnd:
    """All messages are there: add them, all or none.  Answered by ``appended``."""


@frozen
class AppendDropped:
    """There is no end to it: drop what has come.  No answer."""


@frozen
class IdleBegun:
    """Until ``IdleEnded``, ``update`` gives octets to send at once.  No answer."""


@frozen
class IdleEnded:
    """No answer."""


# --- messages ----------------------------------------------------------------------------


@frozen
class ExpungeMessages:
    r"""Remove what is \Deleted, of ``uids`` if they are given: tell it by ``update`` and
    then answer ``ok``."""

    uids: tuple[int, ...] | None


@frozen
class SearchMessages:
    """Which of ``uids`` match.  Answered by ``found``."""

    uids: tuple[int, ...]
    key: Key
    modseqs: bool
    """The mod-sequences of what is found are needed too."""


@frozen
class FetchMessages:
    r"""Answered by ``fetched`` for each message that is there, and then ``ok``.

    ``see``: set \Seen.  ``changed_since``: leave out those whose mod-sequence is not
    above it.
    """

    uids: tuple[int, ...]
    items: tuple[c.FetchItem, ...]
    needs: Needs
    see: bool
    changed_since: int | None


@frozen
class StoreFlags:
    """Answered by ``stored``.  ``unchanged_since``: leave alone those whose mod-sequence
    is above it."""

    uids: tuple[int, ...]
    change: c.Change
    flags: tuple[str, ...]
    unchanged_since: int | None


@frozen
class CopyMessages:
    """Answered by ``copied``."""

    uids: tuple[int, ...]
    mailbox: str


@frozen
class MoveMessages:
    """Tell by ``update`` what has left, then answer ``copied``."""

    uids: tuple[int, ...]
    mailbox: str


Login: TypeAlias = sasl.Credentials | sasl.KeysWanted | sasl.Proven | ProofFailed

Notice: TypeAlias = (
    Identified
    | LoginDropped
    | LoggedIn
    | Joined
    | AppendOctets
    | AppendDropped
    | IdleBegun
    | IdleEnded
    | Closed
)

Question: TypeAlias = (
    StartTLS
    | Login
    | c.Noop
    | c.Check
    | c.Select
    | c.Create
    | c.Delete
    | c.Rename
    | c.Subscribe
    | c.Unsubscribe
    | c.List
    | c.Lsub
    | c.Status
    | c.GetQuota
    | c.GetQuotaRoot
    | Leave
    | AppendMessage
    | AppendEnd
    | ExpungeMessages
    | SearchMessages
    | FetchMessages
    | StoreFlags
    | CopyMessages
    | MoveMessages
)

Event: TypeAlias = bytes | Notice | Question
"""``bytes`` are ready to be sent."""
