"""The node's reactor: epoll, without what Twisted does around each event for its old log.

Twisted calls every reader and writer inside a copy of a context that says whose it is, which
costs more than reading a short line does; nobody here asks for it.

And Twisted's timers are by the time of day: were that set back by an hour, nothing would happen
for an hour.  These are by a clock that nobody sets.
"""

# mypy: disallow-untyped-calls=False
# Twisted's reactors are not annotated.

from __future__ import annotations

import errno
import logging
import sys
import time
from typing import Any

log = logging.getLogger(__name__)


def install() -> None:
    """Where there is epoll; before anybody imports ``twisted.internet.reactor``."""
    try:
        from twisted.internet.epollreactor import EPollReactor
    except ImportError:
        return
    from twisted.internet.main import installReactor

    class LeanReactor(EPollReactor):
        seconds = staticmethod(time.monotonic)

        def doPoll(self, timeout: float | None) -> None:
            ours: Any = self
            try:
                events = ours._poller.poll(-1 if timeout is None else timeout, len(ours._selectables) or 1)
            except OSError as error:
                if error.errno == errno.EINTR:
                    return
                raise
            selectables, call = ours._selectables, ours._doReadOrWrite
            for descriptor, event in events:
                selectable = selectables.get(descriptor)
                if selectable is not None:
                    try:
                        call(selectable, descriptor, event)
                    except Exception:
                        log.exception("an event of %s", selectable)

        doIteration = doPoll

    if "twisted.internet.reactor" not in sys.modules:
        installReactor(LeanReactor())
