"""LDIF records made ready for the store, without the store: the part of an import that
costs time and can be done by several processes at once.

A prepared entry has all of its record but parent and placement, and its index rows.
What an LDIF file of another server says of an entry's past (entryUUID, timestamps,
creators, entryCSN) is kept; what the directory computes is left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any, NamedTuple, TypeAlias
from uuid import UUID

from attrs import Factory, define, frozen

from ldapserver.dn import RDN, format_rdn, normalise_rdn, parse_rdn, split_first
from ldapserver.indexing import Indexes
from ldapserver.ldif import AddRecord, LdifError
from ldapserver.ops.target import check_settable
from ldapserver.passwords import hash_password, plain_text
from ldapserver.results import LDAPError, ResultCode
from ldapserver.schema import AttributeDescription, Schema
from ldapserver.schema.check import check_shape, check_values
from ldapserver.schema.values import generalized_time
from ldapserver.views import OPERATIONAL, PLACED
from ldapserver.wire.encode import partial_attribute
from storage import csn as csns
from storage import keys, records
from storage.csn import Csn
from storage.keys import NO_PLACEMENT, ROOT, Term
from storage.loader import Text


class Unnumbered(Exception):
    """An attribute description that the store meets for the first time."""


class Prepared(NamedTuple):
    """``record`` begins with ROOT and NO_PLACEMENT, in whose place the true ones belong.
    Plain types only: it travels between processes."""

    line: int
    rdn: bytes
    parent: str
    host: bytes | None
    old_host: bytes | None
    record: bytes
    terms: list[Term]
    texts: list[Text]


class Part(NamedTuple):
    """What the values of one attribute come to: BER of the attribute, and index rows."""

    encoded: bytes
    terms: list[Term]
    texts: list[Text]


@define(eq=False)
class Known:
    """An attribute description as it was spelled in a file, and what to do with its values.

    ``names`` tells whether it can name entries.  ``parts`` remembers what came of values,
    for attributes whose values come again.
    """

    description: AttributeDescription
    number: int
    name: bytes
    past: bool
    placed: bool
    password: bool
    indexed: bool
    names: bool
    parts: dict[tuple[bytes, ...], Part] = Factory(dict)


# Picks an attribute's lines out of all lines: values of a record, or columns of a block.
Picker: TypeAlias = Callable[[tuple[Any, ...]], tuple[Any, ...]]


@frozen(eq=False)
class Plan:
    """What to do with records whose lines have the same names in the same order.

    ``groups``: each attribute, and what picks its values out of all the lines';
    ``descriptions``: all attributes that the entry has; ``shape``: those that its record has.
    """

    groups: tuple[tuple[Known, Picker], ...]
    descriptions: tuple[AttributeDescription, ...]
    shape: bytes


# Of the attributes that clients can't set, those whose values an import keeps.
_KEPT = {"entryUUID", "createTimestamp", "creatorsName", "modifiersName", "modifyTimestamp", "entryCSN"}
_LEFT_OUT = (set(OPERATIONAL) - _KEPT) | {"contextCSN"}
_NO_ROWS: tuple[list[Term], list[Text]] = ([], [])
_PARTS_KEPT = 2_000
_PLANS_KEPT = 1_000
# Entries of more lines, such as large groups, are each of a kind.
_LINES_KEPT = 200
# RDNs that are written the way they will be shown.
_PLAIN_RDN = re.compile(r"[A-Za-z][A-Za-z0-9-]*=[A-Za-z0-9._@-]+")


class Preparer:
    """Prepares records for one store.

    ``number_of`` gives a description's number, or raises Unnumbered; ``csn`` and ``creator`` are the import's
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
        names, column = zip(*lines, strict=True)
        plan = self.plan_of(names)
        past: dict[str, bytes] = {}
        hosts: dict[str, bytes] = {}
        encoded: list[bytes] = []
        terms: list[Term] = []
        texts: list[Text] = []
        classes: tuple[bytes, ...] = ()
        for known, values_in in plan.groups:
            values = values_in(column)
            if known.past:
                past[known.name.decode()] = _past(known.description, values)
                continue
            part = self.part_of(known, values)
            if known.placed:
                hosts[known.name.decode()] = values[0]
                continue
            if known.name == b"objectClass":
                classes = values
            encoded.append(part.encoded)
            terms += part.terms
            texts += part.texts
        self.check_shape(classes, plan)
        uuid = self._uuid(past)
        terms.append(self._uuid_prefix + uuid)
        return Prepared(
            record.line,
            normalise_rdn(rdn, self._schema),
            parent,
            hosts.get("hostServer"),
            hosts.get("oldHostServer"),
            self._record(_spelled(rdn_text, rdn), uuid, past, plan.shape, encoded),
            terms,
            texts,
        )

    # --- what ``columns`` asks for, too ------------------------------------------------

    @property
    def stamp(self) -> tuple[int, Csn, bytes]:
        """When and by whom entries without a past were made."""
        return self._created, self._csn, self._creator

    @property
    def uuid_prefix(self) -> bytes:
        return self._uuid_prefix

    def new_uuid(self) -> bytes:
        return self._uuids()

    def plan_of(self, names: tuple[bytes, ...]) -> Plan:
        return self._plans.get(names) or self._plan(names)

    def part_of(self, known: Known, values: tuple[bytes, ...]) -> Part:
        return known.parts.get(values) or self._part(known, values)

    def check_shape(self, classes: tuple[bytes, ...], plan: Plan) -> None:
        check_shape(self._schema, classes, plan.descriptions)

    def rows_of(self, known: Known, values: Sequence[bytes]) -> tuple[list[Term], list[Text]]:
        return self._indexes.rows_of_values(known.description, values) if known.indexed else _NO_ROWS

    def hashed(self, values: Sequence[bytes]) -> list[bytes]:
        return list(map(_hashed, values))

    def naming(self, spelled: bytes) -> tuple[bytes, Callable[[bytes], bytes]] | None:
        """What begins a normalised RDN of this attribute, and the values' normal form; None
        where it can't name entries."""
        known = self._known.get(spelled) or self._learn(spelled)
        return self._schema.naming(spelled.decode()) if known.names else None

    def _part(self, known: Known, values: tuple[bytes, ...]) -> Part:
        """Raises LDAPError, or ValueError for what a matching rule can't compare."""
        description = known.description
        kind = description.type
        if len(values) > 1:
            check_values(description, values)
        elif not kind.accepts(values[0]):
            raise LDAPError(
                ResultCode.INVALID_ATTRIBUTE_SYNTAX,
                f"{description.text}: {values[0][:80]!r} is not of syntax {kind.syntax.desc}",
            )
        if known.password:  # each gets a salt of its own
            return Part(partial_attribute(known.name, tuple(map(_hashed, values))), *_NO_ROWS)
        part = Part(partial_attribute(known.name, values), *self.rows_of(known, values))
        if len(known.parts) < _PARTS_KEPT:
            known.parts[values] = part
        return part

    def _with_naming(self, lines: list[tuple[bytes, bytes]], rdn: RDN) -> list[tuple[bytes, bytes]]:
        """The lines, and the values of the RDN if they are not among them."""
        for pair in rdn:
            line = (pair.type.encode(), pair.value)
            known = self._known.get(line[0]) or self._learn(line[0])
            if not known.names:
                raise LDAPError(ResultCode.NAMING_VIOLATION, f"{pair.type} can't name an entry")
            if not pair.value:
                raise LDAPError(ResultCode.INVALID_DN_SYNTAX, f"{pair.type}: a name without a value")
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
            tuple((known, _picker(places)) for known, places in groups.values()),
            tuple(known.description for known in stored),
            records.pack_shape(numbers),
        )
        if len(self._plans) < _PLANS_KEPT and len(names) <= _LINES_KEPT:
            self._plans[names] = plan
        return plan

    def _learn(self, spelled: bytes) -> Known:
        description = self._schema.description(spelled.decode())
        kind = description.type
        past = kind.name in _KEPT or kind.name in _LEFT_OUT
        placed, password = kind.name in PLACED, kind.name == "userPassword"
        if not past:
            check_settable(description)
        known = Known(
            description=description,
            number=self._number_of(description),
            name=description.text.encode(),
            past=past,
            placed=placed,
            password=password,
            indexed=kind in self._indexes.equality or kind in self._indexes.substrings,
            names=not (past or placed or password or kind.operational or kind.name == "objectClass")
            and kind.equality is not None,
        )
        self._known[spelled] = known
        return known

    def _uuid(self, past: dict[str, bytes]) -> bytes:
        found = past.get("entryUUID")
        return UUID(found.decode()).bytes if found else self._uuids()

    def _record(
        self, rdn: bytes, uuid: bytes, past: dict[str, bytes], shape: bytes, encoded: list[bytes]
    ) -> bytes:
        created, csn, creator, modifier = self._created, self._csn, self._creator, self._creator
        if past:
            created = _micros(past["createTimestamp"]) if "createTimestamp" in past else created
            csn = self._past_csn(past)
            creator = past.get("creatorsName", creator)
            modifier = past.get("modifiersName", modifier)
        return records.assemble(
            (ROOT, NO_PLACEMENT, created, csn, uuid), (rdn, creator, modifier), shape, encoded
        )

    def _past_csn(self, past: dict[str, bytes]) -> Csn:
        if "entryCSN" in past:
            return csns.parse(past["entryCSN"].decode())
        if "modifyTimestamp" in past:
            return csns.following(csns.NO_CSN, _micros(past["modifyTimestamp"]))
        return self._csn


def _picker(places: list[int]) -> Picker:
    """Slices and itemgetters pick quicker than a loop does."""
    if len(places) == 1:
        return itemgetter(slice(places[0], places[0] + 1))
    return itemgetter(*places)


def _past(description: AttributeDescription, values: tuple[bytes, ...]) -> bytes:
    """What goes into the record's header, or is left out; raises LDAPError.  A creator's name
    need not be one that this schema can compare."""
    kept = description.type.name in _KEPT
    if kept and (len(values) > 1 or not description.type.syntax.validate(values[0])):
        raise LDAPError(ResultCode.INVALID_ATTRIBUTE_SYNTAX, f"{description.text}: not what a server sets")
    return values[0]


def _spelled(text: str, rdn: RDN) -> bytes:
    """The RDN in the form of RFC 4514, which is most often the one that it came in."""
    return (text if _PLAIN_RDN.fullmatch(text) else format_rdn(rdn)).encode()


def _hashed(value: bytes) -> bytes:
    clear = plain_text(value)
    return value if clear is None else hash_password(clear)


def _micros(time: bytes) -> int:
    """Microseconds since 1970 of a Generalized Time; raises ValueError for one before."""
    seconds, _, fraction = generalized_time(time).decode().partition(".")
    micros = csns.parse_time(f"{seconds}.{fraction[:6] or 0}Z")
    if micros < 0:
        raise ValueError(f"{time.decode()} is before 1970")
    return micros
