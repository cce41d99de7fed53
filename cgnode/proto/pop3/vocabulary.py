"""The words of POP3: response codes, states and what may be said in each, answers.

What lives here: tables and functions of their arguments.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Final

AUTH: Final = "AUTH"
IN_USE: Final = "IN-USE"
SYSTEM_TEMPORARY: Final = "SYS/TEMP"
SYSTEM_PERMANENT: Final = "SYS/PERM"
LOGIN_DELAY: Final = "LOGIN-DELAY"
"""Response codes (RFC 2449 section 8.1, RFC 3206)."""


class State(Enum):
    GREETING = "nothing has been said"
    AUTHORIZATION = "the client has not logged in"
    TRANSACTION = "it has"
    CLOSED = "nothing is heard and nothing is said"
    JOINED = "somebody else goes on with the connection"


_BEFORE: Final = frozenset((State.AUTHORIZATION,))
_AFTER: Final = frozenset((State.TRANSACTION,))

ALLOWED: Final[Mapping[str, frozenset[State]]] = {
    "CAPA": _BEFORE | _AFTER,
    "QUIT": _BEFORE | _AFTER,
    "AUTH": _BEFORE,
    "PASS": _BEFORE,
    "STLS": _BEFORE,
    "USER": _BEFORE,
    "XCLIENT": _BEFORE,
    "DELE": _AFTER,
    "LIST": _AFTER,
    "NOOP": _AFTER,
    "RETR": _AFTER,
    "RSET": _AFTER,
    "STAT": _AFTER,
    "TOP": _AFTER,
    "UIDL": _AFTER,
}
"""What may be said in each state (RFC 1939 section 3)."""


class Fault(Exception):
    """The client erred, and this is the reply."""

    def __init__(self, text: str, code: str = "") -> None:
        super().__init__(text)
        self.code = code


def ok(text: str = "") -> bytes:
    return _line(f"+OK {text}".rstrip())


def err(text: str, code: str = "") -> bytes:
    return _line(f"-ERR [{code}] {text}" if code else f"-ERR {text}")


def _line(text: str) -> bytes:
    """One line of ASCII, whatever the words are."""
    return re.sub(r"[^ -~]+", " ", text).encode() + b"\r\n"


def multi_line(text: str, lines: Iterable[str]) -> bytes:
    """An answer of several lines, none of which begins with a dot."""
    return ok(text) + "".join(f"{line}\r\n" for line in lines).encode() + b".\r\n"
