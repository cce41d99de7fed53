"""A message's text between the connection and the mailboxes: a short one in memory, a long one
in a file without a name, which goes with the process.

Not durable: the mailboxes are.  Written in the reactor's thread, read in any others after
that, by several at once.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import lru_cache
from pathlib import Path
from typing import IO, Final

from attrs import frozen

from cgnode.proto.smtp.address import Address

SHORT: Final = 1 << 18
_BLOCK: Final = 1 << 18
_HEADER: Final = 1 << 12
# What a frontend of ours writes into its Received.
_SESSION: Final = re.compile(rb"\AReceived:[^\n]*(?:\n[ \t][^\n]*)*?\(session ([0-9A-Za-z._-]{1,64})\)")
# What may stand in a header as it is, of what a client calls itself.
_PLAIN: Final = re.compile(r"[A-Za-z0-9._:-]+")


class Letter:
    """``folder`` is where long texts are for a while.  Raises OSError, after which it is of no use."""

    def __init__(self, folder: Path | None = None, short: int = SHORT) -> None:
        self._folder = folder
        self._short = short
        self._pieces: list[bytes] = []
        self._file: IO[bytes] | None = None
        self.size = 0

    def write(self, data: bytes) -> None:
        self.size += len(data)
        if self._file is None and self.size > self._short:
            # Closed by ``close``.
            self._file = tempfile.TemporaryFile(buffering=0, dir=self._folder)  # noqa: SIM115
            pieces, self._pieces = self._pieces, []
            self._append(self._file, b"".join(pieces))
        if self._file is None:
            self._pieces.append(data)
        else:
            self._append(self._file, data)

    @staticmethod
    def _append(file: IO[bytes], data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[file.write(rest) :]

    def pieces(self) -> Iterator[bytes]:
        if self._file is None:
            yield from self._pieces
            return
        offset = 0
        while data := os.pread(self._file.fileno(), _BLOCK, offset):
            offset += len(data)
            yield data

    def session(self) -> str:
        """The id that it had at the node that accepted it; "" where that has not said."""
        first = next(self.pieces(), b"")[:_HEADER]
        found = _SESSION.match(first)
        return "" if found is None else found[1].decode("ascii")

    def close(self) -> None:
        self._pieces = []
        if self._file is not None:
            self._file.close()
            self._file = None


# --- what is written above it -------------------------------------------------------------


@frozen
class Bringer:
    """Who brought the mail: what it calls itself, where it is, in which session, and how
    (RFC 3848): ``LMTP``, with S for TLS and A for authentication."""

    hello: str
    address: str
    session: str
    protocol: str


def header(sender: Address | None, account: str, bringer: Bringer, hostname: str, second: int) -> bytes:
    """RFC 5321 section 4.4: who is told of failures, whose copy this is, and its last hop."""
    name = bringer.hello if _PLAIN.fullmatch(bringer.hello) else "unknown"
    literal = f"IPv6:{bringer.address}" if ":" in bringer.address else bringer.address or "local"
    text = (
        f"Return-Path: <{sender or ''}>\r\n"
        f"Delivered-To: {account}\r\n"
        f"Received: from {name} ([{literal}])\r\n\tby {hostname} (cgnode) with {bringer.protocol}\r\n"
        f"\tid {bringer.session} for <{account}>;\r\n\t{_date(second)}\r\n"
    )
    return text.encode("utf-8", "replace")


@lru_cache(4)
def _date(second: int) -> str:
    """RFC 5322 section 3.3, in UTC."""
    return format_datetime(datetime.fromtimestamp(second, UTC))
