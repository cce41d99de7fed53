"""A maildrop in memory, and a shell that answers a POP3 core from it."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from cgnode.proto import sasl
from cgnode.proto.pop3 import events
from cgnode.proto.pop3.login import LoginServer, Settings
from cgnode.proto.pop3.server import Server
from cgnode.proto.pop3.vocabulary import AUTH, IN_USE

OPEN = Settings(mechanisms=sasl.MECHANISMS, clear_text=True, start_tls=True)
KEYS = sasl.scram_keys("secret", b"salt of scram keys", 4096)


@frozen
class Drop:
    content: bytes
    uidl: str

    @property
    def size(self) -> int:
        return len(self.content)


class Shell:
    """Runs one core; ``sent`` is what the client gets.  Contents go out in pieces of
    ``piece`` octets."""

    def __init__(
        self,
        contents: Sequence[bytes] = (),
        settings: Settings = OPEN,
        core: LoginServer | None = None,
        trusted: bool = False,
        piece: int = 65536,
    ) -> None:
        self.drops = [Drop(content, f"uid{place}") for place, content in enumerate(contents, 1)]
        self.core = core or Server(settings, trusted=trusted, randomness=bytes)
        self.piece = piece
        self.seen: list[events.Event] = []
        self.held: list[events.Event] = []
        self.hold: type[object] | None = None
        self.closed: events.Closed | None = None
        self.joined = False
        self.tls = 0
        self.sent = self.core.begin()

    def feed(self, *pieces: bytes) -> bytes:
        """What the client is sent for this."""
        before = len(self.sent)
        for piece in pieces:
            self.core.receive(piece)
            self.run()
        return self.sent[before:]

    def run(self) -> None:
        while (event := self.core.next_event()) is not None:
            if isinstance(event, bytes):
                self.sent += event
            else:
                self.seen.append(event)
                if self.hold is not None and isinstance(event, self.hold):
                    self.held.append(event)
                else:
                    self.answer(event)

    def answer(self, event: events.Event) -> None:
        core = self.core
        match event:
            case events.Closed(last_words):
                self.sent += last_words
                self.closed = event
            case events.StartTLS(answer):
                self.sent += answer
                self.tls += 1
                core.tls_started()
            case sasl.Credentials("busy"):
                self.sent += core.no("another session has it", IN_USE)
            case sasl.Credentials(user, password):
                right = (user, password) == ("alice", b"secret")
                self.sent += self._accept() if right else core.no("log-in failed", AUTH)
            case sasl.KeysWanted():
                self.sent += core.keys(KEYS)
            case sasl.Proven():
                self.sent += self._accept()
            case events.ProofFailed():
                self.sent += core.no("log-in failed", AUTH)
            case events.Joined():
                self.joined = True
            case events.Retrieve(place):
                assert isinstance(core, Server)
                content = self.drops[place].content
                for start in range(0, len(content), self.piece):
                    self.sent += core.content(content[start : start + self.piece])
                    if core.enough:
                        break
                self.sent += core.content_end()
            case events.Update():
                assert isinstance(core, Server)
                self.sent += core.updated()
            case _:
                pass

    def _accept(self) -> bytes:
        if isinstance(self.core, Server):
            return self.core.accept(self.drops)
        return self.core.accept()


def logged_in(*contents: bytes, piece: int = 65536) -> Shell:
    shell = Shell(contents, piece=piece)
    assert shell.feed(b"USER alice\r\nPASS secret\r\n").endswith(b"+OK logged in\r\n")
    return shell
