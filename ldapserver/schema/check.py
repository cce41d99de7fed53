"""Whether entries keep to the schema (RFC 4512 sections 2.4 and 2.5): the errors that a
client gets for what does not.

Two halves, so that many entries of one shape cost little: ``check_shape`` is about which
classes and attributes an entry has, and remembers its answers; ``check_values`` is about
the values of one attribute.  Stored objectClass values stay as the client gave them;
superclasses that it leaves out count as there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from ldapserver.dn import RDN
from ldapserver.results import LDAPError, ResultCode
from ldapserver.schema.model import AttributeDescription, AttributeType, ClassKind, ContentRule, ObjectClass
from ldapserver.schema.schema import Schema

EXTENSIBLE_OBJECT: Final = "1.3.6.1.4.1.1466.101.120.111"
_OBJECT_CLASS: Final = "2.5.4.0"
_TOP: Final = "2.5.6.0"
_REMEMBERED: Final = 4096


def check_entry(schema: Schema, attributes: Mapping[AttributeDescription, Sequence[bytes]]) -> ObjectClass:
    """The structural class of an entry that keeps to the schema; raises LDAPError."""
    object_class = schema.description("objectClass")
    classes = attributes.get(object_class, ())
    structural = check_shape(schema, tuple(classes), tuple(attributes))
    for description, values in attributes.items():
        if (len(values) == 1 and description.type.accepts(values[0])) or description is object_class:
            continue
        check_values(description, values)
    return structural


# --- values -----------------------------------------------------------------------------


def check_values(description: AttributeDescription, values: Sequence[bytes]) -> None:
    """Syntax, number and difference of an attribute's values; raises LDAPError."""
    kind = description.type
    for value in values:
        if not kind.accepts(value):
            raise _bad_syntax(description, value)
    if not values:
        raise LDAPError(ResultCode.INVALID_ATTRIBUTE_SYNTAX, f"{description.text}: no values")
    if len(values) == 1:
        return
    if kind.single_value:
        raise LDAPError(ResultCode.CONSTRAINT_VIOLATION, f"{description.text}: only one value is allowed")
    different = set(map(kind.equality.normalise, values)) if kind.equality else set(values)
    if len(different) != len(values):
        raise LDAPError(ResultCode.ATTRIBUTE_OR_VALUE_EXISTS, f"{description.text}: a value is there twice")


def _bad_syntax(description: AttributeDescription, value: bytes) -> LDAPError:
    kind = description.type
    reason = f"a value is not of the syntax {kind.syntax.desc}"
    if kind.syntax.validate(value) and kind.equality is not None:
        try:
            kind.equality.normalise(value)
        except ValueError as error:
            reason = str(error)
    return LDAPError(ResultCode.INVALID_ATTRIBUTE_SYNTAX, f"{description.text}: {reason}")


def check_user_modifiable(description: AttributeDescription) -> None:
    """Raises LDAPError for an attribute that only the server sets."""
    if description.type.no_user_modification:
        raise LDAPError(ResultCode.CONSTRAINT_VIOLATION, f"{description.text}: no user modification allowed")


# --- shape ------------------------------------------------------------------------------


def check_shape(
    schema: Schema, classes: tuple[bytes, ...], descriptions: tuple[AttributeDescription, ...]
) -> ObjectClass:
    """The structural class of an entry with these objectClass values and attributes.

    The values of objectClass are checked too.  Raises LDAPError: OBJECT_CLASS_VIOLATION,
    or ATTRIBUTE_OR_VALUE_EXISTS for a class that is named twice.
    """
    shape = (classes, descriptions)
    found = schema.shapes.get(shape)
    if found is None:
        found = _check_shape(schema, classes, {description.type for description in descriptions})
        if len(schema.shapes) >= _REMEMBERED:
            schema.shapes.clear()
        schema.shapes[shape] = found
    return found


def _violation(reason: str) -> LDAPError:
    return LDAPError(ResultCode.OBJECT_CLASS_VIOLATION, reason)


def _check_shape(schema: Schema, classes: tuple[bytes, ...], types: set[AttributeType]) -> ObjectClass:
    named = find_classes(schema, classes)
    if len(named) != len(classes):
        raise LDAPError(ResultCode.ATTRIBUTE_OR_VALUE_EXISTS, "objectClass: a value is there twice")
    structural = _structural(named)
    closure = named.union(*(found.superclasses for found in named))
    _check_abstract(named)
    rule = schema.content_rule(structural)
    if rule is not None:
        _check_content(rule, named, types)
    must = frozenset[AttributeType]().union(*(found.must for found in closure))
    may = frozenset[AttributeType]().union(*(found.may for found in closure))
    if rule is not None:
        must, may = must | rule.must, may | rule.may
    missing = must - types
    if missing:
        names = ", ".join(sorted(kind.name for kind in missing))
        raise _violation(f"object class {structural.name} requires {names}")
    if all(found.oid != EXTENSIBLE_OBJECT for found in closure):
        _check_allowed(types, must | may)
    return structural


def _check_allowed(types: set[AttributeType], allowed: frozenset[AttributeType]) -> None:
    """Operational attributes belong to no class (RFC 4512 section 3.4); of others only
    the named types, not their subtypes, are allowed (section 2.5.3)."""
    for kind in types:
        if kind not in allowed and not kind.operational:
            raise _violation(f"attribute {kind.name} is not allowed by the object classes")


def _check_content(rule: ContentRule, named: frozenset[ObjectClass], types: set[AttributeType]) -> None:
    """RFC 4512 section 4.1.6."""
    for found in named:
        if found.kind is ClassKind.AUXILIARY and found not in rule.auxiliaries:
            raise _violation(f"{rule.structural.name} entries can't be {found.name} too")
    for kind in types & rule.excluded:
        raise _violation(f"attribute {kind.name} is precluded from {rule.structural.name} entries")


def find_classes(schema: Schema, classes: Iterable[bytes]) -> frozenset[ObjectClass]:
    """The classes of objectClass values, without their superclasses; raises LDAPError."""
    named = set()
    for value in classes:
        found = schema.object_class(value.decode("utf-8", "replace"))
        if found is None:
            raise _violation(f"object class {value[:64].decode('utf-8', 'replace')!r} is not defined")
        named.add(found)
    if not named:
        raise _violation("no object class")
    return frozenset(named)


def structural_class(schema: Schema, classes: Iterable[bytes]) -> ObjectClass:
    """The most subordinate structural class of objectClass values; raises LDAPError."""
    return _structural(find_classes(schema, classes))


def check_same_structural(schema: Schema, before: Iterable[bytes], after: Iterable[bytes]) -> ObjectClass:
    """A modification can't change an entry's structural class (RFC 4512 section 3.3)."""
    old, new = structural_class(schema, before), structural_class(schema, after)
    if old is not new:
        raise LDAPError(
            ResultCode.OBJECT_CLASS_MODS_PROHIBITED,
            f"the structural object class can't change from {old.name} to {new.name}",
        )
    return new


def _structural(named: frozenset[ObjectClass]) -> ObjectClass:
    """The one structural class that all others are superclasses of (section 2.4.2)."""
    candidates = [found for found in named if found.kind is ClassKind.STRUCTURAL]
    if not candidates:
        raise _violation("no structural object class")
    lowest = max(candidates, key=lambda found: len(found.superclasses))
    for found in candidates:
        if found is not lowest and found not in lowest.superclasses:
            names = " and ".join(sorted((found.name, lowest.name)))
            raise _violation(f"more than one structural object class: {names}")
    return lowest


def _check_abstract(named: frozenset[ObjectClass]) -> None:
    """An abstract class needs one that derives from it; top has them all (section 2.4.1)."""
    derived = frozenset[ObjectClass]().union(
        *(found.superclasses for found in named if found.kind is not ClassKind.ABSTRACT)
    )
    for found in named:
        if found.kind is ClassKind.ABSTRACT and found not in derived and found.oid != _TOP:
            raise _violation(f"no object class derives from the abstract class {found.name}")


# --- naming -----------------------------------------------------------------------------


def naming_values(schema: Schema, rdn: RDN) -> list[tuple[AttributeDescription, bytes]]:
    """What an entry of this RDN has to hold; raises LDAPError NAMING_VIOLATION for types
    that can't name entries (RFC 4512 sections 2.3.2 and 2.5.1)."""
    found = []
    for pair in rdn:
        description = schema.description(pair.type)
        kind = description.type
        if kind.equality is None or kind.operational or kind.oid == _OBJECT_CLASS:
            raise LDAPError(ResultCode.NAMING_VIOLATION, f"{kind.name} can't name an entry")
        found.append((description, pair.value))
    return found


def missing_naming_values(
    schema: Schema, rdn: RDN, attributes: Mapping[AttributeDescription, Sequence[bytes]]
) -> list[tuple[AttributeDescription, bytes]]:
    """Those of ``naming_values`` that the attributes lack, by the equality rule."""
    return [
        (description, value)
        for description, value in naming_values(schema, rdn)
        if not _holds(description.type, attributes.get(description, ()), value)
    ]


def _holds(kind: AttributeType, values: Sequence[bytes], wanted: bytes) -> bool:
    if wanted in values:
        return True
    assert kind.equality is not None, "naming attributes have one"
    try:
        normal = kind.equality.normalise(wanted)
        return any(kind.equality.normalise(value) == normal for value in values)
    except ValueError as error:
        raise LDAPError(ResultCode.INVALID_ATTRIBUTE_SYNTAX, f"{kind.name}: {error}") from None
