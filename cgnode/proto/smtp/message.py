"""A message's text on its way into a server: DATA's up to the dot, BDAT's in chunks
(RFC 5321 section 4.1.1.4, RFC 3030 section 2).

What lives here: what is text and what is wrong with it, first of all its size.  What must
not: which commands are in turn.
"""

from __future__ import annotations

from cgnode.proto.lines import ChunkReader, DotReader, LineFault
from cgnode.proto.smtp import answers
from cgnode.proto.smtp.events import Chunk, MessageAbort
from cgnode.proto.smtp.reply import Reply
from cgnode.proto.smtp.states import Limits, Service


class Intake:
    """One message's text.  ``refusal`` is the answer to one that can't be taken: then its
    remainder is read and dropped."""

    __slots__ = ("_chunks", "_dots", "_most", "chunk_left", "last_chunk", "refusal", "size")

    def __init__(self, service: Service, limits: Limits) -> None:
        self._most = limits.message_size
        self._dots = DotReader(service.newlines, limits.text_line)
        self._chunks = ChunkReader(service.newlines, limits.text_line)
        self.size = 0
        self.refusal: Reply | None = None
        self.chunk_left = 0
        self.last_chunk = False

    def feed_dotted(self, data: bytes) -> tuple[Chunk | MessageAbort | None, bytes | None]:
        """What is to be done now; and once the text has ended, what came behind it."""
        text, rest = self._dots.feed(data)
        return self._take(text, self._dots.fault), rest

    def begin_chunk(self, size: int, last: bool) -> MessageAbort | None:
        """A chunk is announced."""
        self.chunk_left, self.last_chunk = size, last
        if self.refusal is None and self.size + size > self._most:
            return self._abort(answers.TOO_BIG)
        return None

    def feed_chunk(self, data: bytes) -> Chunk | MessageAbort | None:
        """Octets of the chunk, no more than are left of it."""
        self.chunk_left -= len(data)
        if self.refusal is not None:
            return None
        text = self._chunks.feed(data)
        if self.last_chunk and not self.chunk_left:
            text += self._chunks.finish()
        return self._take(text, self._chunks.fault)

    def _take(self, text: bytes, fault: LineFault | None) -> Chunk | MessageAbort | None:
        if self.refusal is not None:
            return None
        if fault is not None:
            return self._abort(answers.TEXT_FAULTS[fault])
        self.size += len(text)
        if self.size > self._most:
            return self._abort(answers.TOO_BIG)
        return Chunk(text) if text else None

    def _abort(self, refusal: Reply) -> MessageAbort:
        self.refusal = refusal
        return MessageAbort(refusal.text)
