"""Messages as octets: those that come in, written to ``tmp`` as they arrive, and those that are
read.  On the wire and in our files every line ends in CRLF; in files of others, in LF maybe.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Final, Self

from cgnode.backend.maildir import disk as disks
from cgnode.backend.maildir.disk import Disk, translated
from cgnode.backend.maildir.scan import bare_line_feeds

_BLOCK: Final = 1 << 18
_BUFFER: Final = 1 << 16
_HEADER_BLOCK: Final = 1 << 13
_BARE: Final = re.compile(rb"(?<!\r)\n")
_END_OF_HEADER: Final = b"\r\n\r\n"


class IncomingFile:
    """See ``store.Incoming``.  It is in some account's ``tmp``, and has as many names elsewhere as
    it was delivered to places."""

    def __init__(self, folder: str, disk: Disk) -> None:
        self._disk = disk
        self.path = f"{folder}/tmp/{disk.unique()}"
        self._raw = io.FileIO(disk.create(self.path), "w")
        self._file = io.BufferedWriter(self._raw, _BUFFER)
        self._last = b""
        self._date: int | None = None
        self._sealed = False
        self._size = 0
        self._failed: Exception | None = None

    @property
    def size(self) -> int:
        return self._size

    def write(self, data: bytes) -> None:
        if not data:
            return
        if self._sealed:
            raise ValueError("what has been delivered does not grow")
        if bare_line_feeds(self._last, data):
            before = b"\r" if self._last == b"\r" else b""
            data, self._last = _BARE.sub(b"\r\n", before + data)[len(before) :], data[-1:]
        else:
            self._last = data[-1:]
        with self._working():
            self._file.write(data)
        self._size += len(data)

    def flush(self) -> None:
        """Write all of it, durably or not."""
        with self._working():
            self._file.flush()

    def seal(self, date: int | None = None, disk: Disk | None = None) -> None:
        """Make it durable, dated ``date`` (None: of its last octet)."""
        if self._sealed and date == self._date:
            return
        with self._working():
            self._file.flush()
            if date is not None:
                os.utime(self._file.fileno(), (date, date))
            (disk or self._disk).sync_open(self._file.fileno())
        self._date, self._sealed = date, True

    @contextmanager
    def _working(self) -> Iterator[None]:
        """What has failed once has a hole, and stays failed."""
        if self._failed is not None:
            raise self._failed
        try:
            with translated():
                yield
        except Exception as error:
            self._failed = error
            raise

    def date(self) -> int:
        return int(os.fstat(self._file.fileno()).st_mtime)

    def close(self) -> None:
        if self._file.closed:
            return
        try:
            # What is still in the buffer is not wanted any more, even less an error of writing it.
            self._raw.close()
        finally:
            disks.unlink(self.path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class FileContent:
    """See ``store.Content``."""

    def __init__(self, path: str, size: int) -> None:
        """``size`` is what the message should have; a file that has not is not as the wire is.

        Raises FileNotFoundError.
        """
        self._file: io.BufferedIOBase | io.RawIOBase = io.FileIO(os.open(path, disks.READ), "rb")
        self._size = os.fstat(self._file.fileno()).st_size
        if self._size != size:
            with self._file:
                data = _BARE.sub(b"\r\n", self._file.read() or b"")
            self._file = io.BytesIO(data)
            self._size = len(data)

    @property
    def size(self) -> int:
        return self._size

    def read(self, offset: int = 0, length: int | None = None) -> bytes:
        return b"".join(self.chunks(offset, length))

    def chunks(self, offset: int = 0, length: int | None = None, *, block: int = _BLOCK) -> Iterator[bytes]:
        end = self._size if length is None else min(self._size, offset + length)
        while offset < end:
            with translated():
                self._file.seek(offset)
                data = self._file.read(min(block, end - offset))
            if not data:
                return
            offset += len(data)
            yield data

    def header(self, limit: int = 1 << 20) -> bytes:
        found = b""
        for data in self.chunks(0, limit, block=_HEADER_BLOCK):
            start = max(0, len(found) - len(_END_OF_HEADER))
            found += data
            if found.startswith(b"\r\n"):
                return b"\r\n"
            if (end := found.find(_END_OF_HEADER, start)) >= 0:
                return found[: end + len(_END_OF_HEADER)]
        return found

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
