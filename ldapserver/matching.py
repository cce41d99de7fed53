"""Filters evaluated on entries, in the three-valued logic of X.511 (RFC 4511 section
4.5.1.7): True, False, or None for Undefined.

A filter is compiled once per search into closures over ``Subject``s: entries, the root
DSE, the subschema.  What the client may not read, or the schema does not know, is
Undefined; it is never an error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias, assert_never

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
from ldapserver.schema import AttributeDescription, MatchingRule, Schema


class Subject(Protocol):
    @property
    def dn(self) -> bytes: ...

    def values(self, description: AttributeDescription) -> list[bytes]: ...


Predicate: TypeAlias = Callable[[Subject], bool | None]


def _undefined(_: Subject) -> bool | None:
    return None


class Compiler:
    """Makes predicates for clients with the rights of a view."""

    def __init__(self, schema: Schema, view: View) -> None:
        self._schema = schema
        self._view = view

    def compile(self, filter: Filter) -> Predicate:
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
        if found is None or not self._view.readable(found.type):
            return None
        return found

    def _present(self, attribute: str) -> Predicate:
        description = self.description(attribute)
        if description is None:
            return _undefined
        return lambda subject: bool(subject.values(description))

    def _equality(self, attribute: str, value: bytes) -> Predicate:
        description = self.description(attribute)
        if description is None or description.type.equality is None:
            return _undefined
        if description.type.name == "objectClass":
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
        rule = self._schema.matching_rule(filter.rule) if filter.rule else None
        if filter.rule and rule is None:
            return _undefined
        parts: list[Predicate] = []
        if filter.attribute is not None:
            description = self.description(filter.attribute)
            used = rule or (description.type.equality if description else None)
            if description is None or used is None:
                return _undefined
            parts.append(_matching(description, used, filter.value))
        elif rule is not None:
            parts.extend(
                _matching(self._schema.description(kind.name), rule, filter.value)
                for kind in self._schema.attribute_types
                if kind.syntax.oid in rule.applies and self._view.readable(kind)
            )
        if filter.dn_attributes:
            parts.append(self._in_dn(filter, rule))
        return _any(parts) if parts else _undefined

    def _in_dn(self, filter: Extensible, rule: MatchingRule | None) -> Predicate:
        """Whether an attribute of the entry's DN matches."""
        schema = self._schema
        wanted = schema.find_description(filter.attribute) if filter.attribute else None
        types = schema.subtypes(wanted.type) if wanted else None

        def predicate(subject: Subject) -> bool | None:
            for rdn in parse_dn(subject.dn.decode()).rdns:
                for pair in rdn:
                    kind = schema.attribute_type(pair.type)
                    if kind is None or (types is not None and kind not in types):
                        continue
                    used = rule or kind.equality
                    if used is not None and _equal(used, filter.value, pair.value):
                        return True
            return False

        return predicate


def subclass_names(schema: Schema, value: bytes) -> frozenset[bytes] | None:
    """Lower-case names and OIDs of a class and its subclasses; None for an unknown one."""
    found = schema.object_class(value.decode("utf-8", "replace"))
    if found is None:
        return None
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


def _equal(rule: MatchingRule, asserted: bytes, value: bytes) -> bool:
    try:
        return rule.normalise(asserted) == rule.normalise(value)
    except ValueError:
        return False


def _matching(description: AttributeDescription, rule: MatchingRule, value: bytes) -> Predicate:
    try:
        wanted = rule.normalise(value)
    except ValueError:
        return _undefined
    return _on_values(description, rule, lambda found: found == wanted)


def _on_values(
    description: AttributeDescription, rule: MatchingRule, test: Callable[[bytes], bool]
) -> Predicate:
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
