"""From a filter to the entries worth looking at, by index.

A plan is a set of entry ids that holds every entry the filter can match; whether each
does is decided on the entry (``exact`` plans need not ask).  No plan means that no index
helps, and the tree is walked.

Filters are planned only as far as the client may read the attributes: what is Undefined
for it matches nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain, dropwhile, islice

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
from ldapserver.schema import AttributeDescription, AttributeType
from storage import keys, postings
from storage.keys import EntryId
from storage.snapshot import Snapshot

# A range of an index that holds more rows than this is not counted to its end.
_RANGE = 50_000
# So few entries are looked at sooner than other sets are fetched to be intersected with,
_FEW = 64
# and so much larger sets cost more than looking at each entry of the smaller.
_MUCH_LARGER = 4


@frozen
class Plan:
    """``count`` is an upper bound of ``fetch``'s ids; they come in any order and perhaps
    twice, unless ``ordered``.  ``exact`` when every one of them matches."""

    count: int
    fetch: Callable[[], Iterable[EntryId]]
    exact: bool = False
    ordered: bool = False

    def after(self, position: EntryId) -> Iterator[EntryId]:
        """The ids that follow ``position``, ascending, each once."""
        ids = self.fetch() if self.ordered else sorted(set(self.fetch()))
        return dropwhile(position.__ge__, ids)


NOTHING = Plan(0, lambda: (), exact=True, ordered=True)


class Planner:
    def __init__(self, snapshot: Snapshot, indexes: Indexes, compiler: Compiler) -> None:
        self._snapshot = snapshot
        self._indexes = indexes
        self._schema = indexes.catalogue.schema
        self._compiler = compiler

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

    def _and(self, filters: Iterable[Filter]) -> Plan | None:
        plans = sorted(
            (plan for part in filters if (plan := self.plan(part)) is not None), key=lambda plan: plan.count
        )
        if not plans:
            return None
        best = plans[0]
        useful = [plan for plan in plans[1:] if plan.count <= _MUCH_LARGER * best.count]
        if best.count <= _FEW or not useful:
            return Plan(best.count, best.fetch, ordered=best.ordered)
        return Plan(best.count, lambda: set(best.fetch()).intersection(*(plan.fetch() for plan in useful)))

    def _or(self, filters: Iterable[Filter]) -> Plan | None:
        plans = []
        for part in filters:
            plan = self.plan(part)
            if plan is None:
                return None
            plans.append(plan)
        return _union(plans)

    def _equality(self, attribute: str, value: bytes) -> Plan | None:
        description = self._compiler.description(attribute)
        if description is None:
            return NOTHING
        name = description.type.name
        if name == "objectClass":
            return self._object_class(value)
        if name in ("hostServer", "oldHostServer"):
            return self._hosted(description, value)
        if name == "entryUUID":
            return self._uuid(description, value)
        plans = []
        for kind in self._schema.subtypes(description.type):
            number = self._indexes.equality.get(kind)
            if number is None or kind.equality is None:
                return None
            try:
                term = keys.equality(number, kind.equality.normalise(value))
            except ValueError:
                continue
            plans.append(self._term(term, exact=not description.options))
        return _union(plans)

    def _term(self, term: keys.Term, *, exact: bool = True) -> Plan:
        count = self._snapshot.ids_count(term)
        if not count:
            return NOTHING
        return Plan(count, lambda: self._snapshot.each_id(term), exact, ordered=True)

    def _object_class(self, value: bytes) -> Plan | None:
        names = subclass_names(self._schema, value)
        kind = self._schema.attribute_type("objectClass")
        number = self._indexes.equality.get(kind) if kind else None
        if names is None:
            return NOTHING
        if number is None or kind is None or kind.equality is None or b"top" in names:
            return None
        terms = {keys.equality(number, kind.equality.normalise(name)) for name in names}
        return _union([self._term(term) for term in terms])

    def _uuid(self, description: AttributeDescription, value: bytes) -> Plan | None:
        rule = description.type.equality
        assert rule is not None
        try:
            return self._term(keys.equality(self._indexes.uuid, rule.normalise(value)))
        except ValueError:
            return NOTHING

    def _hosted(self, description: AttributeDescription, value: bytes) -> Plan:
        rule = description.type.equality
        assert rule is not None
        try:
            key = rule.normalise(value)
        except ValueError:
            return NOTHING
        snapshot = self._snapshot
        if description.type.name == "hostServer":
            numbers = snapshot.placements_of_host(key)
        else:
            numbers = snapshot.placements_of_old_host(key)
        return _union([self._term(keys.members(number)) for number in numbers])

    def _present(self, attribute: str) -> Plan | None:
        description = self._compiler.description(attribute)
        if description is None:
            return NOTHING
        name = description.type.name
        if name in ("hostServer", "oldHostServer"):
            old = name == "oldHostServer"
            numbers = [
                number
                for number, placement in self._snapshot.all_placements()
                if (placement.old if old else placement.host) is not None
            ]
            return _union([self._term(keys.members(number)) for number in numbers])
        plans = []
        for kind in self._schema.subtypes(description.type):
            number = self._indexes.equality.get(kind)
            if number is None or name == "objectClass":
                return None
            prefix = keys.equality_prefix(number)
            plan = self._range(prefix, keys.successor(prefix))
            if plan is None:
                return None
            plans.append(plan)
        return _union(plans)

    def _ordering(self, attribute: str, value: bytes, *, greater: bool) -> Plan | None:
        """By the equality index, where equality's normal form is also the ordering's."""
        description = self._compiler.description(attribute)
        if description is None or description.type.ordering is None:
            return NOTHING
        plans = []
        for kind in self._schema.subtypes(description.type):
            number = self._indexes.equality.get(kind)
            if number is None or kind.equality is None or kind.ordering is None:
                return None
            if kind.equality.normalise != kind.ordering.normalise:
                return None
            try:
                bound = kind.ordering.normalise(value)
            except ValueError:
                continue
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
        rows = [entry for _, entry in islice(self._snapshot.terms(start, stop), _RANGE + 1)]
        return None if len(rows) > _RANGE else Plan(len(rows), lambda: rows)

    def _substrings(self, filter: Substrings) -> Plan | None:
        description = self._compiler.description(filter.attribute)
        if description is None or description.type.substrings is None:
            return NOTHING
        plans = []
        for kind in self._schema.subtypes(description.type):
            plan = self._substrings_of(kind, filter)
            if plan is None:
                return None
            plans.append(plan)
        return _union(plans)

    def _substrings_of(self, kind: AttributeType, filter: Substrings) -> Plan | None:
        rule = kind.substrings
        if rule is None:
            return NOTHING
        try:
            initial = rule.normalise_part(filter.initial, "initial") if filter.initial else b""
            parts = [rule.normalise_part(part, "any") for part in filter.any]
            if filter.final:
                parts.append(rule.normalise_part(filter.final, "final"))
        except ValueError:
            return NOTHING
        by_prefix = self._prefix(kind, initial) if initial else None
        by_grams = self._grams(kind, [initial, *parts])
        found = [plan for plan in (by_prefix, by_grams) if plan is not None]
        return min(found, key=lambda plan: plan.count, default=None)

    def _prefix(self, kind: AttributeType, initial: bytes) -> Plan | None:
        number = self._indexes.equality.get(kind)
        if number is None or kind.equality is None or kind.substrings is None or not keys.is_exact(initial):
            return None
        if kind.equality.normalise != kind.substrings.normalise:
            return None
        start = keys.equality_prefix(number) + initial
        return self._range(start, keys.successor(start))

    def _grams(self, kind: AttributeType, parts: Iterable[bytes]) -> Plan | None:
        number = self._indexes.substrings.get(kind)
        if number is None:
            return None
        prefix = keys.U16.pack(number)
        grams = [prefix + gram for gram in set(chain.from_iterable(map(postings.grams, parts)))]
        if not grams:
            return None
        found = list(self._intersect(grams))
        count = sum(bits.bit_count() for _, bits in found)
        return Plan(count, lambda: chain.from_iterable(postings.ids(chunk, bits) for chunk, bits in found))

    def _intersect(self, grams: list[keys.Gram]) -> Iterator[tuple[bytes, int]]:
        """The chunks and bits that all grams have in common."""
        snapshot = self._snapshot
        first, *others = grams
        for chunk, bits in snapshot.postings(first):
            for gram in others:
                bits &= snapshot.posting(gram, chunk)
                if not bits:
                    break
            else:
                yield chunk, bits


def _union(plans: list[Plan]) -> Plan:
    plans = [plan for plan in plans if plan.count]
    if not plans:
        return NOTHING
    if len(plans) == 1:
        return plans[0]
    return Plan(
        sum(plan.count for plan in plans),
        lambda: chain.from_iterable(plan.fetch() for plan in plans),
        all(plan.exact for plan in plans),
    )
