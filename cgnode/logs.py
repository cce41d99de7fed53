"""The node's log: every part's lines, Twisted's among them, on stderr, as text or as JSON.

A line that belongs to a connection begins with its session's id (``net.connection``), and
a message or a login keeps that on its way through the cluster; as JSON the id stands by
itself.  What must not live here: what is logged.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import Any, Final, TextIO, cast

from twisted.logger import LogEvent, LogLevel, STDLibLogObserver, globalLogBeginner

TEXT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"

_SESSION: Final = re.compile(r"([0-9a-f]{12}) ")
# C0 and C1, some of which terminals obey; and what else begins a line in Unicode.
_CONTROLS: Final = {
    **{code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if code != ord("\t")},
    **{code: f"\\u{code:04x}" for code in (0x2028, 0x2029)},
}
_MOST: Final = 4096
"""Characters of a message: what a peer says may be long."""


class JsonFormatter(logging.Formatter):
    """An object a line: time (RFC 3339, UTC), level, logger, message; session and exception
    where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        message = _bounded(record.getMessage())
        values = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
        }
        session = _SESSION.match(message)
        if session is not None:
            values["session"] = session[1]
            message = message[session.end() :]
        values["message"] = message
        if record.exc_info:
            values["exception"] = self.formatException(record.exc_info)
        return json.dumps(values, ensure_ascii=False, default=str)


class TextFormatter(logging.Formatter):
    """A line each, whatever a peer's words hold; only an exception takes more."""

    def __init__(self) -> None:
        super().__init__(TEXT)

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = _bounded(record.message)
        return super().formatMessage(record).translate(_CONTROLS)


def _bounded(message: str) -> str:
    return message if len(message) <= _MOST else f"{message[:_MOST]}... ({len(message)} characters)"


def begin_logging(level: str, form: str, stream: TextIO | None = None) -> None:
    """From now on; ``form`` is "text" or "json"."""
    handler = logging.StreamHandler(sys.stderr if stream is None else stream)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler])
    pass_on = STDLibLogObserver("cgnode")

    def observe(event: LogEvent) -> None:
        if not _is_chatter(event):
            pass_on(event)

    globalLogBeginner.beginLoggingTo([cast(Any, observe)], redirectStandardIO=False)


def _is_chatter(event: LogEvent) -> bool:
    """Twisted's own word of each port that opens and closes."""
    own = str(event.get("log_namespace", "")).startswith(("log_legacy", "twisted.", "-"))
    return own and event.get("log_level") in (LogLevel.debug, LogLevel.info)
