"""What a server answers of itself (RFC 5321 section 4.2.3; the codes, RFC 3463 and what
each extension says).

What lives here: replies, and nothing of when they are given.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from cgnode.proto.lines import LineFault
from cgnode.proto.sasl import Failure
from cgnode.proto.smtp.reply import Reply

OK: Final = Reply(250, "2.0.0", "ok")
WRONG_CREDENTIALS: Final = Reply(535, "5.7.8", "authentication failed")

SENDER_OK: Final = Reply(250, "2.1.0", "sender ok")
RECIPIENT_OK: Final = Reply(250, "2.1.5", "recipient ok")
TOO_MANY: Final = Reply(452, "4.5.3", "too many recipients")
GO_AHEAD: Final = b"354 go ahead\r\n"
NOT_SAID: Final = Reply(252, "2.5.2", "send mail and see")
HELP: Final = Reply(214, "2.0.0", "RFC 5321")
GOOD_BYE: Final = Reply(221, "2.0.0", "good bye")
TLS_READY: Final = Reply(220, "2.0.0", "ready for TLS")
LOGGED_IN: Final = Reply(235, "2.7.0", "authenticated")
NO_MECHANISM: Final = Reply(504, "5.5.4", "no such mechanism here")

LINE_FAULTS: Final[Mapping[LineFault, Reply]] = {
    LineFault.TOO_LONG: Reply(500, "5.5.2", "line too long"),
    LineFault.STRAY: Reply(500, "5.5.2", "a CR or LF that is not part of CRLF"),
}
AUTH_LINE_FAULTS: Final[Mapping[LineFault, Reply]] = {
    LineFault.TOO_LONG: Reply(500, "5.5.6", "line too long"),
    LineFault.STRAY: Reply(501, "5.5.2", "a CR or LF that is not part of CRLF"),
}
AUTH_FAILURES: Final[Mapping[Failure, Reply]] = {
    Failure.CANCELLED: Reply(501, "5.7.0", "cancelled"),
    Failure.MALFORMED: Reply(501, "5.5.2", "not a message of the mechanism"),
    Failure.UNSUPPORTED: Reply(501, "5.7.0", "needs what is not offered here"),
    Failure.WRONG: WRONG_CREDENTIALS,
}

UNKNOWN: Final = Reply(500, "5.5.1", "no such command")
NOT_HERE: Final = Reply(502, "5.5.1", "not offered here")
NOT_TRUSTED: Final = Reply(550, "5.7.0", "not from you")
TLS_FIRST: Final = Reply(530, "5.7.0", "STARTTLS first")
TLS_ACTIVE: Final = Reply(503, "5.5.1", "TLS is active")
AUTH_FIRST: Final = Reply(530, "5.7.0", "authentication required")
AUTH_TWICE: Final = Reply(503, "5.5.1", "authenticated before")
AUTH_NEEDS_TLS: Final = Reply(538, "5.7.11", "not without TLS")

TOO_BIG: Final = Reply(552, "5.3.4", "message too big")

TEXT_FAULTS: Final[Mapping[LineFault, Reply]] = {
    LineFault.TOO_LONG: Reply(554, "5.6.0", "a line of the message is too long"),
    LineFault.STRAY: Reply(554, "5.6.0", "a CR or LF that is not part of CRLF, or a NUL, in the message"),
}
