"""Which storages this backend serves: its own, those that its configuration names, and those that
were attached while it ran.

What lives here: the list of them, kept in the data folder; one process to a storage; going on
trying for those that are away.  What must not: what is in a storage (the engine).

``<data>/storages.json``   {"own": true once it was made, "attached": [path, ...]}
``STORAGE/cgnode-attached`` held (flock) by the process that serves the storage, which the
                            kernel drops with it; says which, for people

A storage that can't be served now (its disk is not mounted, another process has it) is away:
the mail of its accounts waits, until ``retry`` finds that it can.  Above all the backend's
own is never made a second time, as an empty one, where it was before.

Nor is one taken while others serve its accounts, as ``hosts`` says, even where nobody holds it:
who does may only be starting again.  An operator's ``attach`` comes before the failover, and is
not asked that.

All methods block, and may be called in any thread.
"""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from threading import RLock
from typing import Final

from attrs import define

from cgnode.backend.maildir.disk import Disk, translated
from cgnode.backend.maildir.engine import MaildirStore
from cgnode.backend.maildir.storage import MARKER, Storage
from cgnode.backend.maildir.together import Together
from cgnode.backend.store import MailStoreError, StorageAway, StorageUnusable

log = logging.getLogger(__name__)

OWN: Final = "storage"
"""The folder of the backend's own, in the data folder."""

FILE: Final = "storages.json"
LOCK: Final = "cgnode-attached"


class Kind(Enum):
    """Why a storage is served here."""

    OWN = "own"
    CONFIGURED = "configured"
    ATTACHED = "attached"


@define
class _Row:
    """``lock`` is held while it is served; ``away`` says why it is not."""

    path: Path
    kind: Kind
    home: str = ""
    lock: int | None = None
    device: int = 0
    away: str = ""


class Storages:
    """``store`` has the accounts of what is attached.  ``hosts`` gives those that serve accounts
    of an owner's storage, as far as it is known."""

    def __init__(
        self,
        data: Path,
        owner: str,
        configured: Sequence[Path] = (),
        disk: Disk | None = None,
        hosts: Callable[[str], Collection[str]] | None = None,
    ) -> None:
        self._together = Together()
        self._disk = disk or Disk(together=self._together)
        self._data = data
        self._owner = owner.lower()
        self._lock = RLock()
        self._configured = configured
        self._hosts = hosts
        self._made = False
        self._rows: list[_Row] = []
        self.store = MaildirStore(owner, self._disk)

    def open(self) -> None:
        """Attach all that can be.  Raises MailStoreError where the list can't be read or the own
        storage is somebody else's."""
        with self._lock:
            self._made, attached = self._read()
            rows = [_Row(self._data / OWN, Kind.OWN, self._owner)]
            rows += [_Row(_plain(path), Kind.CONFIGURED) for path in self._configured]
            rows += [_Row(path, Kind.ATTACHED) for path in attached]
            self._rows = list({row.path: row for row in reversed(rows)}.values())[::-1]
            self._check_own(self._rows[0].path)
            self.retry()

    def close(self) -> None:
        """Let go of all; what is open of them must not be used any more."""
        with self._lock:
            for row in self._rows:
                self._unlock(row)
            self._rows = []

    # --- what there is ----------------------------------------------------------------------

    @property
    def homes(self) -> tuple[str, ...]:
        """Owners of those that are served."""
        return self.store.homes

    def list(self) -> Sequence[Mapping[str, str]]:
        """For operators: ``host`` (the owner, "" where it is not known), ``path``, ``kind``, and
        ``away``: why it is not served."""
        with self._lock:
            return [
                {"host": row.home, "path": str(row.path), "kind": row.kind.value, "away": row.away}
                for row in self._rows
            ]

    # --- changes ----------------------------------------------------------------------------

    def attach(self, path: Path | str) -> str:
        """Serve a storage from now on, also after a restart; its owner.  Nothing where it is served
        already.  Raises MailStoreError, and then nothing has changed."""
        path = _plain(Path(path))
        with self._lock:
            row = self._row(path)
            if row is None:
                row = _Row(path, Kind.ATTACHED)
                self._take(row)
                self._rows.append(row)
                try:
                    self._write()
                except BaseException:
                    self._rows.remove(row)
                    self._release(row)
                    raise
            elif row.lock is None:
                self._take(row)
            log.info("serving the storage of %s in %s", row.home, path)
            return row.home

    def detach(self, which: str) -> str:
        """Serve it no longer: by its owner or its path; the owner.  Raises StorageAway, also for what
        is to be served by configuration, which would come back."""
        with self._lock:
            row = self._which(which)
            if row.kind is not Kind.ATTACHED:
                raise StorageAway(f"{row.path} is the backend's by its configuration")
            self._rows.remove(row)
            try:
                self._write()
            except BaseException:
                self._rows.append(row)
                raise
            self._release(row)
            log.info("no longer serving the storage of %s in %s", row.home or "?", row.path)
            return row.home

    def retry(self) -> bool:
        """Try for those that are away.  Whether some are, still."""
        with self._lock:
            for row in self._rows:
                if row.lock is None:
                    self._try(row)
            return any(row.lock is None for row in self._rows)

    def _try(self, row: _Row) -> None:
        try:
            self._ask_for(row)
            self._take(row)
        except MailStoreError as error:
            if row.away != str(error):
                log.warning("the storage in %s is not served: %s", row.path, error)
            row.away = str(error)
        else:
            log.info("serving the storage of %s in %s", row.home, row.path)

    # --- one storage ------------------------------------------------------------------------

    def _ask_for(self, row: _Row) -> None:
        """Raises StorageAway while its accounts are other hosts'."""
        if self._hosts is None or row.kind is Kind.CONFIGURED or not (row.path / MARKER).exists():
            return
        owner = row.home = Storage.open(row.path, self._disk).owner
        hosts = self._hosts(owner)
        if self._owner not in hosts and (hosts or row.kind is Kind.ATTACHED):
            raise StorageAway(f"the accounts of {owner} are on {', '.join(sorted(hosts)) or 'no host'} now")

    def _take(self, row: _Row) -> None:
        """Lock it, and have the store serve it."""
        if row.kind is Kind.OWN and not self._made:
            # Before it is made: should that be cut short, it is only away.
            self._make_own(row)
            return
        if row.kind is Kind.OWN:
            self._check_own(row.path)
        storage = Storage.open(row.path, self._disk)
        if row.kind is not Kind.OWN and storage.owner == self._owner:
            raise StorageUnusable(f"{row.path} is a storage of this backend's own name, {self._owner}")
        self._hold(row)
        try:
            row.home = self.store.attach(row.path)
        except BaseException:
            self._unlock(row)
            raise
        row.away = ""

    def _make_own(self, row: _Row) -> None:
        with translated():
            row.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not (row.path / MARKER).exists():
            Storage.make(row.path, self._owner, self._disk)
        self._hold(row)
        try:
            self.store.make(row.path)
            self._made = True
            self._write()
        except BaseException:
            self._unlock(row)
            raise
        row.away = ""

    def _check_own(self, path: Path) -> None:
        """It may be away, but not be another's.  Raises StorageUnusable."""
        if not (path / MARKER).exists():
            return
        owner = Storage.open(path, self._disk).owner
        if owner != self._owner:
            raise StorageUnusable(
                f"{path} is the storage of {owner}, and this server's name is {self._owner}"
            )

    def _release(self, row: _Row) -> None:
        if row.lock is not None:
            self.store.detach(row.home)
            self._unlock(row)

    def _hold(self, row: _Row) -> None:
        lock = _hold(row.path)
        with translated():
            try:
                row.device = self._together.hold(str(row.path))
            except OSError:
                os.close(lock)
                raise
        row.lock = lock

    def _unlock(self, row: _Row) -> None:
        if row.lock is not None:
            self._together.release(row.device)
            os.close(row.lock)
            row.lock = None

    def _row(self, path: Path) -> _Row | None:
        return next((row for row in self._rows if row.path == path), None)

    def _which(self, which: str) -> _Row:
        row = self._row(_plain(Path(which))) if "/" in which else None
        for each in self._rows:
            if row is None and each.home == which.lower() and each.home:
                row = each
        if row is None:
            raise StorageAway(f"no storage {which} is attached here")
        return row

    # --- the list ---------------------------------------------------------------------------

    def _read(self) -> tuple[bool, tuple[Path, ...]]:
        path = self._data / FILE
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            attached = tuple(Path(each) for each in found["attached"])
            return bool(found["own"]), attached
        except FileNotFoundError:
            return False, ()
        except OSError as error:
            raise StorageUnusable(f"{path} can't be read: {error.strerror}") from None
        except (ValueError, KeyError, TypeError):
            raise StorageUnusable(f"{path} is damaged; it lists the attached storages") from None

    def _write(self) -> None:
        attached = [str(row.path) for row in self._rows if row.kind is Kind.ATTACHED]
        text = json.dumps({"own": self._made, "attached": attached}, indent=1)
        with translated():
            self._disk.replace(str(self._data / FILE), f"{text}\n".encode(), str(self._data))


def _plain(path: Path) -> Path:
    """One name for each place, so that it is known again."""
    return Path(os.path.realpath(path.expanduser()))


def _hold(path: Path) -> int:
    """Be the process that serves the storage.  Raises StorageAway while another is."""
    with _locked(path / LOCK) as descriptor:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise
            who = os.pread(descriptor, 200, 0).decode("utf-8", "replace").strip()
            raise StorageAway(f"{path} is in use by {who or 'another process'}; detach it there") from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()} of {os.uname().nodename}\n".encode(), 0)
        return descriptor


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    """The file, closed again where it can't be had."""
    with translated():
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            yield descriptor
        except BaseException:
            os.close(descriptor)
            raise
