"""A schema: look-ups by name and OID, attribute descriptions, relations between types and
between classes (RFC 4512).

What lives here: answers to questions that the server asks often, so all of them are a
dictionary away.  What must not: checking entries (``check``), text (``text``).  A schema
never changes; ``extended`` makes another one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from threading import Lock
from typing import Final, TypeVar
from weakref import WeakValueDictionary

from ldapserver.extended import CGNODE_ARC
from ldapserver.results import LDAPError, ResultCode
from ldapserver.schema import values
from ldapserver.schema.model import (
    AttributeDescription,
    AttributeType,
    AttributeTypeDefinition,
    ContentRule,
    ContentRuleDefinition,
    Definition,
    MatchingRule,
    MatchingRuleDefinition,
    MatchingRuleUseDefinition,
    NameFormDefinition,
    Normaliser,
    ObjectClass,
    ObjectClassDefinition,
    SchemaError,
    StructureRuleDefinition,
    Syntax,
    SyntaxDefinition,
    Usage,
)
from ldapserver.schema.resolve import Resolver
from ldapserver.schema.rules import behaviours
from ldapserver.schema.text import parse_definitions

# RFC 4520 section 3.4, RFC 4522, RFC 3866; other options are unrecognized (RFC 4512 2.5).
_OPTION: Final = re.compile(r"binary|(?:lang|x)-[a-z0-9-]+")
# Spellings of names come from clients: what is remembered of them is bounded.
_REMEMBERED: Final = 4096


class Schema:
    """Made of definitions; of two with one OID the later one counts.  Raises SchemaError."""

    def __init__(self, definitions: Iterable[Definition]) -> None:
        latest: dict[tuple[type[Definition], str], Definition] = {}
        for definition in definitions:
            latest[type(definition), definition.oid] = definition
        self.definitions: tuple[Definition, ...] = tuple(latest.values())
        resolved = Resolver(self.definitions, behaviours(self))
        self._types = resolved.types
        self._classes = resolved.classes
        self._rules = resolved.rules
        self._content_rules = resolved.content_rules
        self.syntaxes: tuple[Syntax, ...] = tuple(resolved.syntaxes.values())
        self.matching_rules: tuple[MatchingRule, ...] = _distinct(resolved.rules.values())
        self.attribute_types: tuple[AttributeType, ...] = _distinct(resolved.types.values())
        self.object_classes: tuple[ObjectClass, ...] = _distinct(resolved.classes.values())
        self.content_rules: tuple[ContentRule, ...] = tuple(resolved.content_rules.values())
        self._subtypes = _subtypes(self.attribute_types)
        self._subclasses = _subclasses(self.object_classes)
        self._descriptions: dict[str, AttributeDescription | None] = {}
        self._in_use: WeakValueDictionary[str, AttributeDescription] = WeakValueDictionary()
        self._plain: dict[AttributeType, AttributeDescription] = {}
        self._namings: dict[str, tuple[bytes, Normaliser]] = {}
        self._lock = Lock()
        # For ``check``: structural classes by what entries are made of.
        self.shapes: dict[object, ObjectClass] = {}

    def extended(self, text: str, source: str = "") -> Schema:
        """With the definitions of a file, OpenLDAP's form; raises SchemaError.

        A definition with an OID that is there already takes its place, but not that of
        ``objectClass``, an operational attribute, a rule or a syntax, or one of ours: the
        server's own work rests on these.
        """
        added = parse_definitions(text, source)
        known = {definition.oid: definition for definition in self.definitions if _protected(definition)}
        for definition in added:
            if known.get(definition.oid, definition) != definition:
                raise SchemaError("the server's own definition can't be replaced", definition.origin)
        return Schema([*self.definitions, *added])

    # --- look-ups: names in any case, or numeric OIDs ---

    def attribute_type(self, name: str) -> AttributeType | None:
        return self._types.get(_lower(name))

    def object_class(self, name: str) -> ObjectClass | None:
        return self._classes.get(_lower(name))

    def matching_rule(self, name: str) -> MatchingRule | None:
        return self._rules.get(_lower(name))

    def content_rule(self, structural: ObjectClass) -> ContentRule | None:
        return self._content_rules.get(structural)

    def oid_of(self, name: str) -> str | None:
        """The OID of the class, attribute type or rule of this name."""
        name = _lower(name)
        found = self._classes.get(name) or self._types.get(name) or self._rules.get(name)
        return None if found is None else found.oid

    # --- attribute descriptions ---

    def description(self, text: str) -> AttributeDescription:
        """Raises LDAPError UNDEFINED_ATTRIBUTE_TYPE."""
        found = self._descriptions.get(text) or self.find_description(text)
        if found is None:
            raise LDAPError(ResultCode.UNDEFINED_ATTRIBUTE_TYPE, f"{text[:64]}: attribute type undefined")
        return found

    def find_description(self, text: str) -> AttributeDescription | None:
        found = self._descriptions.get(text, ...)
        if found is not ...:
            return found
        made = self._describe(text)
        if len(self._descriptions) >= _REMEMBERED:
            self._descriptions.clear()
        self._descriptions[text] = made
        return made

    def _describe(self, text: str) -> AttributeDescription | None:
        name, *options = _lower(text).split(";")
        kind = self._types.get(name)
        if kind is None or not all(map(_OPTION.fullmatch, options)):
            return None
        sorted_options = tuple(sorted(set(options)))
        canonical = ";".join((kind.name, *sorted_options))
        with self._lock:  # one object for one description, whichever thread is first
            found = self._in_use.get(canonical)
            if found is None:
                found = self._in_use[canonical] = AttributeDescription(kind, sorted_options, canonical)
            if not options:
                self._plain[kind] = found
        return found

    def covers(self, wanted: AttributeDescription, found: AttributeDescription) -> bool:
        """Whether ``found`` is ``wanted`` or a subtype of it (RFC 4512 section 2.5.3)."""
        return wanted is found or (
            found.type in self._subtypes[wanted.type] and set(wanted.options) <= set(found.options)
        )

    # --- relations ---

    def subtypes(self, kind: AttributeType) -> frozenset[AttributeType]:
        """Itself included."""
        return self._subtypes[kind]

    def subclasses(self, object_class: ObjectClass) -> frozenset[ObjectClass]:
        """Itself included."""
        return self._subclasses[object_class]

    def superclasses(self, object_class: ObjectClass) -> frozenset[ObjectClass]:
        """Itself included."""
        return object_class.superclasses | {object_class}

    def attributes_of(self, object_class: ObjectClass) -> frozenset[AttributeType]:
        """What entries of a class must and may have."""
        return object_class.must | object_class.may

    def types_using(self, rule: MatchingRule) -> tuple[AttributeType, ...]:
        """The types that a rule is good for (matchingRuleUse, RFC 4512 section 4.1.4)."""
        return tuple(kind for kind in self.attribute_types if kind.syntax.oid in rule.applies)

    def orders_like(self, equality: MatchingRule | None, other: MatchingRule | None) -> bool:
        """Whether both rules have the same normal form, so that an index of one serves
        the other."""
        return equality is not None and other is not None and equality.normalise is other.normalise

    # --- names (dn.Namer) ---

    def naming(self, type: str, /) -> tuple[bytes, Normaliser] | None:
        """What a DN's normal form has of a type (``b"cn="``), and its values' normal form."""
        found = self._namings.get(type)
        if found is None:
            kind = self._types.get(_lower(type))
            if kind is None:
                return None
            normalise = values.octets if kind.equality is None else kind.equality.normalise
            found = (kind.name.lower().encode() + b"=", normalise)
            if len(self._namings) >= _REMEMBERED:
                self._namings.clear()
            self._namings[type] = found
        return found


def _lower(name: str) -> str:
    """Names are ASCII; the Kelvin sign's lower case is an ASCII letter."""
    return name.lower() if name.isascii() else ""


_T = TypeVar("_T")


def _distinct(found: Iterable[_T]) -> tuple[_T, ...]:
    return tuple(dict.fromkeys(found))


def _subtypes(types: Iterable[AttributeType]) -> dict[AttributeType, frozenset[AttributeType]]:
    below: dict[AttributeType, set[AttributeType]] = {kind: {kind} for kind in types}
    for kind in types:
        above = kind.sup
        while above is not None:
            below[above].add(kind)
            above = above.sup
    return {kind: frozenset(found) for kind, found in below.items()}


def _subclasses(classes: Iterable[ObjectClass]) -> dict[ObjectClass, frozenset[ObjectClass]]:
    below: dict[ObjectClass, set[ObjectClass]] = {found: {found} for found in classes}
    for found in classes:
        for above in found.superclasses:
            below[above].add(found)
    return {found: frozenset(subclasses) for found, subclasses in below.items()}


def _protected(definition: Definition) -> bool:
    if definition.oid.startswith(CGNODE_ARC):
        return True
    match definition:
        case AttributeTypeDefinition():
            return definition.usage is not Usage.USER or "objectClass" in definition.names
        case ObjectClassDefinition() | ContentRuleDefinition():
            return False
        case SyntaxDefinition() | MatchingRuleDefinition() | MatchingRuleUseDefinition():
            return True
        case StructureRuleDefinition() | NameFormDefinition():
            return False
