"""Search (RFC 4511 section 4.5), over one snapshot from its first entry to its last.

``Searcher.search`` is a generator of message tails (what follows the messageID).  Two ways lead
through it.  A look-up, one indexed equality as mail servers send by the thousand, is
prepared once for its base, attributes and rights, and then costs an index get and a cut
of the record.  Everything else is planned, walked and matched.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator

from attrs import define, field, frozen

from ldapserver import paging
from ldapserver.access import View
from ldapserver.aliases import Aliases, find_base, no_such_object
from ldapserver.controls import (
    ASSERTION,
    PAGED_RESULTS,
    PagedResults,
    decode_assertion,
    decode_paged_results,
    encode_paged_results,
)
from ldapserver.core import Core, State
from ldapserver.filters import format_filter
from ldapserver.identity import Identity
from ldapserver.matching import Compiler, Predicate
from ldapserver.messages import (
    Control,
    Deref,
    Equality,
    Filter,
    Result,
    Scope,
    SearchHead,
    SearchRequest,
)
from ldapserver.names import find, find_nearest, key_of
from ldapserver.planner import Plan, Planner
from ldapserver.projection import Projection
from ldapserver.results import LDAPError, ResultCode
from ldapserver.rootdse import synthetic
from ldapserver.views import EntryView
from ldapserver.walk import is_below, walk
from ldapserver.wire.encode import entry_tail
from storage import keys, records
from storage.keys import ROOT, EntryId
from storage.snapshot import Snapshot

SUCCESS = Result()

# Entries looked at between two chances for others.
_TURN = 200
# Entries looked at in vain before an operator is told that an index is missing.
_WORTH_A_NOTICE = 1_000
_PREPARED_KEPT = 10_000


@frozen(eq=False)
class Lookup:
    """An indexed equality, prepared: all but the value.

    ``base`` is the normalised base; ``prefix`` the index term's beginning.
    """

    base: tuple[bytes, ...]
    scope: Scope
    size_limit: int
    prefix: bytes
    normalise: Callable[[bytes], bytes]
    projection: Projection


class Searcher:
    def __init__(self, core: Core) -> None:
        self._core = core
        self._lookups: dict[tuple[View, SearchHead, str, tuple[str, ...]], Lookup] = {}
        self._lookups_of: bytes = b""

    def search(
        self, identity: Identity, request: SearchRequest, controls: tuple[Control, ...]
    ) -> Generator[bytes, None, Result]:
        core = self._core
        snapshot = core.store.snapshot()
        try:
            state = core.state(snapshot)
            filter = request.filter
            if type(filter) is Equality and not controls:
                lookup = self._lookup(state, identity, request, filter)
                if lookup is not None:
                    return (yield from self._look_up(lookup, filter.value, snapshot, state))
            search = Search(core, snapshot, state, identity, request, controls)
            return (yield from search.run())
        finally:
            snapshot.close()

    def _lookup(
        self, state: State, identity: Identity, request: SearchRequest, filter: Equality
    ) -> Lookup | None:
        core = self._core
        if state.indexes.raw is not self._lookups_of:
            self._lookups.clear()
            self._lookups_of = state.indexes.raw
        view = core.view(identity)
        key = (view, request.head, filter.attribute, request.attributes)
        found = self._lookups.get(key)
        if found is None:
            found = self._prepare(state, identity, view, request, filter)
            if found is not None:
                if len(self._lookups) >= _PREPARED_KEPT:
                    self._lookups.clear()
                self._lookups[key] = found
        return found

    def _prepare(
        self, state: State, identity: Identity, view: View, request: SearchRequest, filter: Equality
    ) -> Lookup | None:
        """None where the ordinary way must be taken."""
        core = self._core
        head = request.head
        description = core.schema.find_description(filter.attribute)
        if description is None or description.options or not view.readable(description.type):
            return None
        kind = description.type
        number = state.indexes.equality.get(kind)
        rule = kind.equality
        if (
            number is None
            or rule is None
            or kind.name == "objectClass"
            or len(core.schema.subtypes(kind)) > 1
        ):
            return None
        if head.deref != Deref.NEVER or head.scope == Scope.BASE or core.own_view_differs(identity):
            return None
        projection = Projection(core.catalogue, view, request.attributes, head.types_only)
        return Lookup(
            key_of(head.base, core.schema),
            head.scope,
            _size_limit(core, identity, head),
            keys.equality_prefix(number),
            rule.normalise,
            projection,
        )

    def _look_up(
        self, lookup: Lookup, value: bytes, snapshot: Snapshot, state: State
    ) -> Generator[bytes, None, Result]:
        base = find(snapshot, lookup.base)
        names = state.names
        if base is None:
            raise no_such_object(snapshot, names, find_nearest(snapshot, lookup.base))
        try:
            term = lookup.prefix + keys.bounded(lookup.normalise(value))
        except ValueError:
            return SUCCESS
        scope = lookup.scope
        sent = 0
        for entry in snapshot.few_ids(term):
            record = snapshot.entry(entry)
            assert record is not None
            parent = record[:8]
            suffix, ancestors = names.below(snapshot, parent)
            if scope == Scope.SUBTREE:
                if base not in ancestors and entry != base:
                    continue
            elif scope == Scope.ONE:
                if parent != base:
                    continue
            elif base not in ancestors:
                continue
            if sent and sent == lookup.size_limit:
                return Result(ResultCode.SIZE_LIMIT_EXCEEDED)
            sent += 1
            dn = records.rdn_of(record) + suffix
            yield entry_tail(dn, lookup.projection.cut(names, snapshot, entry, record))
        return SUCCESS


@define
class Budget:
    """What one search may still do; ``spend`` raises when it is too much."""

    time_left: Callable[[], float]
    look_through: int
    filter: Filter
    base: str
    notice: Callable[[str], None]
    in_vain: int = 0
    looked_at: int = field(default=0)

    def spend(self, matched: bool) -> bool:
        """Count an entry that was looked at; True when it is time for a pause."""
        self.looked_at += 1
        if not matched:
            self.in_vain += 1
            if self.look_through and self.in_vain > self.look_through:
                raise LDAPError(
                    ResultCode.ADMIN_LIMIT_EXCEEDED,
                    f"looked at {self.look_through} entries in vain; the search needs an index",
                )
        if self.looked_at % _TURN:
            return False
        if self.time_left() <= 0:
            raise LDAPError(ResultCode.TIME_LIMIT_EXCEEDED)
        return True

    def tell(self, planned: bool) -> None:
        """Tell the operator of a search that an index would have spared."""
        if self.in_vain >= _WORTH_A_NOTICE:
            how = "an index that hardly narrows it" if planned else "no index"
            self.notice(
                f"search with {how}: looked at {self.looked_at} entries, {self.in_vain} in vain, "
                f"below {self.base!r} for {format_filter(self.filter)}"
            )


class Search:
    """One search that is planned and matched."""

    def __init__(
        self,
        core: Core,
        snapshot: Snapshot,
        state: State,
        identity: Identity,
        request: SearchRequest,
        controls: tuple[Control, ...] = (),
    ) -> None:
        self._core = core
        self._snapshot = snapshot
        self._identity = identity
        self._request = request
        self._state = state
        self._names = state.names
        self._paged: PagedResults | None = None
        self._assertion: Filter | None = None
        for control in controls:
            if control.oid == PAGED_RESULTS:
                self._paged = decode_paged_results(control.value)
            elif control.oid == ASSERTION:
                self._assertion = decode_assertion(control.value)
        self._limit = _size_limit(core, identity, request.head)
        self._own = self._own_entry()
        self._view = core.view(identity)

    def _own_entry(self) -> EntryId | None:
        """The entry for which the client has rights of its own."""
        if not self._core.own_view_differs(self._identity):
            return None
        return find(self._snapshot, self._identity.key)

    def run(self) -> Generator[bytes, None, Result]:
        core, head = self._core, self._request.head
        key = key_of(head.base, core.schema)
        subject = synthetic(core, self._snapshot, key) if _names_synthetic(key, head.scope) else None
        if subject is not None:
            predicate = Compiler(core.schema, core.everything).compile(self._request.filter)
            if predicate(subject):
                yield entry_tail(subject.dn, subject.select(self._request.attributes, head.types_only))
            return SUCCESS
        follow = head.deref in (Deref.FINDING, Deref.ALWAYS)
        base = find_base(core, self._snapshot, self._names, head.base, follow=follow)
        if self._assertion is not None:
            self._check_assertion(base)
        seconds = head.time_limit or core.limits.time_limit
        if core.limits.time_limit and not self._identity.administrator:
            seconds = min(seconds, core.limits.time_limit)
        deadline = core.settings.monotonic() + seconds if seconds else float("inf")
        budget = Budget(
            time_left=lambda: deadline - core.settings.monotonic(),
            look_through=0 if self._identity.administrator else core.limits.look_through,
            filter=self._request.filter,
            base=head.base,
            notice=core.settings.notice,
        )
        plan = self._plan(base)
        try:
            return (yield from self._run(base, plan, budget))
        except LDAPError as error:
            if error.code in _LIMITS:
                return Result(error.code, message=error.message)
            raise
        finally:
            budget.tell(plan is not None)

    def ids(self) -> Iterator[EntryId]:
        """The entries that match, without limits: for what is done to them in a transaction."""
        base = find_base(self._core, self._snapshot, self._names, self._request.head.base, follow=False)
        plan = self._plan(base)
        candidates = self._candidates(base, plan, None)
        if plan is not None and plan.exact and self._own is None:
            return candidates
        return self._matching(candidates)

    def of(self, entries: Iterable[EntryId]) -> Iterator[EntryId]:
        """Those of the entries that the search would find."""
        head = self._request.head
        base = find_base(self._core, self._snapshot, self._names, head.base, follow=False)
        return self._matching(entry for entry in entries if self._in_scope(entry, base, head.scope))

    def _matching(self, entries: Iterable[EntryId]) -> Iterator[EntryId]:
        matches = self._matcher()
        for entry in entries:
            record = self._snapshot.entry(entry)
            if record is not None and matches(entry, record):
                yield entry

    def _check_assertion(self, base: EntryId) -> None:
        predicate = Compiler(self._core.schema, self._view).compile(self._assertion or self._request.filter)
        if base == ROOT or not predicate(self._entry_view(base)):
            raise LDAPError(ResultCode.ASSERTION_FAILED)

    def _entry_view(self, entry: EntryId) -> EntryView:
        data = self._snapshot.entry(entry)
        assert data is not None
        return EntryView(self._core.catalogue, self._names, self._snapshot, entry, data)

    # --- candidates ----------------------------------------------------------------

    def _plan(self, base: EntryId) -> Plan | None:
        """The index's plan, unless the scope itself is as narrow."""
        scope = self._request.head.scope
        if scope == Scope.BASE:
            return None
        compiler = Compiler(self._core.schema, self._view if self._own is None else self._core.everything)
        plan = Planner(self._snapshot, self._state.indexes, compiler).plan(self._request.filter)
        if plan is not None and scope == Scope.ONE and self._snapshot.children_count(base) <= plan.count:
            return None
        return plan

    def _candidates(self, base: EntryId, plan: Plan | None, after: EntryId | None) -> Iterator[EntryId]:
        snapshot, scope = self._snapshot, self._request.head.scope
        if scope == Scope.BASE:
            yield from () if base == ROOT else (base,)
        elif plan is not None:
            for entry in plan.after(after or ROOT):
                if self._in_scope(entry, base, scope):
                    yield entry
        elif scope == Scope.ONE:
            yield from snapshot.children(base, self._place(after)[1] if after else None)
        else:
            found = walk(snapshot, base, after, self._place)
            if scope == Scope.SUBORDINATE and after is None and base != ROOT:
                next(found)
            yield from found

    def _in_scope(self, entry: EntryId, base: EntryId, scope: Scope) -> bool:
        record = self._snapshot.entry(entry)
        if record is None:
            return False
        parent, ancestors = records.parent_of(record), self._names.ancestors(self._snapshot, record)
        if scope == Scope.ONE:
            return parent == base
        return base in ancestors or (entry == base and scope == Scope.SUBTREE)

    def _place(self, entry: EntryId) -> tuple[EntryId, bytes]:
        """An entry's key in the tree; raises when it is gone."""
        record = self._snapshot.entry(entry)
        if record is None:
            raise LDAPError(ResultCode.UNWILLING_TO_PERFORM, "the page's place is gone; search again")
        return records.parent_of(record), self._core.rdn_key(records.rdn_of(record))

    def _dereferenced(self, base: EntryId, after: EntryId | None, aliases: Aliases) -> Iterator[EntryId]:
        """The scope with its aliases giving way to what they lead to (derefInSearching),
        in the order of ids, so that pages can go on."""
        scope = self._request.head.scope
        found: set[EntryId] = set()
        for target in self._alias_bases(base, aliases):
            if target == base:
                found.update(self._candidates(base, None, None))
            elif scope == Scope.ONE:
                found.add(target)
            else:
                found.update(walk(self._snapshot, target))
        yield from (
            entry for entry in sorted(found) if entry > (after or ROOT) and not aliases.is_alias(entry)
        )

    def _alias_bases(self, base: EntryId, aliases: Aliases) -> list[EntryId]:
        """The base, and the targets of the aliases in scope, of those below them, and so on."""
        scope = self._request.head.scope
        bases = [base]
        for current in bases:  # grows while it is walked
            if current != base and scope == Scope.ONE:
                continue
            for alias in aliases.all():
                if self._in_scope(alias, current, scope) and (target := aliases.target(alias)) not in bases:
                    bases.append(target)
        return bases

    # --- answers -------------------------------------------------------------------

    def _run(self, base: EntryId, plan: Plan | None, budget: Budget) -> Generator[bytes, None, Result]:
        paged = self._paged
        aliases = self._aliases()
        walking = plan is None and aliases is None
        after = self._resume_after(base, walking)
        if aliases is not None:
            candidates = self._dereferenced(base, after, aliases)
        else:
            candidates = self._candidates(base, plan, after)
        exact = plan is not None and plan.exact and self._own is None and aliases is None
        matches = None if exact else self._matcher()
        page = paged.size if paged is not None and paged.size else 0
        sent, last = 0, None
        for entry in candidates:
            record = self._snapshot.entry(entry)
            assert record is not None
            matched = matches is None or matches(entry, record)
            if matched:
                if self._limit and sent >= self._limit and not page:
                    return Result(ResultCode.SIZE_LIMIT_EXCEEDED)
                if page and sent == page:
                    assert last is not None
                    return self._page(paging.encode(paging.Place(walking, last), self._request))
                sent, last = sent + 1, entry
                yield entry_tail(
                    self._names.dn(self._snapshot, record),
                    self._projection_of(entry).cut(self._names, self._snapshot, entry, record),
                )
            if budget.spend(matched):
                yield b""
        return self._page(b"") if paged is not None else SUCCESS

    def _aliases(self) -> Aliases | None:
        """None when none are to be followed, or there are none."""
        head = self._request.head
        if head.deref not in (Deref.SEARCHING, Deref.ALWAYS) or head.scope == Scope.BASE:
            return None
        aliases = Aliases(self._core, self._snapshot, self._names)
        return aliases if aliases.exist() else None

    def _resume_after(self, base: EntryId, walking: bool) -> EntryId | None:
        if self._paged is None or not self._paged.cookie:
            return None
        place = paging.decode(self._paged.cookie, self._request)
        if place.walking != walking:
            raise LDAPError(ResultCode.UNWILLING_TO_PERFORM, "the indexes have changed; search again")
        if walking and not is_below(self._snapshot, place.entry, base):
            raise LDAPError(ResultCode.UNWILLING_TO_PERFORM, "the page's place is gone; search again")
        return place.entry

    def _page(self, cookie: bytes) -> Result:
        value = encode_paged_results(PagedResults(0, cookie))
        return Result(controls=(Control(PAGED_RESULTS, False, value),))

    def _matcher(self) -> Callable[[EntryId, bytes], bool]:
        core, snapshot, names, own = self._core, self._snapshot, self._names, self._own
        predicate = Compiler(core.schema, self._view).compile(self._request.filter)
        own_predicate: Predicate = predicate
        if own is not None:
            own_view = core.view(self._identity, own=True)
            own_predicate = Compiler(core.schema, own_view).compile(self._request.filter)

        def matches(entry: EntryId, record: bytes) -> bool:
            test = own_predicate if entry == own else predicate
            return test(EntryView(core.catalogue, names, snapshot, entry, record)) is True

        return matches

    def _projection_of(self, entry: EntryId) -> Projection:
        return self._own_projection if entry == self._own else self._projection

    @property
    def _projection(self) -> Projection:
        return self._core.projection(self._view, self._request.attributes, self._request.head.types_only)

    @property
    def _own_projection(self) -> Projection:
        view = self._core.view(self._identity, own=True)
        return self._core.projection(view, self._request.attributes, self._request.head.types_only)


_LIMITS = (ResultCode.TIME_LIMIT_EXCEEDED, ResultCode.ADMIN_LIMIT_EXCEEDED)
_SUBSCHEMA_KEY = (b"cn=subschema",)


def _names_synthetic(key: tuple[bytes, ...], scope: Scope) -> bool:
    """The root DSE is read by its empty name and scope base only (RFC 4512 section 5.1)."""
    return (not key and scope == Scope.BASE) or (
        key == _SUBSCHEMA_KEY and scope in (Scope.BASE, Scope.SUBTREE)
    )


def _size_limit(core: Core, identity: Identity, head: SearchHead) -> int:
    """0 is none."""
    ours = 0 if identity.administrator else core.limits.size_limit
    asked = head.size_limit
    return min(ours, asked) if ours and asked else ours or asked
