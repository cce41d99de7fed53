"""The schema as an entry that clients read (RFC 4512 section 4.2)."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from ldapserver.messages import Attribute
from ldapserver.schema.format import format_definition
from ldapserver.schema.model import Definition, MatchingRule, MatchingRuleUseDefinition
from ldapserver.schema.schema import Schema


@lru_cache(maxsize=4)
def subschema_entry(schema: Schema) -> tuple[Attribute, ...]:
    """The attributes of ``cn=Subschema``; operational ones of every entry are not here."""
    uses = [found for rule in schema.matching_rules if (found := _use(schema, rule)) is not None]
    rows: tuple[tuple[str, Iterable[Definition]], ...] = (
        ("ldapSyntaxes", (syntax.definition for syntax in schema.syntaxes)),
        ("matchingRules", (rule.definition for rule in schema.matching_rules)),
        ("matchingRuleUse", uses),
        ("attributeTypes", (kind.definition for kind in schema.attribute_types)),
        ("objectClasses", (found.definition for found in schema.object_classes)),
        ("dITContentRules", (rule.definition for rule in schema.content_rules)),
    )
    entry = [
        Attribute("objectClass", (b"top", b"subentry", b"subschema", b"extensibleObject")),
        Attribute("cn", (b"Subschema",)),
        Attribute("subtreeSpecification", (b"{ }",)),
    ]
    for name, definitions in rows:
        values = tuple(format_definition(definition).encode() for definition in definitions)
        if values:
            entry.append(Attribute(name, values))
    return tuple(entry)


def _use(schema: Schema, rule: MatchingRule) -> MatchingRuleUseDefinition | None:
    applies = tuple(kind.name for kind in schema.types_using(rule))
    if not applies:
        return None
    return MatchingRuleUseDefinition(oid=rule.oid, names=rule.names, applies=applies)
