"""The directory's schema: what attributes and classes there are, how values compare.

``Schema`` answers questions; ``standard_schema()`` is the built-in one.  ``check`` tells
whether entries keep to it, ``subschema`` shows it to clients.
"""

from __future__ import annotations

from ldapserver.schema.model import (
    AttributeDescription,
    AttributeType,
    ClassKind,
    MatchingRule,
    ObjectClass,
    RuleKind,
    SchemaError,
    Syntax,
    Usage,
)
from ldapserver.schema.schema import Schema
from ldapserver.schema.standard import standard_schema

__all__ = [
    "AttributeDescription",
    "AttributeType",
    "ClassKind",
    "MatchingRule",
    "ObjectClass",
    "RuleKind",
    "Schema",
    "SchemaError",
    "Syntax",
    "Usage",
    "standard_schema",
]
