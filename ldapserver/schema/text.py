"""Reading schema definitions: the text forms of RFC 4512 section 4.1.

Reads single definitions, and files of them as OpenLDAP has them: a keyword before each
(``attributetype ( ... )``), ``objectidentifier`` macros, ``#`` comments.  Keywords may
stand in any order, names of rules and classes in quotes.  What definitions mean, and
whether what they name is there, is not looked at here (``resolve``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from ldapserver.schema.model import (
    AttributeTypeDefinition,
    ClassKind,
    ContentRuleDefinition,
    Definition,
    MatchingRuleDefinition,
    MatchingRuleUseDefinition,
    NameFormDefinition,
    ObjectClassDefinition,
    SchemaError,
    StructureRuleDefinition,
    SyntaxDefinition,
    Usage,
)

# Possessive, so that a missing bracket is found in one pass.  RFC 4512 nests once.
_BODY: Final = r"\((?>[^()']++|'[^']*+'|\((?>[^()']++|'[^']*+')*+\))*+\)"
_STATEMENT: Final = re.compile(rf"([A-Za-z]++)\s*+({_BODY})")
_DEFINITION: Final = re.compile(rf"\s*+{_BODY}\s*+")
_MACRO: Final = re.compile(r"(?i:objectidentifier)[ \t]++([A-Za-z][\w-]*+)[ \t]++([\w.:-]++)")
_COMMENT: Final = re.compile(r"^[ \t]*+#.*+$", re.MULTILINE)
_SPACE: Final = re.compile(r"\s*+")
_TOKEN: Final = re.compile(r"'[^']*'|[()$]|[^\s()$']+")
_NUMERIC_OID: Final = re.compile(r"(?:0|[1-9][0-9]*)(?:\.(?:0|[1-9][0-9]*))+")
_RULE_NUMBER: Final = re.compile(r"0|[1-9][0-9]*")
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_LENGTH: Final = re.compile(r"(.+)\{([0-9]{1,9})\}")

Macros: TypeAlias = Mapping[str, str]
_Fields: TypeAlias = dict[str, Any]


class _Tokens:
    """The tokens of one definition, without its outer brackets."""

    def __init__(self, body: str, macros: Macros) -> None:
        self._tokens = _TOKEN.findall(body)
        self._end = len(self._tokens) - 1
        self._at = 1
        self._macros = macros

    def next(self) -> str:
        """The next token; "" after the last."""
        at = self._at
        if at >= self._end:
            return ""
        self._at = at + 1
        token: str = self._tokens[at]
        return token

    def string(self) -> str:
        """A quoted string (qdstring)."""
        token = self.next()
        if token[:1] != "'":
            raise SchemaError(f"a string in quotes was expected, not {token or 'the end'!r}")
        text = token[1:-1]
        return text.replace("\\27", "'").replace("\\5C", "\\").replace("\\5c", "\\") if "\\" in text else text

    def strings(self) -> tuple[str, ...]:
        """One quoted string, or several in brackets (qdescrs, qdstrings)."""
        if self._tokens[self._at] != "(":
            return (self.string(),)
        self._at += 1
        found = []
        while self._tokens[self._at] != ")":
            found.append(self.string())
        self._at += 1
        return tuple(found)

    def identifier(self) -> str:
        """A name or a numeric OID (oid), macros replaced."""
        token = self.next()
        if token in ("", "(", ")", "$"):
            raise SchemaError(f"a name or an OID was expected, not {token or 'the end'!r}")
        if token[0] == "'":
            token = token[1:-1]
        head, colon, rest = token.partition(":")
        base = self._macros.get(head)
        if base is None:
            if colon:
                raise SchemaError(f"no objectidentifier {head!r} is defined")
            return token
        return f"{base}.{rest}" if colon else base

    def identifiers(self) -> tuple[str, ...]:
        """One name or OID, or several in brackets with ``$`` between (oids)."""
        if self._tokens[self._at] != "(":
            return (self.identifier(),)
        self._at += 1
        found = [self.identifier()]
        while (token := self.next()) == "$":
            found.append(self.identifier())
        if token != ")":
            raise SchemaError(f"'$' or ')' was expected, not {token or 'the end'!r}")
        return tuple(found)

    def numbers(self) -> tuple[str, ...]:
        """One number, or several in brackets with spaces between (ruleids)."""
        if self._tokens[self._at] != "(":
            return (self.identifier(),)
        self._at += 1
        found = []
        while (token := self.next()) not in (")", ""):
            found.append(token)
        return tuple(found)


# --- readers of one field: they put what follows a keyword into the fields -----------

_Reader: TypeAlias = Callable[[_Tokens, _Fields], None]


def _names(tokens: _Tokens, fields: _Fields) -> None:
    names = tokens.strings()
    for name in names:
        if not _NAME.fullmatch(name):
            raise SchemaError(f"{name!r} can't be a name")
    fields["names"] = names


def _desc(tokens: _Tokens, fields: _Fields) -> None:
    fields["desc"] = tokens.string()


def _identifier(name: str) -> _Reader:
    def read(tokens: _Tokens, fields: _Fields) -> None:
        fields[name] = tokens.identifier()

    return read


def _identifiers(name: str) -> _Reader:
    def read(tokens: _Tokens, fields: _Fields) -> None:
        fields[name] = tokens.identifiers()

    return read


def _numbers(tokens: _Tokens, fields: _Fields) -> None:
    fields["sup"] = tokens.numbers()


def _flag(name: str, value: object = True) -> _Reader:
    def read(_: _Tokens, fields: _Fields) -> None:
        fields[name] = value

    return read


def _bounded_syntax(tokens: _Tokens, fields: _Fields) -> None:
    text = tokens.identifier()
    if text[-1] == "}" and (bounded := _LENGTH.fullmatch(text)):
        text = bounded[1]
        fields["length"] = int(bounded[2])
    fields["syntax"] = text


def _usage(tokens: _Tokens, fields: _Fields) -> None:
    text = tokens.next()
    for usage in Usage:
        if usage.value.lower() == text.lower():
            fields["usage"] = usage
            return
    raise SchemaError(f"unknown USAGE {text!r}")


_COMMON: Final[dict[str, _Reader]] = {"NAME": _names, "DESC": _desc, "OBSOLETE": _flag("obsolete")}

_ATTRIBUTE_TYPE: Final[dict[str, _Reader]] = {
    **_COMMON,
    "SUP": _identifier("sup"),
    "EQUALITY": _identifier("equality"),
    "ORDERING": _identifier("ordering"),
    "SUBSTR": _identifier("substrings"),
    "SYNTAX": _bounded_syntax,
    "SINGLE-VALUE": _flag("single_value"),
    "COLLECTIVE": _flag("collective"),
    "NO-USER-MODIFICATION": _flag("no_user_modification"),
    "USAGE": _usage,
}
_OBJECT_CLASS: Final[dict[str, _Reader]] = {
    **_COMMON,
    "SUP": _identifiers("sup"),
    "ABSTRACT": _flag("kind", ClassKind.ABSTRACT),
    "STRUCTURAL": _flag("kind", ClassKind.STRUCTURAL),
    "AUXILIARY": _flag("kind", ClassKind.AUXILIARY),
    "MUST": _identifiers("must"),
    "MAY": _identifiers("may"),
}
_CONTENT_RULE: Final[dict[str, _Reader]] = {
    **_COMMON,
    "AUX": _identifiers("auxiliaries"),
    "MUST": _identifiers("must"),
    "MAY": _identifiers("may"),
    "NOT": _identifiers("excluded"),
}
_NAME_FORM: Final[dict[str, _Reader]] = {
    **_COMMON,
    "OC": _identifier("object_class"),
    "MUST": _identifiers("must"),
    "MAY": _identifiers("may"),
}

_Form: TypeAlias = tuple[Callable[..., Definition], Mapping[str, _Reader]]

_ATTRIBUTE_TYPE_FORM: Final[_Form] = (AttributeTypeDefinition, _ATTRIBUTE_TYPE)
_OBJECT_CLASS_FORM: Final[_Form] = (ObjectClassDefinition, _OBJECT_CLASS)
_RULE_FORM: Final[_Form] = (MatchingRuleDefinition, {**_COMMON, "SYNTAX": _identifier("syntax")})
_RULE_USE_FORM: Final[_Form] = (MatchingRuleUseDefinition, {**_COMMON, "APPLIES": _identifiers("applies")})
_SYNTAX_FORM: Final[_Form] = (SyntaxDefinition, {"DESC": _desc})
_CONTENT_RULE_FORM: Final[_Form] = (ContentRuleDefinition, _CONTENT_RULE)
_STRUCTURE_RULE_FORM: Final[_Form] = (
    StructureRuleDefinition,
    {**_COMMON, "FORM": _identifier("form"), "SUP": _numbers},
)
_NAME_FORM_FORM: Final[_Form] = (NameFormDefinition, _NAME_FORM)

# The keywords of files, in lower case: OpenLDAP's, and the attributes' names.
_FORMS: Final[dict[str, _Form]] = {
    "attributetype": _ATTRIBUTE_TYPE_FORM,
    "attributetypes": _ATTRIBUTE_TYPE_FORM,
    "objectclass": _OBJECT_CLASS_FORM,
    "objectclasses": _OBJECT_CLASS_FORM,
    "matchingrule": _RULE_FORM,
    "matchingrules": _RULE_FORM,
    "matchingruleuse": _RULE_USE_FORM,
    "ldapsyntax": _SYNTAX_FORM,
    "ldapsyntaxes": _SYNTAX_FORM,
    "ditcontentrule": _CONTENT_RULE_FORM,
    "ditcontentrules": _CONTENT_RULE_FORM,
    "ditstructurerule": _STRUCTURE_RULE_FORM,
    "ditstructurerules": _STRUCTURE_RULE_FORM,
    "nameform": _NAME_FORM_FORM,
    "nameforms": _NAME_FORM_FORM,
}


def _read(body: str, form: _Form, macros: Macros, origin: str) -> Definition:
    make, readers = form
    try:
        tokens = _Tokens(body, macros)
        fields: _Fields = {"oid": tokens.identifier(), "origin": origin}
        extensions: list[tuple[str, tuple[str, ...]]] = []
        seen = set()
        while keyword := tokens.next():
            reader = readers.get(keyword) or readers.get(keyword.upper())
            if keyword in seen:
                raise SchemaError(f"{keyword} is there twice")
            seen.add(keyword)
            if reader is not None:
                reader(tokens, fields)
            elif keyword[:2] in ("X-", "x-"):
                extensions.append((keyword, tokens.strings()))
            else:
                raise SchemaError(f"{keyword!r} is unexpected")
    except SchemaError as error:
        raise SchemaError(error.reason, origin) from None
    if extensions:
        fields["extensions"] = tuple(extensions)
    number = _RULE_NUMBER if make is StructureRuleDefinition else _NUMERIC_OID
    if not number.fullmatch(fields["oid"]):
        raise SchemaError(f"{fields['oid']!r} is not a numeric OID", origin)
    return make(**fields)


def parse_definition(keyword: str, text: str) -> Definition:
    """One definition, as an attribute's value has it; ``keyword`` tells which form
    (``attributeTypes``).  Raises SchemaError."""
    if not _DEFINITION.fullmatch(text):
        raise SchemaError("a definition in brackets was expected")
    return _read(text, _FORMS[keyword.lower()], {}, "")


def parse_definitions(text: str, source: str = "", macros: Macros | None = None) -> list[Definition]:
    """All definitions of a file; ``source`` is its name, for errors.  Raises SchemaError."""
    known = dict(macros or {})
    if "#" in text:
        text = _COMMENT.sub("", text)
    found: list[Definition] = []
    line, counted = 1, 0

    def origin(position: int) -> str:
        nonlocal line, counted
        line += text.count("\n", counted, position)
        counted = position
        return f"{source}:{line}"

    position = _end_of_space(text, 0)
    while position < len(text):
        where = origin(position) if source else ""
        statement = _STATEMENT.match(text, position)
        if statement is not None and (form := _FORMS.get(statement[1].lower())) is not None:
            found.append(_read(statement[2], form, known, where))
        elif (statement := _MACRO.match(text, position)) is not None:
            known[statement[1]] = _macro_value(statement[2], known, where)
        else:
            start = text[position : position + 40].split("\n")[0]
            reason = "a definition was expected, or its brackets or quotes don't match"
            raise SchemaError(f"{reason}: {start!r}", where)
        position = _end_of_space(text, statement.end())
    return found


def _end_of_space(text: str, position: int) -> int:
    space = _SPACE.match(text, position)
    return space.end() if space else position


def _macro_value(text: str, macros: Macros, origin: str) -> str:
    head, _, rest = text.partition(":")
    base = macros.get(head, head)
    value = f"{base}.{rest}" if rest else base
    if not _NUMERIC_OID.fullmatch(value):
        raise SchemaError(f"objectidentifier {text!r} is not an OID", origin)
    return value
