"""Filters evaluated on entries, in the three-valued logic of X.511 (RFC 4511 section
4.5.1.7): True, False, or None for Undefined.

A filter is compiled once per search into closures over ``Subject``s: entries, the root
DSE, the subschema.  What the client may not read, or the schema does not know, is
Undefined; it is never an error.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence, Set
from functools import lru_cache
from typing import Final, Protocol, TypeAlias, assert_never

from ldapserver.access import View
from ldapserver.dn import parse_dn
from ldapserver.messages import (
    And,
    Approx,
    Equality,
    Extensible,
    Filter,
    GreaterOrEqual,
    LessOrEqual,
    Not,
    Or,
    Present,
    Substrings,
)
from ldapserver.schema import (
    AttributeDescription,
    AttributeType,
    MatchingRule,
    ObjectClass,
    RuleKind,
    Schema,
)


class Subject(Protocol):
    @property
    def dn(self) -> bytes: ...

    def values(self, description: AttributeDescription) -> list[bytes]: ...


Predicate: TypeAlias = Callable[[Subject], bool | None]
Test: TypeAlias = Callable[[bytes], bool]

_ESCAPED: Final = re.compile(rb"\\(2[Aa]|5[Cc])")


def _undefined(_: Subject) -> bool | None:
    return None


class Compiler:
    """Makes predicates for clients with the rights of a view.

    ``comparisons`` counts what the compiled filters compare an entry with: what it costs
    to look at one.
    """

    def __init__(self, schema: Schema, view: View) -> None:
        self._schema = schema
        self._view = view
        self.comparisons = 0

    def compile(self, filter: Filter) -> Predicate:
        self.comparisons += 1
        match filter:
            case And(filters):
                return _all([self.compile(part) for part in filters])
            case Or(filters):
                return _any([self.compile(part) for part in filters])
            case Not(part):
                return _negation(self.compile(part))
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
            case Extensible():
                return self._extensible(filter)
            case _:
                assert_never(filter)

    def description(self, text: str) -> AttributeDescription | None:
        """What a filter names, if it is known and may be read."""
        found = self._schema.find_description(text)
        return found if found is not None and self._readable(found.type) else None

    def _readable(self, kind: AttributeType) -> bool:
        """With all subtypes, whose values count as the type's."""
        return all(map(self._view.readable, self._schema.subtypes(kind)))

    def _present(self, attribute: str) -> Predicate:
        description = self.description(attribute)
        if description is None:
            return _undefined
        return lambda subject: bool(subject.values(description))

    def _equality(self, attribute: str, value: bytes) -> Predicate:
        description = self.description(attribute)
        if description is None or description.type.equality is None:
            return _undefined
        if description.type.name == "objectClass" and not description.options:
            return self._object_class(description, value)
        return _matching(description, description.type.equality, value)

    def _object_class(self, description: AttributeDescription, value: bytes) -> Predicate:
        """A class matches where a subclass of it is named (RFC 4512 section 2.4)."""
        wanted = subclass_names(self._schema, value)
        if wanted is None:
            return _undefined
        if b"top" in wanted:
            return lambda _: True
        return lambda subject: any(found.lower() in wanted for found in subject.values(description))

    def _substrings(self, filter: Substrings) -> Predicate:
        description = self.description(filter.attribute)
        if description is None or (rule := description.type.substrings) is None:
            return _undefined
        try:
            initial = rule.normalise_part(filter.initial, "initial") if filter.initial else b""
            middle = [rule.normalise_part(part, "any") for part in filter.any]
            final = rule.normalise_part(filter.final, "final") if filter.final else b""
        except ValueError:
            return _undefined
        return _on_values(description, rule, lambda value: contains(value, initial, middle, final))

    def _ordering(self, attribute: str, value: bytes, *, greater: bool) -> Predicate:
        description = self.description(attribute)
        if description is None or (rule := description.type.ordering) is None:
            return _undefined
        try:
            bound = rule.normalise(value)
        except ValueError:
            return _undefined
        if greater:
            return _on_values(description, rule, lambda found: found >= bound)
        return _on_values(description, rule, lambda found: found <= bound)

    def _extensible(self, filter: Extensible) -> Predicate:
        """RFC 4511 section 4.5.1.7.7."""
        rule = self._schema.matching_rule(filter.rule) if filter.rule else None
        if filter.rule and rule is None:
            return _undefined
        if filter.attribute is None:
            assert rule is not None, "one of both is there"
            types = frozenset(kind for kind in self._schema.attribute_types if _applies(rule, kind))
            chosen = {kind for kind in types if self._readable(kind)}
            descriptions = [self._schema.description(kind.name) for kind in chosen if kind.sup not in chosen]
        else:
            description = self.description(filter.attribute)
            rule = rule or (description.type.equality if description else None)
            if description is None or rule is None or (filter.rule and not _applies(rule, description.type)):
                return _undefined
            types = self._schema.subtypes(description.type)
            descriptions = [description]
        try:
            test = _test_of(rule, filter.value)
        except ValueError:
            return _undefined
        self.comparisons += len(descriptions)
        parts = [_on_values(description, rule, test) for description in descriptions]
        if filter.dn_attributes:
            parts.append(self._in_dn(types, rule, test))
        return _any(parts)

    def _in_dn(self, types: Set[AttributeType], rule: MatchingRule, test: Test) -> Predicate:
        """Whether an attribute of the entry's DN matches."""
        schema = self._schema

        def predicate(subject: Subject) -> bool | None:
            for rdn in parse_dn(subject.dn.decode()).rdns:
                for pair in rdn:
                    if schema.attribute_type(pair.type) in types and _holds(rule, test, pair.value):
                        return True
            return False

        return predicate


def subclass_names(schema: Schema, value: bytes) -> frozenset[bytes] | None:
    """Lower-case names and OIDs of a class and its subclasses; None for an unknown one."""
    found = schema.object_class(value.decode("utf-8", "replace"))
    return None if found is None else _names_below(schema, found)


@lru_cache(maxsize=256)
def _names_below(schema: Schema, found: ObjectClass) -> frozenset[bytes]:
    return frozenset(
        text.lower().encode() for part in schema.subclasses(found) for text in (*part.names, part.oid)
    )


def contains(value: bytes, initial: bytes, middle: Sequence[bytes], final: bytes) -> bool:
    """RFC 4511 section 4.5.1.7.2: the parts in order, without overlap."""
    if not value.startswith(initial):
        return False
    position = len(initial)
    for part in middle:
        found = value.find(part, position)
        if found < 0:
            return False
        position = found + len(part)
    return len(value) - len(final) >= position and value.endswith(final)


def _applies(rule: MatchingRule, kind: AttributeType) -> bool:
    return kind.syntax.oid in rule.applies


def _test_of(rule: MatchingRule, value: bytes) -> Test:
    """What a rule by itself says of normalised values; raises ValueError.

    An ordering rule is true of values less than the asserted one (RFC 4517 section
    4.2.18 and others), a substrings rule asserts a pattern (section 3.3.30).
    """
    match rule.kind:
        case RuleKind.EQUALITY:
            wanted = rule.normalise(value)
            return lambda found: found == wanted
        case RuleKind.ORDERING:
            bound = rule.normalise(value)
            return lambda found: found < bound
        case RuleKind.SUBSTRINGS:
            return _pattern(rule, value)
        case _:
            assert_never(rule.kind)


def _pattern(rule: MatchingRule, value: bytes) -> Test:
    first, *between, last = value.split(b"*") if b"*" in value else (value,) * 2
    if b"*" not in value or not (first or last or any(between)):
        raise ValueError("not a substring assertion")
    initial = rule.normalise_part(_unescaped(first), "initial") if first else b""
    middle = [rule.normalise_part(_unescaped(part), "any") for part in between if part]
    final = rule.normalise_part(_unescaped(last), "final") if last else b""
    return lambda found: contains(found, initial, middle, final)


def _unescaped(part: bytes) -> bytes:
    """Asterisks and backslashes are written ``\\2a`` and ``\\5c``; raises ValueError."""
    if b"\\" in _ESCAPED.sub(b"", part):
        raise ValueError("not a substring assertion")
    return _ESCAPED.sub(lambda found: bytes.fromhex(found[1].decode()), part)


def _holds(rule: MatchingRule, test: Test, value: bytes) -> bool:
    try:
        return test(rule.normalise(value))
    except ValueError:
        return False


def _matching(description: AttributeDescription, rule: MatchingRule, value: bytes) -> Predicate:
    try:
        test = _test_of(rule, value)
    except ValueError:
        return _undefined
    return _on_values(description, rule, test)


def _on_values(description: AttributeDescription, rule: MatchingRule, test: Test) -> Predicate:
    normalise = rule.normalise

    def predicate(subject: Subject) -> bool | None:
        outcome: bool | None = False
        for value in subject.values(description):
            try:
                if test(normalise(value)):
                    return True
            except ValueError:
                outcome = None
        return outcome

    return predicate


def _all(parts: Sequence[Predicate]) -> Predicate:
    def predicate(subject: Subject) -> bool | None:
        outcome: bool | None = True
        for part in parts:
            found = part(subject)
            if found is False:
                return False
            if found is None:
                outcome = None
        return outcome

    return predicate


def _any(parts: Sequence[Predicate]) -> Predicate:
    def predicate(subject: Subject) -> bool | None:
        outcome: bool | None = False
        for part in parts:
            found = part(subject)
            if found:
                return True
            if found is None:
                outcome = None
        return outcome

    return predicate


def _negation(part: Predicate) -> Predicate:
    def predicate(subject: Subject) -> bool | None:
        found = part(subject)
        return None if found is None else not found

    return predicate
