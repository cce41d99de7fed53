"""The states of a connection and what may be said in each (RFC 3501 section 3).

What lives here: one table.  A command that is not allowed in a state is BAD there.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final


class State(Enum):
    GREETING = "nothing has been said"
    NOT_AUTHENTICATED = "the client has not logged in"
    AUTHENTICATED = "it has"
    SELECTED = "and has opened a mailbox"
    LOGOUT = "the connection is ending; nothing is heard and nothing is said"
    JOINED = "somebody else goes on with the connection"


_ANY: Final = frozenset((State.NOT_AUTHENTICATED, State.AUTHENTICATED, State.SELECTED))
_BEFORE: Final = frozenset((State.NOT_AUTHENTICATED,))
_AFTER: Final = frozenset((State.AUTHENTICATED, State.SELECTED))
_INSIDE: Final = frozenset((State.SELECTED,))

ALLOWED: Final[Mapping[str, frozenset[State]]] = {
    "CAPABILITY": _ANY,
    "ID": _ANY,
    "LOGOUT": _ANY,
    "NOOP": _ANY,
    "AUTHENTICATE": _BEFORE,
    "LOGIN": _BEFORE,
    "STARTTLS": _BEFORE,
    "APPEND": _AFTER,
    "CREATE": _AFTER,
    "DELETE": _AFTER,
    "ENABLE": _AFTER,
    "EXAMINE": _AFTER,
    "GETQUOTA": _AFTER,
    "GETQUOTAROOT": _AFTER,
    "IDLE": _AFTER,
    "LIST": _AFTER,
    "LSUB": _AFTER,
    "NAMESPACE": _AFTER,
    "RENAME": _AFTER,
    "SELECT": _AFTER,
    "STATUS": _AFTER,
    "SUBSCRIBE": _AFTER,
    "UNSUBSCRIBE": _AFTER,
    "CHECK": _INSIDE,
    "CLOSE": _INSIDE,
    "COPY": _INSIDE,
    "EXPUNGE": _INSIDE,
    "FETCH": _INSIDE,
    "MOVE": _INSIDE,
    "SEARCH": _INSIDE,
    "STORE": _INSIDE,
    "UID COPY": _INSIDE,
    "UID EXPUNGE": _INSIDE,
    "UID FETCH": _INSIDE,
    "UID MOVE": _INSIDE,
    "UID SEARCH": _INSIDE,
    "UID STORE": _INSIDE,
    "UNSELECT": _INSIDE,
}
"""ENABLE is allowed in a mailbox too: RFC 9051 section 6.3.1 lifted RFC 5161's rule."""
