"""Following a directory elsewhere: a copy of it in the node's data folder.

The copy is kept equal by content synchronisation (RFC 4533) with any of the URLs that the
configuration gives, and is used while none of them answers, until it is too old.  Its age
counts from the last moment at which a provider was known to have nothing else to tell; a
file's time remembers it across restarts.

It holds everything below the base that the identity may read.  Logins need userPassword,
which with our directory the administrator alone reads.
"""

# mypy: disallow-untyped-calls=False
# Twisted's services are not annotated.

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import Any, Final

from attrs import evolve
from twisted.application.service import Service
from twisted.internet.defer import Deferred

from cgnode.config.cluster import DirectoryAccess
from cgnode.lookup import Site
from cgnode.members import Override
from cgnode.tables import ConfigError
from ldapserver.core import Settings
from ldapserver.local import LocalDirectory
from ldapserver.net.follower import DEFAULT_PATIENCE, Access, Follower, Patience
from ldapserver.net.listen import Address, ListenError, TCPAddress, parse_url
from ldapserver.net.watch import Watch
from ldapserver.sync.copy import Copy
from storage.errors import StoreError

REPLICA: Final = "replica"
_CONTACT: Final = "contact"
_SECTION: Final = "cluster.directory"

# Between two times that the file is given.
_REMEMBER: Final = 5.0


class RemoteFollowing(Service):
    """``following.Following`` over a copy in ``folder``.  ``settings`` are the copy's (schema
    and indexes count); ``clock`` is the time of day, in seconds, and ``steady`` one that nobody
    sets.  Raises ConfigError."""

    def __init__(
        self,
        reactor: Any,
        access: DirectoryAccess,
        folder: Path,
        base: str = "",
        overrides: tuple[Override, ...] = (),
        *,
        settings: Settings | None = None,
        environ: Mapping[str, str] = os.environ,
        clock: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
        patience: Patience = DEFAULT_PATIENCE,
        random: Random | None = None,
    ) -> None:
        wanted = _access(access, environ)
        self._max_age = access.max_age
        self._clock = clock
        self._steady = steady
        self._folder = folder / REPLICA
        try:
            self._directory = LocalDirectory.open(self._folder, settings)
        except StoreError as error:
            raise ConfigError(f"{_SECTION}: {error}") from None
        self.site = Site(self._directory.core, base, overrides)
        self._watch = Watch(reactor, self._directory)
        self._copy = Copy(self._directory, base)
        self._loaded = self._copy.loaded
        # The time of day only tells how long nobody was here.
        self._last_contact = steady() - max(0.0, clock() - self._remembered())
        self._remembered_at = 0.0
        # A directory that only has nothing to tell must not seem to be away.
        often = evolve(patience, heartbeat=min(patience.heartbeat, access.max_age / 3))
        self._follower = Follower(reactor, self._copy, wanted, self._contact, often, random)

    # --- the interface of following.Following -------------------------------------------

    def usable(self) -> str | None:
        why = f" ({self._follower.fault})" if self._follower.fault else ""
        if not self._loaded:
            return f"the directory was not copied yet{why}"
        age = self.age
        if age > self._max_age:
            return f"the copy of the directory is {age:.0f} s old{why}"
        return None

    def in_step(self) -> bool:
        return self._follower.persisting

    def subscribe(self, changed: Callable[[], None]) -> Callable[[], None]:
        return self._watch.subscribe(changed)

    def status(self) -> Mapping[str, object]:
        follower = self._follower
        return {
            "source": follower.provider or "none",
            "loaded": self._loaded,
            "following": follower.persisting,
            "age": round(self.age, 1) if self._loaded else None,
            "connections": follower.connections,
            "fault": follower.fault,
            "transaction": self._directory.last_transaction(),
        }

    @property
    def age(self) -> float:
        """Seconds since the copy was known to be what the provider has."""
        return self._steady() - self._last_contact

    # --- its life -----------------------------------------------------------------------

    def startService(self) -> None:
        super().startService()
        self._follower.start()

    def stopService(self) -> Deferred[None]:
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    def abandon(self) -> None:
        """After a start that failed, before ``startService``."""
        self._directory.close()

    async def _stop(self) -> None:
        await self._follower.stop()
        self._watch.close()
        self._directory.close()

    # --- age ----------------------------------------------------------------------------

    def _contact(self) -> None:
        self._loaded = True
        self._last_contact = self._steady()
        now = self._clock()
        if not 0 <= now - self._remembered_at < _REMEMBER:
            self._remembered_at = now
            path = self._folder / _CONTACT
            try:
                path.touch()
                os.utime(path, (now, now))
            except OSError:
                """A full disk: the copy seems older after a restart."""

    def _remembered(self) -> float:
        try:
            return (self._folder / _CONTACT).stat().st_mtime
        except OSError:
            return 0.0


def _access(access: DirectoryAccess, environ: Mapping[str, str]) -> Access:
    return Access(
        tuple(_address(url, i) for i, url in enumerate(access.urls)),
        access.bind_dn or None,
        _password(access, environ),
        None if access.ca is None else _read(access.ca, "ca"),
        access.start_tls,
    )


def _address(url: str, index: int) -> Address:
    key = f"{_SECTION}.urls[{index}]"
    try:
        address = parse_url(url)
    except ListenError as error:
        raise ConfigError(f"{key}: {error}") from None
    if isinstance(address, TCPAddress) and not address.host:
        raise ConfigError(f"{key}: {url} names no host")
    return address


def _password(access: DirectoryAccess, environ: Mapping[str, str]) -> bytes:
    if access.password_file is not None:
        return _read(access.password_file, "password_file").rstrip(b"\r\n")
    if access.password_env is None:
        return b""
    if access.password_env not in environ:
        raise ConfigError(f"{_SECTION}.password_env: there is no variable {access.password_env}")
    return environ[access.password_env].encode()


def _read(path: Path, key: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{_SECTION}.{key}: cannot read {path}: {error.strerror}") from None
