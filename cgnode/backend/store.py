"""What a backend asks of its mail store: one interface, whatever engine is behind it.

What lives here: the protocols that an engine fulfils, the values that cross them and the
family of errors.  What must not: anything an engine does.

The methods block, on the disk and on each other, so a shell runs them in threads.  Any object
may be used from any thread; of a ``View`` only one method at a time.  Folder names are
Unicode with ``/`` between the levels; ``INBOX`` is that in any case.  Flags are as on the
wire, system flags with their backslash.  Sizes count octets as the wire sends them, every
line ending as CRLF.  Dates are seconds since 1970.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import Enum
from types import TracebackType
from typing import Final, Protocol, Self

from attrs import field, frozen

INBOX: Final = "INBOX"
DELIMITER: Final = "/"
SEEN, ANSWERED, FLAGGED, DELETED, DRAFT = "\\Seen", "\\Answered", "\\Flagged", "\\Deleted", "\\Draft"

# The folders that an account begins with, subscribed, and their attributes of RFC 6154.
SPECIAL_USE: Final = {
    "Sent": "\\Sent",
    "Drafts": "\\Drafts",
    "Trash": "\\Trash",
    "Junk": "\\Junk",
    "Archive": "\\Archive",
}


# --- errors ------------------------------------------------------------------------------


class MailStoreError(Exception):
    """Something that the store did not do; the text is for the log and for operators."""


class BadName(MailStoreError):
    """No account, folder or keyword can have this name."""


class NoSuchAccount(MailStoreError):
    """It is in no attached storage, and was not to be created."""


class AccountExists(MailStoreError):
    """The name is taken."""


class NoSuchFolder(MailStoreError):
    """IMAP: NONEXISTENT, or TRYCREATE where a message was to go there."""


class FolderExists(MailStoreError):
    """The name is taken."""


class NotForInbox(MailStoreError):
    """INBOX is not to be deleted, nor a folder moved into itself."""


class OverQuota(MailStoreError):
    """The account may not hold that much.  Nothing was stored."""


class StorageFull(MailStoreError):
    """No room on the disk.  Nothing was stored; what there was can be read and expunged."""


class StorageFailed(MailStoreError):
    """The disk or its file system failed; whether it will later work is not known."""


class StorageAway(MailStoreError):
    """The storage that holds the account is not attached, or which one does is not clear."""


class StorageUnusable(MailStoreError):
    """Not a storage, or one of a format that this version does not know."""


class Gone(MailStoreError):
    """What was open (account, folder, message) has been removed, renamed or built anew."""


class InUse(MailStoreError):
    """Another POP3 session has the maildrop."""


# --- values ------------------------------------------------------------------------------


@frozen
class Message:
    """What is known of a message without opening it."""

    uid: int
    modseq: int
    date: int
    size: int
    flags: frozenset[str]


@frozen
class Quota:
    """What an account may hold; None: as much as it likes."""

    size: int | None = None
    messages: int | None = None


@frozen
class Usage:
    size: int
    messages: int


@frozen
class Folder:
    """A folder, or (``exists`` false) a mere level above one or a subscribed name without one."""

    name: str
    exists: bool
    subscribed: bool
    special_use: str | None


@frozen
class Status:
    """RFC 3501 STATUS, RFC 7162 HIGHESTMODSEQ, RFC 8438 SIZE, RFC 9051 DELETED."""

    messages: int
    recent: int
    unseen: int
    deleted: int
    size: int
    uidnext: int
    uidvalidity: int
    highest_modseq: int


@frozen
class New:
    """A message for ``Account.append``; without a date it is of now."""

    incoming: Incoming
    flags: frozenset[str] = frozenset()
    date: int | None = None


@frozen
class Appended:
    """RFC 4315 APPENDUID."""

    uidvalidity: int
    uids: tuple[int, ...]


@frozen
class Copied:
    """RFC 4315 COPYUID: pairs of a UID here and the one there."""

    uidvalidity: int
    pairs: tuple[tuple[int, int], ...]


class How(Enum):
    """What ``View.store`` does with the flags it is given."""

    REPLACE = "FLAGS"
    ADD = "+FLAGS"
    REMOVE = "-FLAGS"


@frozen
class Stored:
    """``messages``: those that were there, as they are now.  ``changed``: the UIDs that were not so
    before.  ``modified``: the UIDs that UNCHANGEDSINCE kept from being touched."""

    messages: tuple[Message, ...]
    changed: frozenset[int]
    modified: tuple[int, ...]


@frozen
class Changes:
    """What a session is to be told, in this order.

    ``expunged`` are sequence numbers, each valid once those before it have been sent.
    ``exists`` is None where no message has come.  ``updated`` has sequence numbers of after
    all that.
    """

    expunged: tuple[int, ...] = ()
    exists: int | None = None
    recent: int = 0
    updated: tuple[tuple[int, Message], ...] = ()


@frozen
class Criteria:
    """What SEARCH can ask of a message without opening it; all of it must hold.

    ``since`` and ``before`` bound the date, ``larger`` and ``smaller`` the size (exclusively,
    as RFC 3501 has them), ``modseq`` is the least.
    """

    flagged: frozenset[str] = frozenset()
    unflagged: frozenset[str] = frozenset()
    since: int | None = None
    before: int | None = None
    larger: int | None = None
    smaller: int | None = None
    modseq: int | None = None


@frozen
class Drop:
    """A message of a maildrop.  ``uidl`` stays as it is when the account moves to another host."""

    uid: int
    size: int
    uidl: str


@frozen
class Removed:
    """An account that was set aside; ``name`` tells it from others of the same address."""

    address: str
    name: str
    date: int
    home: str


@frozen
class Problem:
    """A fault that a check found; ``repaired`` where it also mended it."""

    place: str
    text: str
    repaired: bool = field(default=False)


# --- protocols ---------------------------------------------------------------------------


class Closable(Protocol):
    def close(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...


class Content(Closable, Protocol):
    """The octets of a message, as the wire sends them.  Stays readable when the message is expunged."""

    @property
    def size(self) -> int: ...
    def read(self, offset: int = 0, length: int | None = None) -> bytes: ...
    def chunks(self, offset: int = 0, length: int | None = None) -> Iterator[bytes]: ...
    def header(self, limit: int = 1 << 20) -> bytes:
        """Up to the empty line that ends it, that line included; no more than about ``limit``."""


class Incoming(Closable, Protocol):
    """A message on its way in: written piece by piece to the disk, then delivered, any number of
    times, then closed, which throws away what is left.  Bare LFs become CRLF."""

    @property
    def size(self) -> int: ...
    def write(self, data: bytes) -> None: ...


class View(Closable, Protocol):
    """A folder as one session sees it.

    The UIDs, hence the sequence numbers, change in ``look`` alone.  Methods raise ``Gone``
    when the folder has been removed or built anew.
    """

    @property
    def read_only(self) -> bool: ...
    @property
    def uids(self) -> Sequence[int]:
        """By sequence number, the first at 0; ascending."""

    @property
    def recent(self) -> frozenset[int]: ...
    @property
    def uidvalidity(self) -> int: ...
    @property
    def uidnext(self) -> int: ...
    @property
    def highest_modseq(self) -> int: ...
    @property
    def keywords(self) -> tuple[str, ...]: ...

    def look(self, *, expunges: bool = True) -> Changes:
        """What has changed since the last look.  Without ``expunges``, those wait (RFC 3501 7.4.1)."""

    def poll(self) -> bool:
        """Whether ``look`` may have something to tell: cheap, for idling sessions."""

    def listen(self, callback: Callable[[], None] | None) -> None:
        """Have ``callback`` called, in whatever thread, when this process has changed the folder."""

    def messages(self, uids: Iterable[int] | None = None) -> list[Message]:
        """Those that are still there, in the order asked for; None: all that the session sees."""

    def find(self, criteria: Criteria) -> list[int]: ...
    def open(self, uid: int) -> Content: ...
    def store(
        self, uids: Iterable[int], how: How, flags: frozenset[str], *, unchanged_since: int | None = None
    ) -> Stored:
        """What it returns, ``look`` does not tell again."""

    def expunge(self, uids: Iterable[int] | None = None) -> tuple[int, ...]:
        """Remove those with \\Deleted, all or among ``uids``; what went, which ``look`` will tell."""

    def copy(self, uids: Iterable[int], folder: str) -> Copied:
        """All of those that are there, or an error and none."""

    def move(self, uids: Iterable[int], folder: str) -> Copied: ...


class Maildrop(Closable, Protocol):
    """INBOX for POP3, held exclusively until it is closed."""

    @property
    def messages(self) -> Sequence[Drop]: ...
    def open(self, uid: int) -> Content: ...
    def quit(self, deleted: Iterable[int], seen: Iterable[int] = ()) -> None:
        """What happens in the UPDATE state."""


class Account(Protocol):
    """The mail of one account."""

    quota: Quota

    @property
    def address(self) -> str: ...
    @property
    def home(self) -> str:
        """The owner of the storage that holds it."""

    def incoming(self) -> Incoming: ...
    def deliver(self, incoming: Incoming, folder: str = INBOX) -> None:
        """Durable when it returns.  ``incoming`` may have been begun for another account.

        The message gets its UID when somebody looks: a delivery costs the same into an empty
        folder and into one of 100,000 messages.
        """

    def append(self, folder: str, messages: Sequence[New]) -> Appended:
        """All of them, durable, or an error and none."""

    def select(self, folder: str, *, read_only: bool = False) -> View: ...
    def status(self, folder: str) -> Status: ...
    def folders(self) -> list[Folder]:
        """Sorted, INBOX first; levels that are no folders and subscribed names without one too."""

    def create(self, folder: str) -> None:
        """With the levels above it."""

    def delete(self, folder: str) -> None:
        """Not the folders below it."""

    def rename(self, folder: str, new: str) -> None:
        """With the folders below it.  Of INBOX only the messages go (RFC 3501 6.3.5)."""

    def subscribe(self, folder: str) -> None: ...
    def unsubscribe(self, folder: str) -> None: ...
    def usage(self, *, recount: bool = False) -> Usage: ...
    def maildrop(self) -> Maildrop: ...


class MailStore(Protocol):
    """The accounts of all storages that are attached to a backend.

    ``home`` names the owner of a storage, which is the host that the account was created on
    (``oldHostServer`` while another host covers it).  Given, only that storage is looked at,
    so that nobody creates an account a second time while its storage is away.
    """

    @property
    def homes(self) -> tuple[str, ...]:
        """Owners of the attached storages, the backend's own first."""

    def account(self, address: str, *, home: str | None = None, create: bool = False) -> Account: ...
    def deliver_all(self, deliveries: Sequence[tuple[Account, Incoming]]) -> list[MailStoreError | None]:
        """As ``Account.deliver`` into INBOXes, sharing what durability costs; of each, why not."""

    def has(self, address: str, *, home: str) -> bool: ...
    def accounts(self, home: str | None = None) -> Iterator[str]: ...
    def identity(self, address: str, *, home: str) -> str:
        """Whose mailbox it is, as ``identify`` was told; "" where nobody has told, or there is none.
        It stays with the mailbox when that gets another name, is set aside or carried away."""

    def identify(self, address: str, identity: str, *, home: str) -> None: ...
    def find(self, identity: str, *, home: str) -> str | None:
        """The address of the mailbox that is whose this identity is."""

    def rename(self, address: str, new: str, *, home: str | None = None) -> None: ...
    def remove(self, address: str, *, home: str | None = None) -> Removed:
        """Set it aside; ``purge`` is what destroys it."""

    def removed(self) -> list[Removed]: ...
    def put_back(self, removed: Removed) -> None: ...
    def purge(self, removed: Removed) -> None: ...
    def disk_usage(self, address: str, *, home: str | None = None) -> int:
        """Octets on the disk, those of the store's own files included."""

    def check(self, address: str, *, home: str | None = None, repair: bool = False) -> list[Problem]: ...
