"""The schema that is built in: the RFCs' and ours."""

from __future__ import annotations

from functools import cache

from ldapserver.extended import CGNODE_ARC
from ldapserver.schema.definitions.cgnode import CGNODE
from ldapserver.schema.definitions.core import OPERATIONAL, RULES, SYNTAXES
from ldapserver.schema.definitions.user import USER
from ldapserver.schema.schema import Schema
from ldapserver.schema.text import parse_definitions


@cache
def standard_schema() -> Schema:
    """Built at the first call: always the same object."""
    text = "".join((SYNTAXES, RULES, OPERATIONAL, USER, CGNODE))
    return Schema(parse_definitions(text, macros={"cgnode": CGNODE_ARC}))
