"""A command's text to its value (RFC 3501 section 6 and its extensions).

What lives here: tag and name, and one function per command in one table.  Every name in
the table is in ``states.ALLOWED`` too.  Whether the command may come now is asked there,
before its arguments are read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from attrs import frozen

from cgnode.proto.imap import commands as c
from cgnode.proto.imap.faults import Fault
from cgnode.proto.imap.parse_fetch import parse_fetch, parse_store
from cgnode.proto.imap.parse_list import parse_list, parse_lsub, parse_status
from cgnode.proto.imap.parse_search import parse_search
from cgnode.proto.imap.scanner import Scanner

_TAG: Final = re.compile(rb'([^\x00-\x20\x7f-\xff(){%*"\\+]+) ')
_NAME: Final = re.compile(rb"[A-Za-z]+")
_BASE64: Final = re.compile(rb"[A-Za-z0-9+/]+={0,2}|=")
# Every quote is closed again; the possessive quantifiers keep it linear.
_QUOTES_MATCH: Final = re.compile(rb'(?:[^"]|"(?:[^"\\]|\\.)*+")*+\Z', re.DOTALL)


@frozen
class Head:
    """A command's first words.  ``name`` is in capitals, with UID in front where that is
    one; ``at`` is where the arguments begin."""

    tag: str
    name: str
    at: int


def tag_of(text: bytes) -> str:
    """The tag that an answer to this line bears: its own, or ``*`` where it has none."""
    found = _TAG.match(text)
    return found[1].decode("ascii") if found else "*"


def parse_head(text: bytes) -> Head:
    """Tag and name; raises Fault."""
    found = _TAG.match(text)
    if found is None:
        raise Fault("a tag and a command are expected")
    scanner = Scanner(text, at=found.end())
    name = scanner.find(_NAME, "a command")[0].decode("ascii").upper()
    if name == "UID" and scanner.take(b" "):
        name += " " + scanner.find(_NAME, "a command")[0].decode("ascii").upper()
    return Head(found[1].decode("ascii"), name, scanner.at)


def parse(head: Head, text: bytes, literals: tuple[bytes, ...]) -> c.Command:
    """The command; raises Fault, and nothing else for any text."""
    if head.name == "APPEND":
        raise Fault("the message is expected as a literal")
    read = _COMMANDS.get(head.name)
    if read is None:
        raise Fault("the command is not known here")
    scanner = Scanner(text, literals, head.at)
    command = read(scanner)
    scanner.end()
    return command


def known(name: str) -> bool:
    return name in _COMMANDS or name == "APPEND"


def can_take_literal(text: bytes) -> bool:
    """Whether a literal can stand behind this: not within quotes, nor behind a name."""
    return _QUOTES_MATCH.match(text) is not None and text.endswith((b" ", b"("))


def parse_append(head: Head, text: bytes, literals: tuple[bytes, ...]) -> c.Append | None:
    """APPEND as far as to the literal that is announced behind ``text``; None when that
    literal is the mailbox name."""
    scanner = Scanner(text, literals, head.at)
    scanner.space()
    if scanner.ended:
        return None
    mailbox = scanner.mailbox()
    return _message(scanner, mailbox)


def parse_append_more(text: bytes, mailbox: str) -> c.Append:
    """A further message of the same APPEND (RFC 3502)."""
    return _message(Scanner(text), mailbox)


def _message(scanner: Scanner, mailbox: str) -> c.Append:
    scanner.space()
    flags: tuple[str, ...] = ()
    date = None
    if scanner.peek() == b"(":
        flags = tuple(dict.fromkeys(scanner.listed(scanner.flag, empty=True)))
        scanner.space()
    if scanner.peek() == b'"':
        date = scanner.date_time()
        scanner.space()
    if not scanner.ended:
        raise Fault("the message is expected as a literal")
    return c.Append(mailbox, flags, date)


# --- arguments ---------------------------------------------------------------------------


def _id(scanner: Scanner) -> c.Id:
    scanner.space()
    if scanner.take(b"NIL"):
        return c.Id(None)
    fields = scanner.listed(lambda: _field(scanner), empty=True)
    if len(fields) > 30:
        raise Fault("ID takes 30 fields at most")
    return c.Id(fields)


def _field(scanner: Scanner) -> tuple[bytes, bytes | None]:
    key = scanner.string()
    scanner.space()
    return key, scanner.nstring()


def _authenticate(scanner: Scanner) -> c.Authenticate:
    scanner.space()
    mechanism = scanner.word()
    initial = scanner.find(_BASE64, "base64")[0] if scanner.more() else None
    return c.Authenticate(mechanism, initial)


def _login(scanner: Scanner) -> c.Login:
    scanner.space()
    user = scanner.astring()
    scanner.space()
    return c.Login(user, scanner.astring())


def _enable(scanner: Scanner) -> c.Enable:
    scanner.space()
    names = [scanner.word()]
    while scanner.more():
        names.append(scanner.word())
    return c.Enable(tuple(names))


def _select(scanner: Scanner, read_only: bool) -> c.Select:
    mailbox = _mailbox(scanner)
    condstore = scanner.more()
    if condstore:
        scanner.expect(b"(CONDSTORE)")
    return c.Select(mailbox, read_only, condstore)


def _mailbox(scanner: Scanner) -> str:
    scanner.space()
    return scanner.mailbox()


def _rename(scanner: Scanner) -> c.Rename:
    mailbox = _mailbox(scanner)
    return c.Rename(mailbox, _mailbox(scanner))


def _quota(scanner: Scanner) -> c.GetQuota:
    scanner.space()
    return c.GetQuota(scanner.astring())


def _expunge(scanner: Scanner) -> c.Expunge:
    scanner.space()
    return c.Expunge(scanner.numbers())


def _copy(scanner: Scanner, uid: bool) -> c.Copy:
    scanner.space()
    numbers = scanner.numbers()
    return c.Copy(numbers, _mailbox(scanner), uid)


def _move(scanner: Scanner, uid: bool) -> c.Move:
    scanner.space()
    numbers = scanner.numbers()
    return c.Move(numbers, _mailbox(scanner), uid)


# APPEND is missing: its message is never here as a whole (``parse_append``).
_COMMANDS: Final[Mapping[str, Callable[[Scanner], c.Command]]] = {
    "AUTHENTICATE": _authenticate,
    "CAPABILITY": lambda scanner: c.Capability(),
    "CHECK": lambda scanner: c.Check(),
    "CLOSE": lambda scanner: c.Close(),
    "COPY": lambda scanner: _copy(scanner, uid=False),
    "CREATE": lambda scanner: c.Create(_mailbox(scanner)),
    "DELETE": lambda scanner: c.Delete(_mailbox(scanner)),
    "ENABLE": _enable,
    "EXAMINE": lambda scanner: _select(scanner, read_only=True),
    "EXPUNGE": lambda scanner: c.Expunge(),
    "FETCH": lambda scanner: parse_fetch(scanner, uid=False),
    "GETQUOTA": _quota,
    "GETQUOTAROOT": lambda scanner: c.GetQuotaRoot(_mailbox(scanner)),
    "ID": _id,
    "IDLE": lambda scanner: c.Idle(),
    "LIST": parse_list,
    "LOGIN": _login,
    "LOGOUT": lambda scanner: c.Logout(),
    "LSUB": parse_lsub,
    "MOVE": lambda scanner: _move(scanner, uid=False),
    "NAMESPACE": lambda scanner: c.Namespace(),
    "NOOP": lambda scanner: c.Noop(),
    "RENAME": _rename,
    "SEARCH": lambda scanner: parse_search(scanner, uid=False),
    "SELECT": lambda scanner: _select(scanner, read_only=False),
    "STARTTLS": lambda scanner: c.StartTLS(),
    "STATUS": parse_status,
    "STORE": lambda scanner: parse_store(scanner, uid=False),
    "SUBSCRIBE": lambda scanner: c.Subscribe(_mailbox(scanner)),
    "UID COPY": lambda scanner: _copy(scanner, uid=True),
    "UID EXPUNGE": _expunge,
    "UID FETCH": lambda scanner: parse_fetch(scanner, uid=True),
    "UID MOVE": lambda scanner: _move(scanner, uid=True),
    "UID SEARCH": lambda scanner: parse_search(scanner, uid=True),
    "UID STORE": lambda scanner: parse_store(scanner, uid=True),
    "UNSELECT": lambda scanner: c.Unselect(),
    "UNSUBSCRIBE": lambda scanner: c.Unsubscribe(_mailbox(scanner)),
}

NAMES: Final = frozenset((*_COMMANDS, "APPEND"))
