"""LDIF records made ready for the store, without the store: the part of an import that
costs time and can be done by several processes at once.

A prepared entry has all of its record but parent and placement, and its index rows.
What an LDIF file of another server says of an entry's past (entryUUID, timestamps,
creators, entryCSN) is kept; what the directory computes is left out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple
from uuid import UUID

from attrs import Factory, define, frozen

from ldapserver.dn import RDN, normalise_rdn, parse_rdn, split_first
from ldapserver.indexing import Indexes
from ldapserver.ldif import AddRecord, LdifError
from ldapserver.passwords import hash_password, is_hashed
from ldapserver.results import LDAPError, ResultCode
from ldapserver.schema import AttributeDescription, Schema
from ldapserver.schema.check import check_shape, check_values
from ldapserver.views import OPERATIONAL, PLACED
from ldapserver.wire.encode import partial_attribute
from storage import csn as csns
from storage import keys, records
from storage.csn import Csn
from storage.keys import NO_PLACEMENT, ROOT


class Prepared(NamedTuple):
    """``record`` begins with ROOT and NO_PLACEMENT, in whose place the true ones belong.
    Plain types only: it travels between processes."""

    line: int
    rdn: bytes
    parent: str
    host: bytes | None
    old_host: bytes | None
    record: bytes
    terms: list[bytes]
    grams: list[bytes]


class Part(NamedTuple):
    """What the values of one attribute come to: BER of the attribute, and index rows."""

    encoded: bytes
    terms: tuple[bytes, ...]
    grams: tuple[bytes, ...]


@define(eq=False)
class Known:
    """An attribute description as it was spelled in a file, and what to do with its values.

    ``parts`` remembers what came of values, for attributes whose values come again.
    """

    description: AttributeDescription
    number: int
    name: bytes
    equality: tuple[bytes, Callable[[bytes], bytes]] | None
    substrings: tuple[bytes, Callable[[bytes], bytes]] | None
    past: bool
    placed: bool
    password: bool
    parts: dict[bytes, Part] = Factory(dict)

    def part(self, values: list[bytes]) -> Part:
        """Raises LDAPError, or ValueError for what a matching rule can't compare."""
        if len(values) == 1:
            found = self.parts.get(values[0])
            if found is None:
                found = self._make(values)
                if len(self.parts) < _PARTS_KEPT:
                    self.parts[values[0]] = found
            return found
        check_values(self.description, values)
        return self._make(values)

    def _make(self, values: list[bytes]) -> Part:
        kind = self.description.type
        for value in values:
            if not kind.syntax.validate(value):
                raise LDAPError(
                    ResultCode.INVALID_ATTRIBUTE_SYNTAX,
                    f"{self.description.text}: {value[:80]!r} is not of syntax {kind.syntax.desc}",
                )
        if self.password:
            values = [value if is_hashed(value) else hash_password(value) for value in values]
        terms: list[bytes] = []
        grams: list[bytes] = []
        if self.equality is not None:
            prefix, normalise = self.equality
            terms = [prefix + keys.bounded(normalise(value)) for value in values]
        if self.substrings is not None:
            prefix, normalise = self.substrings
            for value in values:
                found = normalise(value)
                grams += [prefix + found[at : at + 3] for at in range(len(found) - 2)]
        return Part(partial_attribute(self.name, values), tuple(terms), tuple(grams))


@frozen(eq=False)
class Plan:
    """What to do with records whose lines have the same names in the same order.

    ``groups``: each attribute with the lines that have its values; ``descriptions``: all
    attributes that the entry has; ``numbers``: those that its record has.
    """

    groups: tuple[tuple[Known, tuple[int, ...]], ...]
    descriptions: tuple[AttributeDescription, ...]
    numbers: tuple[int, ...]


# Of the attributes that clients can't set, those whose values an import keeps.
_KEPT = {"entryUUID", "createTimestamp", "creatorsName", "modifiersName", "modifyTimestamp", "entryCSN"}
_LEFT_OUT = (set(OPERATIONAL) - _KEPT) | {"contextCSN"}
_PARTS_KEPT = 2_000
_PLANS_KEPT = 1_000


class Preparer:
    """Prepares records for one store.

    ``number_of`` gives a description's number; ``csn`` and ``creator`` are the import's
    own; ``uuids`` makes new entryUUIDs.
    """

    def __init__(
        self,
        schema: Schema,
        indexes: Indexes,
        number_of: Callable[[AttributeDescription], int],
        csn: Csn,
        creator: bytes,
        uuids: Callable[[], bytes],
    ) -> None:
        self._schema = schema
        self._indexes = indexes
        self._number_of = number_of
        self._csn = csn
        self._created = csns.micros_of(csn)
        self._creator = creator
        self._uuids = uuids
        self._uuid_prefix = keys.equality_prefix(indexes.uuid)
        self._known: dict[bytes, Known] = {}
        self._plans: dict[tuple[bytes, ...], Plan] = {}

    def prepare(self, record: AddRecord, file: str) -> Prepared:
        """Raises LdifError."""
        try:
            return self._prepare(record)
        except (LDAPError, ValueError, OverflowError) as error:
            if isinstance(error, LdifError):
                raise
            reason = error.message if isinstance(error, LDAPError) else str(error)
            raise LdifError(file, record.line, f"{record.dn}: {reason}") from error

    def _prepare(self, record: AddRecord) -> Prepared:
        rdn_text, parent = split_first(record.dn)
        rdn = parse_rdn(rdn_text)
        lines = self._with_naming(record.attributes, rdn)
        names = tuple([name for name, _ in lines])
        plan = self._plans.get(names) or self._plan(names)
        past: dict[str, bytes] = {}
        hosts: dict[str, bytes] = {}
        parts: list[Part] = []
        terms: list[bytes] = []
        grams: list[bytes] = []
        classes: tuple[bytes, ...] = ()
        for known, places in plan.groups:
            values = [lines[place][1] for place in places]
            if known.past:
                past[known.description.type.name] = values[0]
                continue
            part = known.part(values)
            if known.placed:
                hosts[known.description.type.name] = values[0]
                continue
            if known.name == b"objectClass":
                classes = tuple(values)
            parts.append(part)
            terms += part.terms
            grams += part.grams
        check_shape(self._schema, classes, plan.descriptions)
        data, uuid = self._record(rdn_text, past, plan, parts)
        terms.append(self._uuid_prefix + uuid)
        return Prepared(
            record.line,
            normalise_rdn(rdn, self._schema),
            parent,
            hosts.get("hostServer"),
            hosts.get("oldHostServer"),
            data,
            list(dict.fromkeys(terms)),
            list(dict.fromkeys(grams)),
        )

    def _with_naming(self, lines: list[tuple[bytes, bytes]], rdn: RDN) -> list[tuple[bytes, bytes]]:
        """The lines, and the values of the RDN if they are not among them."""
        for pair in rdn:
            line = (pair.type.encode(), pair.value)
            if line not in lines and not self._has(lines, pair.type, pair.value):
                lines = [*lines, line]
        return lines

    def _has(self, lines: list[tuple[bytes, bytes]], name: str, value: bytes) -> bool:
        description = self._schema.description(name)
        rule = description.type.equality
        normalise = rule.normalise if rule is not None else bytes
        wanted = normalise(value)
        return any(
            normalise(found) == wanted
            for spelled, found in lines
            if self._schema.find_description(spelled.decode()) is description
        )

    def _plan(self, names: tuple[bytes, ...]) -> Plan:
        groups: dict[AttributeDescription, tuple[Known, list[int]]] = {}
        for place, spelled in enumerate(names):
            known = self._known.get(spelled) or self._learn(spelled)
            groups.setdefault(known.description, (known, []))[1].append(place)
        stored = [known for known, _ in groups.values() if not known.past]
        numbers = [known.number for known in stored if not known.placed]
        plan = Plan(
            tuple((known, tuple(places)) for known, places in groups.values()),
            tuple(known.description for known in stored),
            tuple(numbers),
        )
        if len(self._plans) < _PLANS_KEPT:
            self._plans[names] = plan
        return plan

    def _learn(self, spelled: bytes) -> Known:
        description = self._schema.description(spelled.decode())
        kind = description.type
        number = self._indexes.equality.get(kind)
        equality = (
            (keys.equality_prefix(number), kind.equality.normalise) if number and kind.equality else None
        )
        number = self._indexes.substrings.get(kind)
        grams = (keys.U16.pack(number), kind.substrings.normalise) if number and kind.substrings else None
        known = Known(
            description=description,
            number=self._number_of(description),
            name=description.text.encode(),
            equality=equality,
            substrings=grams,
            past=kind.name in _KEPT or kind.name in _LEFT_OUT,
            placed=kind.name in PLACED,
            password=kind.name == "userPassword",
        )
        self._known[spelled] = known
        return known

    def _record(self, rdn: str, past: dict[str, bytes], plan: Plan, parts: list[Part]) -> tuple[bytes, bytes]:
        """The record, and its UUID."""
        uuid = past.get("entryUUID")
        record = records.Record(
            parent=ROOT,
            rdn=rdn.encode(),
            uuid=UUID(uuid.decode()).bytes if uuid else self._uuids(),
            created=_micros(past["createTimestamp"]) if "createTimestamp" in past else self._created,
            csn=self._past_csn(past) if past else self._csn,
            creator=past.get("creatorsName", self._creator),
            modifier=past.get("modifiersName", self._creator),
            attributes=tuple(
                [(number, part.encoded) for number, part in zip(plan.numbers, parts, strict=True)]
            ),
            placement=NO_PLACEMENT,
        )
        return records.pack(record), record.uuid

    def _past_csn(self, past: dict[str, bytes]) -> Csn:
        if "entryCSN" in past:
            return csns.parse(past["entryCSN"].decode())
        if "modifyTimestamp" in past:
            return csns.following(csns.NO_CSN, _micros(past["modifyTimestamp"]))
        return self._csn


def _micros(generalized_time: bytes) -> int:
    """Raises ValueError."""
    return csns.micros_of(csns.parse_time(generalized_time.decode()))
