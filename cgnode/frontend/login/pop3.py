"""A frontend's POP3 connection: ``proto.pop3.login`` answered.

What lives here: POP3's events and POP3's words for what comes of a log-in.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from cgnode.destinations import Proto
from cgnode.frontend.login.login import Login, Parts, Refusal
from cgnode.joining import Reached
from cgnode.net.connection import Connection
from cgnode.proto import sasl
from cgnode.proto.pop3 import events
from cgnode.proto.pop3.login import LoginServer, Settings
from cgnode.proto.pop3.vocabulary import AUTH, IN_USE, SYSTEM_TEMPORARY

_WORDS: Final[Mapping[Refusal, tuple[str, str]]] = {
    Refusal.WRONG: ("wrong name or password", AUTH),
    Refusal.UNAVAILABLE: ("the mailbox can't be reached now, try again later", SYSTEM_TEMPORARY),
    Refusal.IN_USE: ("another session has the mailbox", IN_USE),
    Refusal.TOO_MANY: ("too many sessions of this user from this address", IN_USE),
}


def settings(parts: Parts, *, clear_text: bool) -> Settings:
    return Settings(
        mechanisms=parts.authenticator.mechanisms,
        start_tls=parts.tls is not None,
        clear_text=clear_text,
    )


class Pop3Login(Login):
    PROTO = Proto.POP3

    __slots__ = ("core",)

    def __init__(self, parts: Parts, settings: Settings, connection: Connection) -> None:
        super().__init__(parts, connection)
        trusted = parts.trusts(connection.origin.client)
        self.core = LoginServer(settings, connection.origin.secure, trusted)

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
            case events.Forwarded(fields):
                said = dict(fields)
                self._forwarded(said.get("ADDR", ""), said.get("PORT", ""), said.get("SESSION", ""))
            case events.Closed(last_words, reason):
                self._close(last_words, reason)
            case _:
                raise AssertionError("an event of another state")

    def secured(self) -> None:
        self.core.tls_started()

    def _accept(self, reached: Reached) -> bytes:
        return self.core.accept()

    def _refuse(self, refusal: Refusal) -> bytes:
        return self.core.no(*_WORDS[refusal])

    def _keys(self, keys: sasl.ScramKeys) -> bytes:
        return self.core.keys(keys)

    def _goodbye(self, text: str) -> bytes:
        return self.core.disconnect(text, SYSTEM_TEMPORARY).last_words

    def _unread(self) -> bytes:
        return self.core.unread()
