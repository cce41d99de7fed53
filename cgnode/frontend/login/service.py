"""The ports of a frontend's IMAP and POP3.

What lives here: from listeners of the configuration to what ``net.listeners`` opens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from cgnode.config.common import Network
from cgnode.frontend.login import imap, pop3
from cgnode.frontend.login.login import Parts
from cgnode.listeners import MailListener
from cgnode.net.connection import Connection, Handler
from cgnode.net.listeners import Admission, Opening

_BUSY: Final = {
    "imap": b"* BYE [UNAVAILABLE] too many connections, try again later\r\n",
    "pop3": b"-ERR [SYS/TEMP] too many connections, try again later\r\n",
}


def openings(
    parts: Parts, listeners: Iterable[MailListener], proxies: tuple[Network, ...] = ()
) -> Iterator[Opening]:
    """Those of the listeners that are for IMAP and POP3.  ``proxies`` send a PROXY header."""
    limits = parts.limits
    admission = Admission(limits.connections, limits.per_address, proxies)
    for listener in listeners:
        if listener.protocol in _BUSY:
            yield Opening(
                listener.key,
                listener.host,
                listener.port,
                handlers(parts, listener.protocol),
                tls=parts.tls if listener.tls else None,
                admission=admission,
                # Inside TLS nobody could read it.
                busy=b"" if listener.tls else _BUSY[listener.protocol],
                scheme=listener.scheme,
            )


def handlers(parts: Parts, protocol: str) -> Callable[[Connection], Handler]:
    """What makes a connection's handler.  Nobody can listen in on a loopback, so passwords
    may come there without TLS."""
    if protocol == "imap":
        imap_settings = [imap.settings(parts, clear_text=clear) for clear in (parts.clear_text, True)]
        return lambda connection: imap.ImapLogin(parts, imap_settings[connection.origin.loopback], connection)
    pop3_settings = [pop3.settings(parts, clear_text=clear) for clear in (parts.clear_text, True)]
    return lambda connection: pop3.Pop3Login(parts, pop3_settings[connection.origin.loopback], connection)
