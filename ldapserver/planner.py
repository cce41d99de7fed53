"""From a filter to the entries worth looking at, by index.

A plan is a set of entry ids that holds every entry the filter can match; whether each
does is decided on the entry (``exact`` plans need not ask).  No plan means that no index
helps, and the tree is walked.

Filters are planned only as far as the client may read the attributes: what is Undefined
for it matches nothing.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from heapq import merge
from itertools import chain, islice
from typing import TypeAlias

from attrs import frozen

from ldapserver.indexing import Indexes
from ldapserver.matching import Compiler, subclass_names
from ldapserver.messages import (
    And,
    Approx,
    Equality,
    Filter,
    GreaterOrEqual,
    LessOrEqual,
    Or,
    Present,
    Substrings,
)
from ldapserver.schema import AttributeType, MatchingRule
from storage import keys, postings
from storage.keys import ROOT, EntryId
from storage.placements import Placement
from storage.snapshot import Snapshot

# A range of an index that holds more rows than this is not counted to its end,
_RANGE = 50_000
# and so many rows are read for one filter, however many ranges it names.
_ROWS = 200_000
# So few entries are looked at sooner than other sets are fetched to be intersected with,
_FEW = 64
# and so much larger sets cost more than looking at each entry of the smaller.
_MUCH_LARGER = 4
# So many ids of so few sets are merged as they are wanted rather than sorted beforehand.
_MANY = 5_000
_MERGED = 100

Fetch: TypeAlias = Callable[[EntryId], Iterable[EntryId]]


@frozen
class Plan:
    """``count`` is an upper bound of the ids.

    ``fetch`` takes a position: an ``ordered`` plan gives what follows it, ascending and each
    once; others at least that, in any order and perhaps twice.  ``exact`` when every one
    of them matches.
    """

    count: int
    fetch: Fetch
    exact: bool = False
    ordered: bool = False

    def after(self, position: EntryId) -> Iterator[EntryId]:
        """The ids that follow ``position``, ascending, each once."""
        if self.ordered:
            return iter(self.fetch(position))
        ids = sorted(set(self.fetch(position)))
        return islice(ids, bisect_right(ids, position), None)


NOTHING = Plan(0, lambda _: (), exact=True, ordered=True)


class Planner:
    def __init__(self, snapshot: Snapshot, indexes: Indexes, compiler: Compiler) -> None:
        self._snapshot = snapshot
        self._indexes = indexes
        self._schema = indexes.catalogue.schema
        self._compiler = compiler
        self._rows_left = _ROWS

    def plan(self, filter: Filter) -> Plan | None:
        match filter:
            case And(filters):
                return self._and(filters)
            case Or(filters):
                return self._or(filters)
            case Equality(attribute, value) | Approx(attribute, value):
                return self._equality(attribute, value)
            case Substrings():
                return self._substrings(filter)
            case GreaterOrEqual(attribute, value):
                return self._ordering(attribute, value, greater=True)
            case LessOrEqual(attribute, value):
                return self._ordering(attribute, value, greater=False)
            case Present(attribute):
                return self._present(attribute)
            case _:  # what an entry lacks, or a rule of the client's choice: no index tells
                return None

    def _and(self, filters: tuple[Filter, ...]) -> Plan | None:
        plans: list[Plan] = []
        for part in sorted(filters, key=_cost):
            plan = self.plan(part)
            if plan is not None:
                plans.append(plan)
                if plan.count <= _FEW:  # no other part is worth reading its rows
                    break
        if not plans:
            return None
        best, *others = sorted(plans, key=lambda plan: plan.count)
        if not others:
            return Plan(best.count, best.fetch, best.exact and len(filters) == 1, best.ordered)
        useful = [plan for plan in others if plan.count <= _MUCH_LARGER * best.count]
        if not _FEW < best.count <= _RANGE or not useful:
            return Plan(best.count, best.fetch, exact=not best.count, ordered=best.ordered)
        # Each part of the filter is asked of an index, so that none need be asked of entries.
        exact = len(useful) + 1 == len(filters) and all(plan.exact for plan in plans)
        return Plan(best.count, lambda position: _intersection(position, best, useful), exact)

    def _or(self, filters: tuple[Filter, ...]) -> Plan | None:
        plans = []
        for part in filters:
            plan = self.plan(part)
            if plan is None:
                return None
            plans.append(plan)
        return _union(plans)

    # --- equality -------------------------------------------------------------------

    def _equality(self, attribute: str, value: bytes) -> Plan | None:
        description = self._compiler.description(attribute)
        if description is None or (rule := description.type.equality) is None:
            return NOTHING
        exact = not description.options
        match description.type.name:
            case "objectClass" if exact:
                return self._object_class(value)
            case "hostServer" if exact:
                return self._hosted(self._snapshot.placements_of_host, rule, value)
            case "oldHostServer" if exact:
                return self._hosted(self._snapshot.placements_of_old_host, rule, value)
            case "entryUUID" if exact:
                return self._of_value(self._indexes.uuid, rule, value)
        plans = []
        for kind in self._schema.subtypes(description.type):
            number = self._indexes.equality.get(kind)
            if number is None or not self._schema.orders_like(kind.equality, rule):
                return None
            plans.append(self._of_value(number, rule, value, exact=exact))
        return _union(plans)

    def _of_value(self, number: int, rule: MatchingRule, value: bytes, *, exact: bool = True) -> Plan:
        try:
            return self._term(keys.equality(number, rule.normalise(value)), exact=exact)
        except ValueError:
            return NOTHING

    def _term(self, term: keys.Term, *, exact: bool = True) -> Plan:
        count = self._snapshot.ids_count(term)
        if not count:
            return NOTHING
        return Plan(count, lambda position: self._snapshot.each_id(term, position), exact, ordered=True)

    def _object_class(self, value: bytes) -> Plan | None:
        names = subclass_names(self._schema, value)
        if names is None:
            return NOTHING
        if b"top" in names:
            return None
        kind = self._schema.description("objectClass").type
        assert kind.equality is not None
        normalise, number = kind.equality.normalise, self._indexes.equality[kind]
        return _union([self._term(keys.equality(number, oid)) for oid in set(map(normalise, names))])

    def _hosted(
        self, find: Callable[[bytes], list[keys.PlacementId]], rule: MatchingRule, value: bytes
    ) -> Plan:
        try:
            return self._members(find(rule.normalise(value)))
        except ValueError:
            return NOTHING

    def _members(self, placements: Iterable[keys.PlacementId]) -> Plan:
        return _union([self._term(keys.members(number)) for number in placements])

    # --- presence and order ----------------------------------------------------------

    def _present(self, attribute: str) -> Plan | None:
        description = self._compiler.description(attribute)
        if description is None:
            return NOTHING
        name = description.type.name
        if name == "hostServer" and not description.options:
            return self._placed(lambda placement: placement.host is not None)
        if name == "oldHostServer" and not description.options:
            return self._placed(lambda placement: placement.old is not None)
        if name == "objectClass":
            return None
        plans = []
        for kind in self._schema.subtypes(description.type):
            number = self._indexes.equality.get(kind)
            if number is None:
                return None
            prefix = keys.equality_prefix(number)
            plan = self._range(prefix, keys.successor(prefix))
            if plan is None:
                return None
            plans.append(plan)
        return _union(plans)

    def _placed(self, wanted: Callable[[Placement], bool]) -> Plan:
        return self._members(
            number for number, placement in self._snapshot.all_placements() if wanted(placement)
        )

    def _ordering(self, attribute: str, value: bytes, *, greater: bool) -> Plan | None:
        """By the equality index, where equality's normal form is also the ordering's."""
        description = self._compiler.description(attribute)
        if description is None or (rule := description.type.ordering) is None:
            return NOTHING
        try:
            bound = rule.normalise(value)
        except ValueError:
            return NOTHING
        plans = []
        for kind in self._schema.subtypes(description.type):
            number = self._indexes.equality.get(kind)
            if number is None or not self._schema.orders_like(kind.equality, rule):
                return None
            if not keys.is_exact(bound):
                return None
            prefix = keys.equality_prefix(number)
            start = prefix + bound if greater else prefix
            stop = keys.successor(prefix) if greater else prefix + bound + b"\0"
            plan = self._range(start, stop)
            if plan is None:
                return None
            plans.append(plan)
        return _union(plans)

    def _range(self, start: bytes, stop: bytes) -> Plan | None:
        most = min(_RANGE, self._rows_left)
        rows = [entry for _, entry in islice(self._snapshot.terms(start, stop), most + 1)]
        self._rows_left -= len(rows)
        return None if len(rows) > most else Plan(len(rows), lambda _: rows)

    # --- substrings ------------------------------------------------------------------

    def _substrings(self, filter: Substrings) -> Plan | None:
        description = self._compiler.description(filter.attribute)
        if description is None or (rule := description.type.substrings) is None:
            return NOTHING
        try:
            initial = rule.normalise_part(filter.initial, "initial") if filter.initial else b""
            parts = [rule.normalise_part(part, "any") for part in filter.any]
            if filter.final:
                parts.append(rule.normalise_part(filter.final, "final"))
        except ValueError:
            return NOTHING
        plans = []
        for kind in self._schema.subtypes(description.type):
            by_prefix = self._prefix(kind, rule, initial) if initial else None
            by_grams = self._grams(kind, rule, [initial, *parts])
            found = [plan for plan in (by_prefix, by_grams) if plan is not None]
            if not found:
                return None
            plans.append(min(found, key=lambda plan: plan.count))
        return _union(plans)

    def _prefix(self, kind: AttributeType, rule: MatchingRule, initial: bytes) -> Plan | None:
        number = self._indexes.equality.get(kind)
        if number is None or not self._schema.orders_like(kind.equality, rule):
            return None
        if not keys.is_exact(initial):
            return None
        start = keys.equality_prefix(number) + initial
        return self._range(start, keys.successor(start))

    def _grams(self, kind: AttributeType, rule: MatchingRule, parts: Iterable[bytes]) -> Plan | None:
        number = self._indexes.substrings.get(kind)
        if number is None or not self._schema.orders_like(kind.substrings, rule):
            return None
        prefix = keys.U16.pack(number)
        grams = [prefix + gram for gram in set(chain.from_iterable(map(postings.grams, parts)))]
        if not grams:
            return None
        found = list(self._common(grams))
        if self._rows_left < 0:
            return None
        count = sum(bits.bit_count() for _, bits in found)
        if not count:
            return NOTHING
        return Plan(count, lambda _: chain.from_iterable(postings.ids(chunk, bits) for chunk, bits in found))

    def _common(self, grams: list[keys.Gram]) -> Iterator[tuple[bytes, int]]:
        """The chunks and bits that all grams have in common, as far as rows may be read."""
        snapshot = self._snapshot
        first, *others = grams
        for chunk, bits in snapshot.postings(first):
            self._rows_left -= 1
            for gram in others:
                self._rows_left -= 1
                bits &= snapshot.posting(gram, chunk)
                if not bits:
                    break
            if self._rows_left < 0:
                return
            if bits:
                yield chunk, bits


def _cost(filter: Filter) -> int:
    """Which filters to plan before others: a look at the index, several, many rows of it."""
    if not isinstance(filter, Equality | Approx):
        return 2
    return int(filter.attribute.lower() == "objectclass")


def _intersection(position: EntryId, best: Plan, others: list[Plan]) -> Iterable[EntryId]:
    return set(best.fetch(position)).intersection(*(plan.fetch(position) for plan in others))


def _union(plans: list[Plan]) -> Plan:
    plans = [plan for plan in plans if plan.count]
    if not plans:
        return NOTHING
    if len(plans) == 1:
        return plans[0]
    count = sum(plan.count for plan in plans)
    exact = all(plan.exact for plan in plans)
    if count > _MANY and len(plans) <= _MERGED and all(plan.ordered for plan in plans):
        return Plan(count, lambda position: _merged(position, plans), exact, ordered=True)
    return Plan(count, lambda position: chain.from_iterable(plan.fetch(position) for plan in plans), exact)


def _merged(position: EntryId, plans: list[Plan]) -> Iterator[EntryId]:
    last = ROOT
    for entry in merge(*(plan.fetch(position) for plan in plans)):
        if entry != last:
            yield entry
            last = entry
