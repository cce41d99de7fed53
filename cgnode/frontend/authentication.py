"""Who a client is: names by the Router, passwords and SCRAM keys by the account's record in
the local copy of the directory.

What lives here: the check of a password or a proof, in a thread where it takes long, what a
failure costs, and that an unknown name can't be told from a wrong password.  What must not:
any protocol's words for it, and what the account may do.

A failed check is answered ``delay`` seconds after it began, whatever it took; and who tries
many at a time is held besides (``penalties``).
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias, TypeVar, cast

from attrs import define, evolve, field, frozen
from twisted.internet.defer import Deferred, succeed
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool

from cgnode.following import Following
from cgnode.frontend.penalties import Penalties
from cgnode.lookup import StoreLookup
from cgnode.names import LONGEST_ADDRESS, BadName, parse_login
from cgnode.proto import sasl
from cgnode.router import Account, AccountRecord, NoHost, Router, Unknown
from ldapserver import passwords
from ldapserver.net.reactor import Reactor
from ldapserver.ops.bind import MOST_PASSWORDS, matching
from storage.errors import StoreError

MOST_WAITING: Final = 1000
"""Checks that wait for a thread; from so many on clients are told to come again."""
_REMEMBERED: Final = 10_000


@frozen
class Granted:
    """``account.host`` is as the record has it: None, or a server that is none, too."""

    account: AccountRecord


@frozen
class Denied:
    """``reason`` is for the log; the client is never told which."""

    reason: str


@frozen
class Unavailable:
    """Nobody can tell now: a temporary error."""

    reason: str


Verdict: TypeAlias = Granted | Denied | Unavailable
_V = TypeVar("_V", Granted, Denied, Unavailable)


@define
class Counters:
    granted: int = 0
    denied: int = 0
    unavailable: int = 0


@frozen
class _Known:
    """``stored`` is what a password is verified against; ``keys`` prove it without it."""

    account: AccountRecord
    stored: tuple[bytes, ...] = field(repr=False)
    keys: sasl.ScramKeys | None = field(repr=False)


@frozen
class _Attempt:
    """``key`` is the account's, known or not."""

    name: str
    authzid: str
    source: str
    key: str
    begun: float


class Authenticator:
    """``secret`` is the cluster's: it makes the salts of names that are unknown.  ``scram``:
    SCRAM-SHA-256 is to be offered.  ``pool`` is for passwords that take long to verify."""

    def __init__(
        self,
        reactor: Reactor,
        following: Following,
        default_domain: str,
        *,
        secret: bytes,
        pool: ThreadPool,
        own_names: frozenset[str] = frozenset(),
        delay: float = 2.0,
        scram: bool = False,
    ) -> None:
        self._reactor = reactor
        self._following = following
        self._default_domain = default_domain
        self._own_names = own_names
        self._secret = secret
        self._pool = pool
        self._delay = delay
        self._scram = scram
        self._penalties = Penalties(delay)
        self._right = _Remembered()
        self._waiting = 0
        self._state: tuple[object, int] = (None, -1)
        self._found: dict[str, _Known | Denied] = {}
        """What names mean in that state of the directory."""
        self.counters = Counters()

    @property
    def mechanisms(self) -> tuple[str, ...]:
        """What listeners offer."""
        scram = (sasl.SCRAM_SHA_256,) if self._scram else ()
        return (*scram, sasl.PLAIN, sasl.LOGIN)

    # --- passwords --------------------------------------------------------------------

    def check(self, name: str, password: bytes, authzid: str = "", source: str = "") -> Deferred[Verdict]:
        """Whether the password is the account's.  ``authzid``: who the client wants to be,
        which is itself; ``source`` is its address."""
        known = self._find(name)
        if isinstance(known, Unavailable):
            return succeed(self._count(known))
        attempt = self._attempt(name, authzid, source, known)
        wait = self._penalties.left(attempt.begun, source, attempt.key)
        if wait <= 0:
            return self._verify(attempt, known, password)
        done: Deferred[Verdict] = Deferred()

        def begin() -> None:
            later = evolve(attempt, begun=self._reactor.seconds())
            self._verify(later, self._find(name), password).chainDeferred(done)

        self._reactor.callLater(wait, begin)
        return done

    def _verify(
        self, attempt: _Attempt, known: _Known | Denied | Unavailable, password: bytes
    ) -> Deferred[Verdict]:
        if isinstance(known, Unavailable):
            return succeed(self._count(known))
        stored = known.stored if isinstance(known, _Known) else ()
        if stored and all(map(passwords.is_fast, stored)):
            return self._decide(attempt, known, matching(stored, password) is not None)
        if self._right.has(stored, password):
            return self._decide(attempt, known, True)
        if self._waiting >= MOST_WAITING:
            return succeed(self._count(Unavailable("too many passwords wait to be verified")))
        self._waiting += 1
        values = stored or (passwords.DUMMY,)
        verified = deferToThreadPool(cast(Any, self._reactor), self._pool, matching, values, password)

        def done(found: bytes | Failure | None) -> Deferred[Verdict]:
            self._waiting -= 1
            if isinstance(found, Failure):
                found.raiseException()
            right = bool(stored) and found is not None
            if right:
                self._right.add(stored, password)
            return self._decide(attempt, known, right)

        return verified.addBoth(done)

    def _decide(self, attempt: _Attempt, known: _Known | Denied, right: bool) -> Deferred[Verdict]:
        if isinstance(known, Denied):
            return self._deny(attempt, known.reason)
        if not right:
            return self._deny(attempt, "wrong password" if known.stored else "it has no password")
        if not self._is_itself(attempt, known):
            return self._deny(attempt, f"wants to act as {attempt.authzid}")
        self._penalties.succeeded(attempt.source)
        return succeed(self._count(Granted(known.account)))

    def _is_itself(self, attempt: _Attempt, known: _Known) -> bool:
        if attempt.authzid in ("", attempt.name):
            return True
        other = self._find(attempt.authzid)
        return isinstance(other, _Known) and other.account.dn == known.account.dn

    def _deny(self, attempt: _Attempt, reason: str) -> Deferred[Verdict]:
        now = self._reactor.seconds()
        self._penalties.failed(now, attempt.source, attempt.key)
        answer: Deferred[Verdict] = Deferred()
        left = max(0.0, attempt.begun + self._delay - now)
        self._reactor.callLater(left, answer.callback, self._count(Denied(reason)))
        return answer

    # --- SCRAM ------------------------------------------------------------------------

    def keys(self, name: str) -> sasl.ScramKeys | Unavailable:
        """Those of the account; for one that has none, or is none, keys that fit no password."""
        known = self._find(name)
        if isinstance(known, Unavailable):
            return self._count(known)
        found = known.keys if isinstance(known, _Known) else None
        return found or sasl.decoy_keys(self._secret, self._key(name, known))

    def proven(self, name: str, authzid: str = "", source: str = "") -> Deferred[Verdict]:
        """Who has shown that it knows the password of ``name``."""
        known = self._find(name)
        if isinstance(known, Unavailable):
            return succeed(self._count(known))
        return self._decide(self._attempt(name, authzid, source, known), known, True)

    def disproved(self, name: str, source: str = "") -> Deferred[Verdict]:
        """The proof was wrong: Denied, when it is time to say so."""
        known = self._find(name)
        reason = known.reason if isinstance(known, Denied) else "wrong proof"
        return self._deny(self._attempt(name, "", source, known), reason)

    # --- names ------------------------------------------------------------------------

    def find(self, name: str) -> Granted | Denied | Unavailable:
        """Whose account a name means, whoever asks."""
        known = self._find(name)
        return Granted(known.account) if isinstance(known, _Known) else known

    def _find(self, name: str) -> _Known | Denied | Unavailable:
        reason = self._following.usable()
        if reason is not None:
            return Unavailable(reason)
        site = self._following.site
        try:
            state = (site, site.core.store.last_transaction())
            if state != self._state or len(self._found) >= _REMEMBERED:
                self._state = state
                self._found.clear()
            found = self._found.get(name)
            if found is None:
                with site.reading() as lookup:
                    found = self._look_up(lookup, name)
                    if lookup.snapshot.number == state[1] and len(name) <= LONGEST_ADDRESS:
                        self._found[name] = found
            return found
        except StoreError as error:
            return Unavailable(f"the copy of the directory: {error}")

    def _look_up(self, lookup: StoreLookup, name: str) -> _Known | Denied:
        found = Router(lookup, self._default_domain, self._own_names).login(name).outcome
        if not isinstance(found, Account | NoHost):
            return Denied(found.reason if isinstance(found, Unknown) else "not an account")
        address = found.address
        entry = lookup.entry_of(address.local.lower(), address.domain)
        data = None if entry is None else lookup.snapshot.entry(entry)
        assert data is not None, "the Router has just read it"
        values = lookup.values(data, "userPassword")[:MOST_PASSWORDS]
        parsed = {value: sasl.parse_scram(value) for value in values}
        keys = next(filter(None, parsed.values()), None)
        # The keys are another form of a password, not one more: where there is a hash they
        # are not asked, which would cost as much again.
        hashes = tuple(value for value in values if parsed[value] is None)
        return _Known(AccountRecord(found.dn, address, found.host), hashes or tuple(values), keys)

    def _attempt(
        self, name: str, authzid: str, source: str, known: _Known | Denied | Unavailable
    ) -> _Attempt:
        return _Attempt(name, authzid, source, self._key(name, known), self._reactor.seconds())

    def _key(self, name: str, known: _Known | Denied | Unavailable) -> str:
        """The same for all ways to write a name, of an account or of none."""
        if isinstance(known, _Known):
            return str(known.account.address)
        try:
            address = parse_login(name)
        except BadName:
            # Not as it is: it might be somebody's address (``Penalties``).
            return repr(name[:200].lower())
        return f"{address.local.lower()}@{address.domain or self._default_domain}"

    def _count(self, verdict: _V) -> _V:
        match verdict:
            case Granted():
                self.counters.granted += 1
            case Denied():
                self.counters.denied += 1
            case Unavailable():
                self.counters.unavailable += 1
        return verdict


class _Remembered:
    """Passwords that were right lately, by a digest that is of no use to anybody else: a
    client that logs in for each of its requests pays for Argon2 once.  An account that gets
    another password has other stored values, and with them another digest."""

    def __init__(self, randomness: Callable[[int], bytes] = secrets.token_bytes) -> None:
        self._key = randomness(32)
        self._digests: dict[bytes, None] = {}

    def has(self, stored: Sequence[bytes], password: bytes) -> bool:
        if not stored:
            return False
        return self._digest(stored, password) in self._digests

    def add(self, stored: Sequence[bytes], password: bytes) -> None:
        digests = self._digests
        digests[self._digest(stored, password)] = None
        if len(digests) > _REMEMBERED:
            del digests[next(iter(digests))]

    def _digest(self, stored: Sequence[bytes], password: bytes) -> bytes:
        made = hashlib.blake2b(key=self._key, digest_size=16)
        for part in (*stored, password):
            made.update(len(part).to_bytes(4, "big"))
            made.update(part)
        return made.digest()
