"""Writing schema definitions: the text forms of RFC 4512 section 4.1, which ``text`` reads."""

from __future__ import annotations

from ldapserver.schema.model import (
    AttributeTypeDefinition,
    ContentRuleDefinition,
    Definition,
    Extensions,
    MatchingRuleDefinition,
    MatchingRuleUseDefinition,
    NameFormDefinition,
    ObjectClassDefinition,
    StructureRuleDefinition,
    SyntaxDefinition,
    Usage,
)


def format_definition(definition: Definition) -> str:
    """The definition in brackets, its parts in the order of RFC 4512."""
    parts = ["(", definition.oid]
    if not isinstance(definition, SyntaxDefinition):
        _add_quoted(parts, "NAME", definition.names)
    if definition.desc:
        _add_quoted(parts, "DESC", (definition.desc,))
    if not isinstance(definition, SyntaxDefinition) and definition.obsolete:
        parts.append("OBSOLETE")
    match definition:
        case AttributeTypeDefinition():
            _add_attribute_type(parts, definition)
        case ObjectClassDefinition():
            _add_identifiers(parts, "SUP", definition.sup)
            parts.append(definition.kind.value)
            _add_identifiers(parts, "MUST", definition.must)
            _add_identifiers(parts, "MAY", definition.may)
        case MatchingRuleDefinition():
            _add(parts, "SYNTAX", definition.syntax)
        case MatchingRuleUseDefinition():
            _add_identifiers(parts, "APPLIES", definition.applies)
        case SyntaxDefinition():
            pass
        case ContentRuleDefinition():
            _add_identifiers(parts, "AUX", definition.auxiliaries)
            _add_identifiers(parts, "MUST", definition.must)
            _add_identifiers(parts, "MAY", definition.may)
            _add_identifiers(parts, "NOT", definition.excluded)
        case StructureRuleDefinition():
            _add(parts, "FORM", definition.form)
            if definition.sup:
                single = len(definition.sup) == 1
                parts += ["SUP", *definition.sup] if single else ["SUP", "(", *definition.sup, ")"]
        case NameFormDefinition():
            _add(parts, "OC", definition.object_class)
            _add_identifiers(parts, "MUST", definition.must)
            _add_identifiers(parts, "MAY", definition.may)
    _add_extensions(parts, definition.extensions)
    parts.append(")")
    return " ".join(parts)


def _add_attribute_type(parts: list[str], definition: AttributeTypeDefinition) -> None:
    _add(parts, "SUP", definition.sup)
    _add(parts, "EQUALITY", definition.equality)
    _add(parts, "ORDERING", definition.ordering)
    _add(parts, "SUBSTR", definition.substrings)
    if definition.syntax is not None:
        length = "" if definition.length is None else f"{{{definition.length}}}"
        _add(parts, "SYNTAX", definition.syntax + length)
    if definition.single_value:
        parts.append("SINGLE-VALUE")
    if definition.collective:
        parts.append("COLLECTIVE")
    if definition.no_user_modification:
        parts.append("NO-USER-MODIFICATION")
    if definition.usage is not Usage.USER:
        _add(parts, "USAGE", definition.usage.value)


def _add(parts: list[str], keyword: str, value: str | None) -> None:
    if value:
        parts += [keyword, value]


def _add_identifiers(parts: list[str], keyword: str, values: tuple[str, ...]) -> None:
    if len(values) == 1:
        parts += [keyword, values[0]]
    elif values:
        parts += [keyword, "(", " $ ".join(values), ")"]


def _add_quoted(parts: list[str], keyword: str, values: tuple[str, ...]) -> None:
    quoted = ["'" + value.replace("\\", "\\5C").replace("'", "\\27") + "'" for value in values]
    if len(quoted) == 1:
        parts += [keyword, quoted[0]]
    elif quoted:
        parts += [keyword, "(", *quoted, ")"]


def _add_extensions(parts: list[str], extensions: Extensions) -> None:
    for keyword, values in extensions:
        _add_quoted(parts, keyword, values)
