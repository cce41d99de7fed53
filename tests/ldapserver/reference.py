"""Search by brute force: what an entry matches, and what a scope holds, in the plainest way.

An independent second opinion for the planner, the matcher and the walks: it works on
decoded entries, with a table of the attributes that the tests use, and normal forms that
are right for the tests' values only.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from itertools import chain
from typing import TypeAlias
from uuid import UUID

from attrs import frozen

from ldapserver.dn import normalise_text, parse_dn
from ldapserver.messages import (
    And,
    Approx,
    Deref,
    Entry,
    Equality,
    Extensible,
    Filter,
    GreaterOrEqual,
    LessOrEqual,
    Not,
    Or,
    Present,
    Scope,
    Substrings,
)
from ldapserver.schema import standard_schema

SCHEMA_TEXT = """
attributetype ( 1.3.6.1.4.1.55555.1.1 NAME 'nickName' SUP name )
attributetype ( 1.3.6.1.4.1.55555.1.2 NAME 'trueName' SUP name EQUALITY caseExactMatch
    SUBSTR caseExactSubstringsMatch )
attributetype ( 1.3.6.1.4.1.55555.1.3 NAME 'grade' EQUALITY caseIgnoreMatch
    ORDERING caseIgnoreOrderingMatch SUBSTR caseIgnoreSubstringsMatch
    SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )
"""
SCHEMA = standard_schema().extended(SCHEMA_TEXT)

Normal: TypeAlias = Callable[[bytes], str]
Truth: TypeAlias = bool | None
Key: TypeAlias = tuple[bytes, ...]


@cache
def exact(value: bytes) -> str:
    if not value:
        raise ValueError
    return " ".join(unicodedata.normalize("NFKC", value.decode()).split()) or " "


@cache
def ignore(value: bytes) -> str:
    return unicodedata.normalize("NFKC", exact(value).casefold())


def ia5(value: bytes) -> str:
    return " ".join(value.decode("ascii").lower().split()) or " "


def telephone(value: bytes) -> str:
    return value.decode("ascii").lower().replace(" ", "").replace("-", "")


def integer(value: bytes) -> str:
    """As text that orders like the numbers of these tests."""
    if not re.fullmatch(rb"0|-?[1-9][0-9]*", value):
        raise ValueError
    return f"{int(value) + 10**12:020d}"


@cache
def name(value: bytes) -> str:
    return repr(key(value.decode()))


def timestamp(value: bytes) -> str:
    if not re.fullmatch(rb"[0-9]{14}Z", value):
        raise ValueError
    return value.decode()


def boolean(value: bytes) -> str:
    if value.upper() not in (b"TRUE", b"FALSE"):
        raise ValueError
    return value.decode().upper()


def uuid(value: bytes) -> str:
    return str(UUID(value.decode()))


@cache
def key(dn: str) -> Key:
    try:
        return normalise_text(dn, SCHEMA)
    except Exception as error:
        raise ValueError from error


@frozen
class Kind:
    """An attribute type: what it is a subtype of, and how its values compare."""

    equal: Normal | None
    part: Normal | None = None
    order: Normal | None = None
    sup: str | None = None
    text: bool = False
    """Whether caseExactMatch and caseIgnoreMatch are good for its syntax."""


KINDS: Mapping[str, Kind] = {
    "name": Kind(ignore, ignore, text=True),
    "cn": Kind(ignore, ignore, sup="name", text=True),
    "sn": Kind(ignore, ignore, sup="name", text=True),
    "o": Kind(ignore, ignore, sup="name", text=True),
    "nickName": Kind(ignore, ignore, sup="name", text=True),
    "trueName": Kind(exact, exact, sup="name", text=True),
    "grade": Kind(ignore, ignore, ignore, text=True),
    "uid": Kind(ignore, ignore, text=True),
    "description": Kind(ignore, ignore, text=True),
    "telephoneNumber": Kind(telephone, telephone, text=True),
    "mail": Kind(ia5, ia5),
    "hostServer": Kind(ia5, ia5),
    "oldHostServer": Kind(ia5, ia5),
    "uidNumber": Kind(integer, None, integer),
    "member": Kind(name),
    "jpegPhoto": Kind(None),
    "aliasedObjectName": Kind(name),
    "objectClass": Kind(None),
    # Operational ones, as far as the filters ask for them.
    "entryDN": Kind(name),
    "hasSubordinates": Kind(boolean),
    "numSubordinates": Kind(integer, None, integer),
    "createTimestamp": Kind(timestamp, None, timestamp),
    "entryUUID": Kind(uuid, None, uuid),
}
SPELLED: Mapping[str, str] = {
    "commonname": "cn",
    "2.5.4.3": "cn",
    "rfc822mailbox": "mail",
    "surname": "sn",
    **{found.lower(): found for found in KINDS},
}
SUPERCLASSES: Mapping[str, tuple[str, ...]] = {
    "top": (),
    "organization": ("top",),
    "person": ("top",),
    "organizationalPerson": ("top", "person"),
    "inetOrgPerson": ("top", "person", "organizationalPerson"),
    "CommuniGateAccount": ("top", "person", "organizationalPerson", "inetOrgPerson"),
    "CommuniGateDomain": ("top",),
    "CommuniGateGroup": ("top",),
    "alias": ("top",),
    "extensibleObject": ("top",),
}
RULES: Mapping[str, tuple[str, Normal, Callable[[Kind], bool]]] = {
    "caseexactmatch": ("equality", exact, lambda kind: kind.text),
    "caseignorematch": ("equality", ignore, lambda kind: kind.text),
    "caseignoreia5match": ("equality", ia5, lambda kind: kind.equal is ia5),
    "integermatch": ("equality", integer, lambda kind: kind.equal is integer),
    "integerorderingmatch": ("ordering", integer, lambda kind: kind.order is integer),
    "caseignoresubstringsmatch": ("substrings", ignore, lambda kind: kind.text),
}


@frozen
class Described:
    kind: str
    options: frozenset[str]


@cache
def described(text: str) -> Described | None:
    spelled, *options = text.lower().split(";")
    found = SPELLED.get(spelled)
    if found is None or not all(option.startswith(("lang-", "x-")) for option in options):
        return None
    return Described(found, frozenset(options))


@cache
def is_kind(found: str | None, wanted: str) -> bool:
    while found is not None:
        if found == wanted:
            return True
        found = KINDS[found].sup
    return False


def values(entry: Entry, wanted: Described) -> list[bytes]:
    found: list[bytes] = []
    for attribute in entry.attributes:
        known = described(attribute.type)
        if known and is_kind(known.kind, wanted.kind) and wanted.options <= known.options:
            found += attribute.values
    return found


class Matcher:
    """``readable`` tells of a type's name whether the client may read it."""

    def __init__(self, readable: Callable[[str], bool] = lambda _: True) -> None:
        self._readable = readable
        self._known: dict[str, Described | None] = {}

    def matches(self, entry: Entry, filter: Filter) -> Truth:
        match filter:
            case And(filters):
                return lowest(self.matches(entry, part) for part in filters)
            case Or(filters):
                return negated(lowest(negated(self.matches(entry, part)) for part in filters))
            case Not(part):
                return negated(self.matches(entry, part))
            case Extensible():
                return self._extensible(entry, filter)
            case _:
                wanted = self._described(filter.attribute)
                return None if wanted is None else self._item(entry, wanted, filter)

    def _described(self, text: str) -> Described | None:
        """What the client may read with all its subtypes."""
        if text not in self._known:
            found = described(text)
            kinds = [kind for kind in KINDS if found is not None and is_kind(kind, found.kind)]
            self._known[text] = found if all(map(self._readable, kinds)) else None
        return self._known[text]

    def _item(self, entry: Entry, wanted: Described, filter: Filter) -> Truth:
        kind, there = KINDS[wanted.kind], values(entry, wanted)
        match filter:
            case Present():
                return bool(there)
            case Equality(_, value) | Approx(_, value):
                if wanted.kind == "objectClass":
                    return is_of_class(there, value)
                return some(there, kind.equal, lambda normal: equal_to(normal, value))
            case GreaterOrEqual(_, value):
                return some(there, kind.order, lambda normal: lambda found: found >= normal(value))
            case LessOrEqual(_, value):
                return some(there, kind.order, lambda normal: lambda found: found <= normal(value))
            case Substrings(_, initial, middle, final):
                return some(there, kind.part, lambda normal: pattern(normal, initial, middle, final))
        raise AssertionError(filter)

    def _extensible(self, entry: Entry, filter: Extensible) -> Truth:
        wanted = self._described(filter.attribute) if filter.attribute else None
        rule = RULES.get(filter.rule.lower()) if filter.rule else None
        if (filter.attribute and wanted is None) or (filter.rule and rule is None):
            return None
        if wanted is not None and rule is not None and not rule[2](KINDS[wanted.kind]):
            return None
        if wanted is None:
            assert rule is not None
            kinds = [kind for kind in KINDS if rule[2](KINDS[kind]) and self._described(kind)]
            in_dn = {kind for kind in KINDS if rule[2](KINDS[kind])}
            there = list(
                chain.from_iterable(
                    attribute.values
                    for attribute in entry.attributes
                    if (known := described(attribute.type)) and known.kind in kinds
                )
            )
        else:
            there = values(entry, wanted)
            in_dn = {kind for kind in KINDS if is_kind(kind, wanted.kind)}
        normal: Normal | None
        if rule is not None:
            sort, normal, _ = rule
        else:
            assert wanted is not None
            sort, normal = "equality", KINDS[wanted.kind].equal
            if wanted.kind == "objectClass":
                sort, normal = "equality", class_name
        named = [
            pair.value
            for rdn in parse_dn(entry.dn).rdns
            for pair in rdn
            if (known := described(pair.type)) and known.kind in in_dn
        ]
        return some([*there, *(named if filter.dn_attributes else ())], normal, test_of(sort, filter.value))


def test_of(sort: str, value: bytes) -> Callable[[Normal], Callable[[str], bool]]:
    if sort == "equality":
        return lambda normal: equal_to(normal, value)
    if sort == "ordering":
        return lambda normal: lambda found: found < normal(value)
    first, *middle, last = value.split(b"*")
    return lambda normal: pattern(normal, first or None, tuple(filter(None, middle)), last or None)


def equal_to(normal: Normal, value: bytes) -> Callable[[str], bool]:
    wanted = normal(value)
    return lambda found: found == wanted


def some(
    there: Iterable[bytes], normal: Normal | None, test_for: Callable[[Normal], Callable[[str], bool]]
) -> Truth:
    """Whether a value passes; Undefined without a rule, or for an assertion that is wrong."""
    if normal is None:
        return None
    try:
        test = test_for(normal)
        test("")  # which normalises the assertion
    except ValueError:
        return None
    return any(test(normal(value)) for value in there)


def pattern(
    normal: Normal, initial: bytes | None, middle: Iterable[bytes], final: bytes | None
) -> Callable[[str], bool]:
    """The parts of the tests have no spaces at their ends."""
    parts = [re.escape(normal(initial)) if initial else ""]
    parts += [re.escape(normal(part)) for part in middle]
    parts.append(re.escape(normal(final)) if final else "")
    compiled = re.compile(".*".join(parts), re.DOTALL)
    return lambda found: compiled.fullmatch(found) is not None


def class_name(value: bytes) -> str:
    name = "person" if value == b"2.5.6.6" else value.decode().lower()
    found = [known for known in SUPERCLASSES if known.lower() == name]
    if not found:
        raise ValueError
    return found[0]


def is_of_class(there: Iterable[bytes], value: bytes) -> Truth:
    try:
        wanted = class_name(value)
    except ValueError:
        return None
    names = {class_name(found) for found in there}
    return any(wanted == found or wanted in SUPERCLASSES[found] for found in names)


def negated(truth: Truth) -> Truth:
    return None if truth is None else not truth


def lowest(truths: Iterable[Truth]) -> Truth:
    found = list(truths)
    if False in found:
        return False
    return None if None in found else True


# --- scopes ----------------------------------------------------------------------------


class Tree:
    """The entries by their normalised names."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self.entries = {key(entry.dn): entry for entry in entries}

    def within(self, base: Key, scope: Scope) -> set[Key]:
        size = len(base)
        match scope:
            case Scope.BASE:
                return {base} & self.entries.keys()
            case Scope.ONE:
                return {found for found in self.entries if found[1:] == base}
            case Scope.SUBTREE:
                return {found for found in self.entries if found[len(found) - size :] == base}
            case Scope.SUBORDINATE:
                return self.within(base, Scope.SUBTREE) - {base}

    def is_alias(self, found: Key) -> bool:
        entry = self.entries[found]
        return b"alias" in values(entry, Described("objectClass", frozenset()))

    def target(self, alias: Key) -> Key | None:
        """Where an alias leads to in the end."""
        found = alias
        for _ in range(21):
            if found not in self.entries:
                return None
            if not self.is_alias(found):
                return found
            (dn,) = values(self.entries[found], Described("aliasedObjectName", frozenset()))
            found = key(dn.decode())
        return None

    def find_base(self, dn: Key) -> Key | None:
        """With aliases followed on the way (derefFindingBaseObj)."""
        found: Key | None = ()
        for rdn in reversed(dn):
            found = self.target((rdn, *(found or ())))
            if found is None:
                return None
        return found

    def extent(self, base: Key, scope: Scope, deref: Deref) -> set[Key]:
        found = self.within(base, scope)
        if deref not in (Deref.SEARCHING, Deref.ALWAYS) or scope is Scope.BASE:
            return found
        found |= self._led_to(base, scope)
        return {entry for entry in found if entry == base or not self.is_alias(entry)}

    def _led_to(self, base: Key, scope: Scope) -> set[Key]:
        found: set[Key] = set()
        waiting = self.within(base, scope)
        seen: set[Key] = set()
        while waiting:
            alias = waiting.pop()
            if alias in seen or alias == base or not self.is_alias(alias):
                continue
            seen.add(alias)
            target = self.target(alias)
            if target is None:
                continue
            if scope is Scope.ONE:
                found.add(target)
            else:
                more = self.within(target, Scope.SUBTREE)
                found |= more
                waiting |= more
        return found
