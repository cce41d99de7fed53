"""Search (RFC 4511 section 4.5), over one snapshot from its first entry to its last.

Answers are message tails (what follows the messageID).  Two ways lead to them.  A
look-up, one indexed equality as mail servers send by the thousand, is prepared once for
its base, attributes and rights, and then costs an index get and a cut of the record.
Everything else is planned, walked and matched.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator

from attrs import frozen

from ldapserver import paging
from ldapserver.access import View
from ldapserver.aliases import Aliases, find_base, no_such_object
from ldapserver.controls import PAGED_RESULTS, PagedResults, decode_paged_results, encode_paged_results
from ldapserver.core import Core, State
from ldapserver.filters import format_filter
from ldapserver.identity import Identity
from ldapserver.matching import Compiler, Predicate
from ldapserver.messages import (
    Control,
    Deref,
    Equality,
    Present,
    Result,
    Scope,
    SearchHead,
    SearchRequest,
)
from ldapserver.names import find, find_nearest, key_of
from ldapserver.ops.budget import Budget
from ldapserver.ops.controls import extras, require
from ldapserver.ops.extent import Extent
from ldapserver.paging import Place
from ldapserver.planner import Plan, Planner
from ldapserver.projection import Projection
from ldapserver.results import LDAPError, ResultCode
from ldapserver.rootdse import synthetic
from ldapserver.sync.codec import SYNC_REQUEST
from ldapserver.views import EntryView
from ldapserver.walk import path_to
from ldapserver.wire.encode import entry_tail
from storage import keys, records
from storage.keys import ROOT, EntryId
from storage.snapshot import Snapshot

SUCCESS = Result()

# Entries looked at in vain before an operator is told that an index is missing.
_WORTH_A_NOTICE = 1_000
# Comparisons with an entry that count for as much as an ordinary look at one.
_HEAVY = 50
# Entries that a look-up sends in one go.
_FEW = 16
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
        with core.store.snapshot() as snapshot:
            search = Search(core, snapshot, core.state(snapshot), identity, request, controls)
            return (yield from search.run())

    def look_up(self, identity: Identity, request: SearchRequest) -> tuple[list[bytes], Result] | None:
        filter = request.filter
        if type(filter) is not Equality:
            return None
        core = self._core
        snapshot = core.store.snapshot()
        try:
            state = core.state(snapshot)
            lookup = self._lookup(state, identity, request, filter)
            return None if lookup is None else self._look_up(lookup, filter.value, snapshot, state)
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
        projection = core.projection(view, request.attributes, head.types_only)
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
    ) -> tuple[list[bytes], Result] | None:
        """None where so many entries are found that others need turns."""
        base = find(snapshot, lookup.base)
        names = state.names
        if base is None:
            raise no_such_object(snapshot, names, find_nearest(snapshot, lookup.base))
        tails: list[bytes] = []
        try:
            term = lookup.prefix + keys.bounded(lookup.normalise(value))
        except ValueError:
            return tails, SUCCESS
        found = snapshot.few_ids_or_none(term, _FEW)
        if found is None:
            return None
        scope = lookup.scope
        for entry in found:
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
            if tails and len(tails) == lookup.size_limit:
                return tails, Result(ResultCode.SIZE_LIMIT_EXCEEDED)
            dn = records.rdn_of(record) + suffix
            tails.append(entry_tail(dn, lookup.projection.cut(names, snapshot, entry, record)))
        return tails, SUCCESS


@frozen
class Course:
    """How a search goes through its entries.

    ``candidates`` are entries, or None for a step without one.  Unless they are
    ``within`` the extent for certain, it is asked; unless they are ``exact``, the filter is.
    """

    candidates: Iterator[EntryId | None]
    walking: bool
    within: bool
    exact: bool


class Search:
    """One search that is planned and matched.  ``own`` is the entry on which the client has
    rights of its own, where these are more."""

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
        self._assertion = extras(core, SearchRequest, controls).assertion
        self._paged: PagedResults | None = None
        for control in controls:
            if control.oid == PAGED_RESULTS:
                self._paged = decode_paged_results(control.value)
            elif control.oid == SYNC_REQUEST:
                raise LDAPError(ResultCode.PROTOCOL_ERROR, "content synchronisation is no plain search")
        self._limit = _size_limit(core, identity, request.head)
        self._view = core.view(identity)
        self.own = self._own_entry()

    def _own_entry(self) -> EntryId | None:
        """The entry for which the client has rights of its own."""
        if not self._core.own_view_differs(self._identity):
            return None
        return find(self._snapshot, self._identity.key)

    def run(self) -> Generator[bytes, None, Result]:
        core, head, paged = self._core, self._request.head, self._paged
        key = key_of(head.base, core.schema)
        subject = synthetic(core, self._snapshot, key) if _names_synthetic(key, head.scope) else None
        if subject is not None:
            if self._assertion is not None:
                require(core, core.everything, subject, self._assertion)
            predicate = Compiler(core.schema, core.everything).compile(self._request.filter)
            if predicate(subject):
                yield entry_tail(subject.dn, subject.select(self._request.attributes, head.types_only))
            return self._page(b"") if paged is not None else SUCCESS
        follow = head.deref in (Deref.FINDING, Deref.ALWAYS)
        base = find_base(core, self._snapshot, self._names, head.base, follow=follow)
        if self._assertion is not None:
            self._check_assertion(base)
        if paged is not None and paged.size < 0:
            raise LDAPError(ResultCode.PROTOCOL_ERROR, "a page of less than no entries")
        if paged is not None and paged.cookie and not paged.size:
            return self._page(b"")  # RFC 2696 section 3: the client wants no more
        extent = Extent(self._snapshot, self._names, base, head.scope, self._aliases())
        plan = self.plan(extent)
        course = self._course(extent, plan)
        budget = self.budget()
        try:
            return (yield from self._run(extent, course, budget))
        except LDAPError as error:
            if error.code in _LIMITS:
                return Result(error.code, message=error.message)
            raise
        finally:
            self._tell(plan, budget)

    def ids(self) -> Iterator[EntryId]:
        """The entries that match, without limits: for what is done to them in a transaction."""
        extent = self._plain_extent()
        course = self._course(extent, self.plan(extent))
        matches = self.matcher(Compiler(self._core.schema, self._view))
        for entry in course.candidates:
            record = self._snapshot.entry(entry) if entry is not None else None
            if (
                entry is not None
                and record is not None
                and (course.within or extent.holds(entry, record))
                and (course.exact or matches(entry, record))
            ):
                yield entry

    def of(self, entries: Iterable[EntryId]) -> Iterator[EntryId]:
        """Those of the entries that the search would find."""
        extent = self._plain_extent()
        matches = self.matcher(Compiler(self._core.schema, self._view))
        for entry in entries:
            record = self._snapshot.entry(entry)
            if record is not None and extent.holds(entry, record) and matches(entry, record):
                yield entry

    def _plain_extent(self) -> Extent:
        head = self._request.head
        base = find_base(self._core, self._snapshot, self._names, head.base, follow=False)
        return Extent(self._snapshot, self._names, base, head.scope)

    def _check_assertion(self, base: EntryId) -> None:
        data = self._snapshot.entry(base) if base != ROOT else None
        if data is None or self._assertion is None:
            raise LDAPError(ResultCode.ASSERTION_FAILED)
        view = self._core.view(self._identity, own=base == self.own)
        subject = EntryView(self._core.catalogue, self._names, self._snapshot, base, data)
        require(self._core, view, subject, self._assertion)

    # --- ways and means ----------------------------------------------------------------

    def _aliases(self) -> Aliases | None:
        """None when none are to be followed, or there are none."""
        head = self._request.head
        if head.deref not in (Deref.SEARCHING, Deref.ALWAYS) or head.scope == Scope.BASE:
            return None
        aliases = Aliases(self._core, self._snapshot, self._names)
        return aliases if aliases.exist() else None

    def plan(self, extent: Extent) -> Plan | None:
        """The index's plan, where there is one."""
        if extent.scope == Scope.BASE:
            return None
        compiler = Compiler(self._core.schema, self._view if self.own is None else self._core.everything)
        return Planner(self._snapshot, self._state.indexes, compiler).plan(self._request.filter)

    def _course(self, extent: Extent, plan: Plan | None) -> Course:
        """A set of pages goes on in the order in which it began."""
        paged = self._paged
        place = paging.decode(paged.cookie, self._request) if paged is not None and paged.cookie else None
        if place is not None:
            by_id = place.path is None
        elif plan is not None:
            by_id = not extent.is_smaller(plan.count)
        else:
            by_id = extent.open
        if not by_id:
            return Course(extent.by_tree(place), walking=True, within=True, exact=self.asks_for_all())
        after = place.entry if place is not None else ROOT
        if plan is None:
            return Course(extent.by_id(after), walking=False, within=True, exact=False)
        return Course(plan.after(after), walking=False, within=False, exact=plan.exact and self.own is None)

    def asks_for_all(self) -> bool:
        """Every entry has an objectClass; whoever may read others' reads its own."""
        filter = self._request.filter
        if not isinstance(filter, Present):
            return False
        description = Compiler(self._core.schema, self._view).description(filter.attribute)
        return description is not None and description.text == "objectClass"

    def budget(self) -> Budget:
        core, asked = self._core, self._request.head.time_limit
        ours = 0 if self._identity.administrator else core.limits.time_limit
        seconds = min(asked, ours) if asked and ours else asked or ours
        monotonic = core.settings.monotonic
        deadline = monotonic() + seconds if seconds else float("inf")
        return Budget(
            time_left=lambda: deadline - monotonic(),
            look_through=0 if self._identity.administrator else core.limits.look_through,
        )

    def _tell(self, plan: Plan | None, budget: Budget) -> None:
        """Tell the operator of a search that an index would have spared."""
        if budget.in_vain >= _WORTH_A_NOTICE:
            how = "no index" if plan is None else "an index that hardly narrows it"
            self._core.settings.notice(
                f"search with {how}: looked at {budget.looked_at} entries, {budget.in_vain} in vain, "
                f"below {self._request.head.base!r} for {format_filter(self._request.filter)}"
            )

    # --- answers -------------------------------------------------------------------

    def _run(self, extent: Extent, course: Course, budget: Budget) -> Generator[bytes, None, Result]:
        snapshot, names, limit = self._snapshot, self._names, self._limit
        page = self._paged.size if self._paged is not None else 0
        if limit and page >= limit:
            page = 0  # RFC 2696 section 3: one page holds all that may be sent
        compiler = Compiler(self._core.schema, self._view)
        matches = None if course.exact else self.matcher(compiler)
        budget.weight += compiler.comparisons // _HEAVY
        projection = self.projection(own=False)
        sent, last = 0, ROOT
        for entry in course.candidates:
            if entry is None:
                if budget.go_on():
                    yield b""
                continue
            record = snapshot.entry(entry)
            assert record is not None
            if not (course.within or extent.holds(entry, record)):
                if budget.go_on():
                    yield b""
                continue
            matched = matches is None or matches(entry, record)
            if matched:
                if page and sent == page:
                    return self._page(paging.encode(self._place(extent, course, last), self._request))
                if limit and sent == limit and not page:
                    return Result(ResultCode.SIZE_LIMIT_EXCEEDED)
                sent, last = sent + 1, entry
                chosen = self.projection(own=True) if entry == self.own else projection
                yield entry_tail(names.dn(snapshot, record), chosen.cut(names, snapshot, entry, record))
            if budget.spend(matched):
                yield b""
        return self._page(b"") if self._paged is not None else SUCCESS

    def _place(self, extent: Extent, course: Course, last: EntryId) -> Place:
        if not course.walking:
            return Place(last)
        return Place(last, path_to(self._snapshot, extent.base, last, self._core.rdn_key))

    def _page(self, cookie: bytes) -> Result:
        value = encode_paged_results(PagedResults(0, cookie))
        return Result(controls=(Control(PAGED_RESULTS, False, value),))

    def matcher(self, compiler: Compiler) -> Callable[[EntryId, bytes], bool]:
        """``compiler`` has the rights of the client on entries that are not its own."""
        core, snapshot, names, own = self._core, self._snapshot, self._names, self.own
        catalogue = core.catalogue
        predicate = compiler.compile(self._request.filter)
        own_predicate: Predicate = predicate
        if own is not None:
            own_view = core.view(self._identity, own=True)
            own_predicate = Compiler(core.schema, own_view).compile(self._request.filter)

        def matches(entry: EntryId, record: bytes) -> bool:
            test = own_predicate if entry == own else predicate
            return test(EntryView(catalogue, names, snapshot, entry, record)) is True

        return matches

    def projection(self, *, own: bool) -> Projection:
        view = self._core.view(self._identity, own=True) if own else self._view
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
