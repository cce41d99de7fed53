"""What the operations of one directory share: the store, the schema, the rights, and
what is remembered of the store's current state.

Reads run in the caller's thread, writes in the store's writer thread; what is here is
either unchanging or safe to use from both.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence

from attrs import Factory, field, frozen

from ldapserver import indexing
from ldapserver.access import Policy, Right, View, Who
from ldapserver.catalogue import Catalogue
from ldapserver.directory import Limits
from ldapserver.dn import normalise_rdn, parse_rdn
from ldapserver.identity import Identity
from ldapserver.indexing import Indexes
from ldapserver.names import Names, key_of
from ldapserver.projection import Projection
from ldapserver.schema import Schema, standard_schema
from storage.env import DEFAULT_MAP_SIZE
from storage.snapshot import Snapshot
from storage.store import Store

_PROJECTIONS_KEPT = 1_000

ADMINISTRATOR_DN = "cn=admin"


def _nothing(_: str) -> None:
    pass


@frozen
class Settings:
    """A directory's settings.

    ``administrator_password`` may be hashed (``passwords``); without one nobody binds as
    the administrator.  ``indexes`` are those of a new store; an existing one keeps its
    own until it is reindexed.  ``notice`` hears what an operator should know.
    ``host_of_new`` chooses the hostServer of accounts that are added without one.
    ``clock`` gives microseconds since 1970, ``monotonic`` seconds.  ``version`` and
    ``start_tls`` (whether listeners offer it) are for the root DSE.
    """

    administrator_dn: str = ADMINISTRATOR_DN
    administrator_password: bytes | None = field(default=None, repr=False)
    schema: Schema = Factory(standard_schema)
    policy: Policy = Policy()
    limits: Limits = Limits()
    indexes: Mapping[str, Sequence[str]] = indexing.DEFAULT
    map_size: int = DEFAULT_MAP_SIZE
    sync: bool = True
    version: str = ""
    start_tls: bool = False
    notice: Callable[[str], None] = _nothing
    host_of_new: Callable[[Core, Snapshot], str | None] = lambda core, snapshot: None
    clock: Callable[[], int] = lambda: time.time_ns() // 1000
    monotonic: Callable[[], float] = time.monotonic
    random: Callable[[int], bytes] = os.urandom


@frozen(eq=False)
class State:
    """What is remembered of the store's state as of one transaction."""

    number: int
    names: Names
    indexes: Indexes


class Core:
    def __init__(self, store: Store, settings: Settings) -> None:
        self.store = store
        self.settings = settings
        self.schema = settings.schema
        self.limits = settings.limits
        self.catalogue = Catalogue(settings.schema)
        self.catalogue.prepare(store)
        self.administrator = Identity(
            settings.administrator_dn, key_of(settings.administrator_dn, self.schema), administrator=True
        )
        self._self_reads = any(
            rule.who is Who.SELF and Right.READ in rule.rights for rule in settings.policy.rules
        )
        self._projections: dict[tuple[View, tuple[str, ...], bool], Projection] = {}
        self._prepare_indexes()
        with store.snapshot() as snapshot:
            self._state = self._read_state(snapshot, None)

    def _prepare_indexes(self) -> None:
        with self.store.snapshot() as snapshot:
            found = snapshot.meta(indexing.META)
        wanted = indexing.encode(self.settings.indexes)
        if found is None:
            with self.store.write() as txn:
                txn.set_meta(indexing.META, wanted)
        elif found != wanted and self.settings.indexes is not indexing.DEFAULT:
            self.settings.notice(
                "the configured indexes are not those of the store, which stay in use: run cgctl reindex"
            )

    def state(self, snapshot: Snapshot) -> State:
        """The state as a reader's snapshot has it."""
        number = snapshot.number
        state = self._state
        if state.number != number:
            self.catalogue.catch_up(snapshot)
            newer = number > state.number
            state = self._read_state(snapshot, state)
            if newer:
                self._state = state
        return state

    def state_in(self, txn: Snapshot) -> State:
        """The state inside a write transaction: not remembered, since it may be undone."""
        state = self._read_state(txn, self._state)
        return State(state.number, Names(state.names.tree_number), state.indexes)

    def _read_state(self, snapshot: Snapshot, last: State | None) -> State:
        tree_number = snapshot.tree_number()
        raw = snapshot.meta(indexing.META)
        assert raw is not None
        same_tree = last is not None and last.names.tree_number == tree_number
        same_indexes = last is not None and last.indexes.raw == raw
        return State(
            snapshot.number,
            last.names if last is not None and same_tree else Names(tree_number),
            last.indexes if last is not None and same_indexes else Indexes.read(self.catalogue, raw),
        )

    @property
    def everything(self) -> View:
        """The rights of the administrator."""
        return self.settings.policy.view(self.administrator, False)

    def own_view_differs(self, identity: Identity) -> bool:
        """Whether a client reads more of its own entry than of others'."""
        return self._self_reads and bool(identity.key) and not identity.administrator

    def rdn_key(self, rdn: bytes) -> bytes:
        """The normalised form of a stored RDN."""
        return normalise_rdn(parse_rdn(rdn.decode()), self.schema)

    def projection(self, view: View, attributes: tuple[str, ...], types_only: bool) -> Projection:
        """Remembered: shapes learned in one search serve the next."""
        key = (view, attributes, types_only)
        found = self._projections.get(key)
        if found is None:
            if len(self._projections) >= _PROJECTIONS_KEPT:
                self._projections.clear()
            found = Projection(self.catalogue, view, attributes, types_only)
            self._projections[key] = found
        return found

    def view(self, identity: Identity, *, own: bool = False) -> View:
        return self.settings.policy.view(identity, own)
