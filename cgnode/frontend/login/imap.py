"""A frontend's IMAP connection: ``proto.imap.login`` answered.

What lives here: IMAP's events and IMAP's words for what comes of a log-in.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from cgnode.destinations import Proto
from cgnode.frontend.login.login import Login, Parts, Refusal
from cgnode.joining import Reached
from cgnode.net.connection import Connection
from cgnode.proto import sasl
from cgnode.proto.imap import codes, events
from cgnode.proto.imap.login import LoginServer, Settings

_WORDS: Final[Mapping[Refusal, tuple[str, bytes]]] = {
    Refusal.WRONG: ("wrong name or password", codes.AUTHENTICATION_FAILED),
    Refusal.UNAVAILABLE: ("the mailbox can't be reached now, try again later", codes.UNAVAILABLE),
    Refusal.IN_USE: ("the mailbox is in use", codes.IN_USE),
    Refusal.TOO_MANY: ("too many sessions of this user from this address", codes.LIMIT),
}

_BEFORE_LOGIN: Final = ("STARTTLS", "LOGINDISABLED")


def settings(parts: Parts, *, clear_text: bool) -> Settings:
    return Settings(
        mechanisms=parts.authenticator.mechanisms,
        start_tls=parts.tls is not None,
        clear_text=clear_text,
    )


class ImapLogin(Login):
    PROTO = Proto.IMAP

    __slots__ = ("core",)

    def __init__(self, parts: Parts, settings: Settings, connection: Connection) -> None:
        super().__init__(parts, connection)
        self.core = LoginServer(settings, connection.origin.secure)

    def begin(self) -> bytes:
        return self.core.begin()

    def handle(self, event: events.Event) -> None:
        match event:
            case bytes():
                self._connection.answer(event)
            case sasl.Credentials():
                self._check(event)
            case sasl.KeysWanted():
                self._give_keys(event)
            case sasl.Proven():
                self._check_proven(event)
            case events.ProofFailed(authcid):
                self._disproved(authcid)
            case events.LoginDropped():
                self._drop()
            case events.Joined():
                self._join()
            case events.StartTLS(answer):
                self._connection.start_tls(self._parts.tls, answer)
            case events.Identified(fields):
                self._identified(fields)
            case events.Closed(last_words, reason):
                self._close(last_words, reason)
            case _:
                raise AssertionError("an event of another state")

    def secured(self) -> None:
        self.core.tls_started()

    def _identified(self, fields: tuple[tuple[bytes, bytes], ...]) -> None:
        if self._parts.trusts(self._connection.origin.client):
            said = {name.decode("latin-1"): value.decode("latin-1") for name, value in fields}
            ip, port = said.get("x-originating-ip", ""), said.get("x-originating-port", "")
            self._forwarded(ip, port, said.get("x-session-id", ""))

    def _accept(self, reached: Reached) -> bytes:
        return self.core.accept(_after_login(reached.capabilities))

    def _refuse(self, refusal: Refusal) -> bytes:
        return self.core.no(*_WORDS[refusal])

    def _keys(self, keys: sasl.ScramKeys) -> bytes:
        return self.core.keys(keys)

    def _goodbye(self, text: str) -> bytes:
        return self.core.disconnect(text, codes.UNAVAILABLE).last_words

    def _unread(self) -> bytes:
        return self.core.unread()


def _after_login(capabilities: tuple[str, ...]) -> tuple[str, ...]:
    """A server's, without what some go on to say of how to log in."""
    return tuple(name for name in capabilities if name not in _BEFORE_LOGIN and not name.startswith("AUTH="))
