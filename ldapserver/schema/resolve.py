"""From definitions to resolved values: references followed, inheritance applied, the
rules of RFC 4512 for definitions checked.

Names are found in any order of definition.  What can't be resolved is a SchemaError with
the place of the definition.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, TypeAlias, TypeVar

from ldapserver.schema.model import (
    AttributeType,
    AttributeTypeDefinition,
    ClassKind,
    ContentRule,
    ContentRuleDefinition,
    Definition,
    MatchingRule,
    MatchingRuleDefinition,
    MatchingRuleUseDefinition,
    NameFormDefinition,
    ObjectClass,
    ObjectClassDefinition,
    RuleKind,
    SchemaError,
    StructureRuleDefinition,
    Syntax,
    SyntaxDefinition,
)
from ldapserver.schema.rules import Behaviour
from ldapserver.schema.syntaxes import TESTS, acceptance

# OpenLDAP's way to declare a syntax of one's own as a name for one that is there.
_SUBSTITUTE: Final = "X-SUBST"

_T = TypeVar("_T")
_Inheriting: TypeAlias = AttributeTypeDefinition | ObjectClassDefinition
_Named: TypeAlias = AttributeTypeDefinition | ObjectClassDefinition | MatchingRuleDefinition


class Resolver:
    """The tables of one schema, while and after they are filled: by OID and by name in
    lower case."""

    def __init__(self, definitions: Iterable[Definition], behaviours: Mapping[str, Behaviour]) -> None:
        self.syntaxes: dict[str, Syntax] = {}
        self.rules: dict[str, MatchingRule] = {}
        self.types: dict[str, AttributeType] = {}
        self.classes: dict[str, ObjectClass] = {}
        self.content_rules: dict[ObjectClass, ContentRule] = {}
        self._behaviours = behaviours
        self._types: dict[str, AttributeTypeDefinition] = {}
        self._classes: dict[str, ObjectClassDefinition] = {}
        self._open: set[str] = set()
        content_rules: list[ContentRuleDefinition] = []
        for definition in definitions:
            match definition:
                case AttributeTypeDefinition():
                    _enter(self._types, definition, definition)
                case ObjectClassDefinition():
                    _enter(self._classes, definition, definition)
                case SyntaxDefinition():
                    self.syntaxes[definition.oid] = self._syntax(definition)
                case MatchingRuleDefinition():
                    _enter(self.rules, definition, self._rule(definition))
                case ContentRuleDefinition():
                    content_rules.append(definition)
                case MatchingRuleUseDefinition():
                    pass  # computed: schema.types_using
                case StructureRuleDefinition() | NameFormDefinition():
                    raise SchemaError("structure rules and name forms are not supported", definition.origin)
        for type_definition in self._types.values():
            self._type(type_definition)
        for class_definition in self._classes.values():
            self._class(class_definition)
        for content_rule in content_rules:
            found = self._content_rule(content_rule)
            self.content_rules[found.structural] = found

    # --- syntaxes and rules: what they do must be known here ---

    def _syntax(self, definition: SyntaxDefinition) -> Syntax:
        test = TESTS.get(definition.oid)
        if test is None:
            substitute = dict(definition.extensions).get(_SUBSTITUTE, ("",))[0]
            test = TESTS.get(substitute)
        if test is None:
            raise SchemaError(f"syntax {definition.oid} is not supported", definition.origin)
        return Syntax(definition.oid, definition.desc, test, definition)

    def _rule(self, definition: MatchingRuleDefinition) -> MatchingRule:
        behaviour = self._behaviours.get(definition.names[0]) if definition.names else None
        if behaviour is None:
            raise SchemaError(f"matching rule {_name(definition)} is not supported", definition.origin)
        return MatchingRule(
            oid=definition.oid,
            name=definition.names[0],
            names=definition.names,
            kind=behaviour.kind,
            syntax=definition.syntax,
            applies=behaviour.applies,
            normalise=behaviour.normalise,
            normalise_part=behaviour.normalise_part,
            definition=definition,
        )

    # --- attribute types ---

    def _type(self, definition: AttributeTypeDefinition) -> AttributeType:
        found = self.types.get(definition.oid)
        if found is not None:
            return found
        with _Descent(self._open, definition):
            sup = None
            if definition.sup is not None:
                sup = self._type(_referred(self._types, definition.sup, "attribute type", definition))
                _check_subtype(definition, sup)
            equality = self._rule_of(definition, RuleKind.EQUALITY, sup)
            syntax = self._syntax_of(definition, sup)
            made = AttributeType(
                name=_name(definition),
                oid=definition.oid,
                names=definition.names,
                desc=definition.desc,
                sup=sup,
                equality=equality,
                ordering=self._rule_of(definition, RuleKind.ORDERING, sup),
                substrings=self._rule_of(definition, RuleKind.SUBSTRINGS, sup),
                syntax=syntax,
                accepts=acceptance(syntax.validate, equality.normalise if equality else None),
                single_value=definition.single_value,
                collective=definition.collective,
                no_user_modification=definition.no_user_modification,
                usage=definition.usage,
                obsolete=definition.obsolete,
                definition=definition,
            )
        for name in (definition.oid, *definition.names):
            self.types[name.lower()] = made
        return made

    def _rule_of(
        self, definition: AttributeTypeDefinition, kind: RuleKind, sup: AttributeType | None
    ) -> MatchingRule | None:
        match kind:
            case RuleKind.EQUALITY:
                name, inherited = definition.equality, sup.equality if sup else None
            case RuleKind.ORDERING:
                name, inherited = definition.ordering, sup.ordering if sup else None
            case RuleKind.SUBSTRINGS:
                name, inherited = definition.substrings, sup.substrings if sup else None
        if name is None:
            return inherited
        rule = _referred(self.rules, name, "matching rule", definition)
        if rule.kind is not kind:
            raise SchemaError(f"{name} is no {kind.value} rule", definition.origin)
        return rule

    def _syntax_of(self, definition: AttributeTypeDefinition, sup: AttributeType | None) -> Syntax:
        if definition.syntax is not None:
            return _referred(self.syntaxes, definition.syntax, "syntax", definition)
        if sup is None:
            raise SchemaError(f"{_name(definition)} has neither SYNTAX nor SUP", definition.origin)
        return sup.syntax

    # --- object classes ---

    def _class(self, definition: ObjectClassDefinition) -> ObjectClass:
        found = self.classes.get(definition.oid)
        if found is not None:
            return found
        with _Descent(self._open, definition):
            named = [_referred(self._classes, name, "object class", definition) for name in definition.sup]
            sup = tuple(self._class(parent) for parent in named)
            for parent in sup:
                _check_subclass(definition, parent)
            above = frozenset[ObjectClass]().union(*(parent.superclasses | {parent} for parent in sup))
            must = self._attributes(definition.must, definition).union(*(parent.must for parent in sup))
            may = self._attributes(definition.may, definition).union(*(parent.may for parent in sup))
            made = ObjectClass(
                name=_name(definition),
                oid=definition.oid,
                names=definition.names,
                desc=definition.desc,
                kind=definition.kind,
                sup=sup,
                superclasses=above,
                must=must,
                may=may - must,
                obsolete=definition.obsolete,
                definition=definition,
            )
        for name in (definition.oid, *definition.names):
            self.classes[name.lower()] = made
        return made

    def _attributes(self, names: Iterable[str], definition: Definition) -> frozenset[AttributeType]:
        return frozenset([_referred(self.types, name, "attribute type", definition) for name in names])

    def _content_rule(self, definition: ContentRuleDefinition) -> ContentRule:
        structural = _referred(self.classes, definition.oid, "object class", definition)
        if structural.kind is not ClassKind.STRUCTURAL:
            raise SchemaError(f"{structural.name} is not structural", definition.origin)
        auxiliaries = [
            _referred(self.classes, name, "object class", definition) for name in definition.auxiliaries
        ]
        for found in auxiliaries:
            if found.kind is not ClassKind.AUXILIARY:
                raise SchemaError(f"{found.name} is not auxiliary", definition.origin)
        return ContentRule(
            structural=structural,
            auxiliaries=frozenset(auxiliaries),
            must=self._attributes(definition.must, definition),
            may=self._attributes(definition.may, definition),
            excluded=self._attributes(definition.excluded, definition),
            definition=definition,
        )


class _Descent:
    """Guards against definitions that are their own ancestors."""

    def __init__(self, open_oids: set[str], definition: _Inheriting) -> None:
        self._open = open_oids
        self._definition = definition

    def __enter__(self) -> None:
        if self._definition.oid in self._open:
            raise SchemaError(f"{_name(self._definition)} is its own superior", self._definition.origin)
        self._open.add(self._definition.oid)

    def __exit__(self, *_: object) -> None:
        self._open.discard(self._definition.oid)


def _name(definition: _Named) -> str:
    return definition.names[0] if definition.names else definition.oid


def _enter(table: dict[str, _T], definition: _Named, value: _T) -> None:
    """Enter a value by its OID and names; two definitions can't share one of them."""
    for name in (definition.oid, *definition.names):
        if table.setdefault(name.lower(), value) is not value:
            raise SchemaError(f"{name} is defined already, as something else", definition.origin)


def _referred(table: Mapping[str, _T], name: str, what: str, definition: Definition) -> _T:
    found = table.get(name.lower())
    if found is None:
        raise SchemaError(f"{what} {name!r} is not defined", definition.origin)
    return found


def _check_subtype(definition: AttributeTypeDefinition, sup: AttributeType) -> None:
    """RFC 4512 section 2.5.1."""
    if definition.usage is not sup.usage:
        raise SchemaError(f"{_name(definition)} and its SUP {sup.name} differ in USAGE", definition.origin)
    if sup.collective and not definition.collective:
        raise SchemaError(f"{_name(definition)} has to be COLLECTIVE as its SUP is", definition.origin)


def _check_subclass(definition: ObjectClassDefinition, sup: ObjectClass) -> None:
    """RFC 4512 section 2.4: abstract classes derive from abstract ones; structural and
    auxiliary classes not from each other."""
    if sup.kind is not ClassKind.ABSTRACT and sup.kind is not definition.kind:
        kinds = f"{definition.kind.value} class {_name(definition)}, {sup.kind.value} class {sup.name}"
        raise SchemaError(f"{kinds}: one can't be the SUP of the other", definition.origin)
