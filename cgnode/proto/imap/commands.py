"""What a client can say, as values (RFC 3501 section 6 and the extensions of ``parse``).

What lives here: a frozen class per command.  Mailbox names are str; user names, passwords
and header fields are bytes as they came.  Message numbers stand as they were written,
since what they name depends on the mailbox.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, TypeAlias

from attrs import field, frozen

from cgnode.proto.imap.search import Key
from cgnode.proto.imap.sets import Numbers

# --- in any state ------------------------------------------------------------------------


@frozen
class Capability:
    pass


@frozen
class Noop:
    pass


@frozen
class Logout:
    pass


@frozen
class Id:
    """RFC 2971; what the client says of itself, or None."""

    fields: tuple[tuple[bytes, bytes | None], ...] | None


# --- before log-in -----------------------------------------------------------------------


@frozen
class StartTLS:
    pass


@frozen
class Authenticate:
    """``initial`` is base64 still, ``b"="`` for an empty one (RFC 4959), None for none."""

    mechanism: str
    initial: bytes | None = field(repr=False)


@frozen
class Login:
    user: bytes
    password: bytes = field(repr=False)


# --- after it ----------------------------------------------------------------------------


@frozen
class Enable:
    capabilities: tuple[str, ...]


@frozen
class Select:
    """SELECT and, ``read_only``, EXAMINE."""

    mailbox: str
    read_only: bool
    condstore: bool = False


@frozen
class Create:
    mailbox: str


@frozen
class Delete:
    mailbox: str


@frozen
class Rename:
    mailbox: str
    to: str


@frozen
class Subscribe:
    mailbox: str


@frozen
class Unsubscribe:
    mailbox: str


class Selection(Enum):
    """What LIST is to choose (RFC 5258 section 3.1, RFC 6154 section 2)."""

    SUBSCRIBED = "SUBSCRIBED"
    REMOTE = "REMOTE"
    RECURSIVE_MATCH = "RECURSIVEMATCH"
    SPECIAL_USE = "SPECIAL-USE"


class Return(Enum):
    """What LIST is to say of what it has chosen (RFC 5258 section 3.2)."""

    SUBSCRIBED = "SUBSCRIBED"
    CHILDREN = "CHILDREN"
    SPECIAL_USE = "SPECIAL-USE"


class StatusItem(Enum):
    """RFC 3501 section 6.3.10, and RFC 7162, 7889, 8438, 9208."""

    MESSAGES = "MESSAGES"
    RECENT = "RECENT"
    UIDNEXT = "UIDNEXT"
    UIDVALIDITY = "UIDVALIDITY"
    UNSEEN = "UNSEEN"
    SIZE = "SIZE"
    HIGHESTMODSEQ = "HIGHESTMODSEQ"
    APPENDLIMIT = "APPENDLIMIT"
    DELETED = "DELETED"
    DELETED_STORAGE = "DELETED-STORAGE"


@frozen
class List:
    """``extended``: in one of the forms of RFC 5258, for which ``""`` is an ordinary
    pattern.  A pattern that names nothing that can be is left out."""

    reference: str
    patterns: tuple[str, ...]
    selection: frozenset[Selection] = frozenset()
    returns: frozenset[Return] = frozenset()
    status: tuple[StatusItem, ...] = ()
    extended: bool = False


@frozen
class Lsub:
    """``patterns`` has one, or none where what was sent can't be one."""

    reference: str
    patterns: tuple[str, ...]


@frozen
class Namespace:
    pass


@frozen
class Status:
    mailbox: str
    items: tuple[StatusItem, ...]


@frozen
class Append:
    """The start of APPEND, up to where its message is announced; ``date`` in seconds since
    1970."""

    mailbox: str
    flags: tuple[str, ...]
    date: int | None


@frozen
class Idle:
    pass


@frozen
class GetQuota:
    root: bytes


@frozen
class GetQuotaRoot:
    mailbox: str


# --- in a mailbox ------------------------------------------------------------------------


@frozen
class Check:
    pass


@frozen
class Close:
    pass


@frozen
class Unselect:
    pass


@frozen
class Expunge:
    """``uids``: only these (RFC 4315 section 2.1)."""

    uids: Numbers | None = None


class Result(Enum):
    """What SEARCH is to return (RFC 4731 section 3.1, RFC 5182)."""

    MIN = "MIN"
    MAX = "MAX"
    ALL = "ALL"
    COUNT = "COUNT"
    SAVE = "SAVE"


@frozen
class Search:
    """``results`` is None in the form without RETURN."""

    key: Key
    results: frozenset[Result] | None
    uid: bool


class Item(Enum):
    """Data items of FETCH that have no parts (RFC 3501 section 6.4.5, RFC 7162)."""

    FLAGS = "FLAGS"
    UID = "UID"
    INTERNALDATE = "INTERNALDATE"
    SIZE = "RFC822.SIZE"
    ENVELOPE = "ENVELOPE"
    BODY = "BODY"
    BODYSTRUCTURE = "BODYSTRUCTURE"
    MODSEQ = "MODSEQ"


class Text(Enum):
    """What of a message or part a section names."""

    ALL = ""
    HEADER = "HEADER"
    FIELDS = "HEADER.FIELDS"
    NOT_FIELDS = "HEADER.FIELDS.NOT"
    TEXT = "TEXT"
    MIME = "MIME"


@frozen
class Section:
    """``part`` is empty for the message itself."""

    part: tuple[int, ...] = ()
    text: Text = Text.ALL
    fields: tuple[bytes, ...] = ()


@frozen
class BodySection:
    """``BODY[...]`` and its like; ``name`` is what the response calls it, but for the
    origin.  ``partial`` is the first octet and how many."""

    section: Section
    name: bytes
    peek: bool = False
    partial: tuple[int, int] | None = None


@frozen
class Binary:
    """``BINARY[...]``: a part without its transfer encoding (RFC 3516)."""

    part: tuple[int, ...]
    peek: bool = False
    partial: tuple[int, int] | None = None


@frozen
class BinarySize:
    part: tuple[int, ...]


FetchItem: TypeAlias = Item | BodySection | Binary | BinarySize


@frozen
class Fetch:
    numbers: Numbers
    items: tuple[FetchItem, ...]
    uid: bool
    changed_since: int | None = None


class Change(Enum):
    """How STORE changes flags."""

    REPLACE = "FLAGS"
    ADD = "+FLAGS"
    REMOVE = "-FLAGS"


@frozen
class Store:
    numbers: Numbers
    change: Change
    flags: tuple[str, ...]
    silent: bool
    uid: bool
    unchanged_since: int | None = None


@frozen
class Copy:
    numbers: Numbers
    mailbox: str
    uid: bool


@frozen
class Move:
    """RFC 6851."""

    numbers: Numbers
    mailbox: str
    uid: bool


Command: TypeAlias = (
    Capability
    | Noop
    | Logout
    | Id
    | StartTLS
    | Authenticate
    | Login
    | Enable
    | Select
    | Create
    | Delete
    | Rename
    | Subscribe
    | Unsubscribe
    | List
    | Lsub
    | Namespace
    | Status
    | Append
    | Idle
    | GetQuota
    | GetQuotaRoot
    | Check
    | Close
    | Unselect
    | Expunge
    | Search
    | Fetch
    | Store
    | Copy
    | Move
)

FAST: Final[tuple[FetchItem, ...]] = (Item.FLAGS, Item.INTERNALDATE, Item.SIZE)
ALL: Final[tuple[FetchItem, ...]] = (*FAST, Item.ENVELOPE)
FULL: Final[tuple[FetchItem, ...]] = (*ALL, Item.BODY)
