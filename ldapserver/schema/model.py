"""The schema's values (RFC 4512 sections 2.4, 2.5 and 4.1).

What lives here: definitions as they were written (``...Definition``: names and OIDs as
text), and what they come to once references are resolved and inheritance is applied
(``AttributeType``, ``ObjectClass``, ``MatchingRule``, ``Syntax``).  What must not:
parsing (``text``), look-ups (``schema``), behaviour of rules and syntaxes.

Resolved values are compared by identity: a schema makes each of them once.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Literal, TypeAlias

from attrs import field, frozen


class SchemaError(ValueError):
    """A definition that can't be used; ``origin`` is ``file:line`` where that is known."""

    def __init__(self, reason: str, origin: str = "") -> None:
        super().__init__(f"{origin}: {reason}" if origin else reason)
        self.reason = reason
        self.origin = origin


class Usage(Enum):
    """RFC 4512 section 4.1.2."""

    USER = "userApplications"
    DIRECTORY = "directoryOperation"
    DISTRIBUTED = "distributedOperation"
    DSA = "dSAOperation"


class ClassKind(Enum):
    """RFC 4512 section 2.4."""

    ABSTRACT = "ABSTRACT"
    STRUCTURAL = "STRUCTURAL"
    AUXILIARY = "AUXILIARY"


class RuleKind(Enum):
    """What a matching rule is for (RFC 4511 section 4.5.1.7)."""

    EQUALITY = "equality"
    ORDERING = "ordering"
    SUBSTRINGS = "substrings"


Part: TypeAlias = Literal["initial", "any", "final"]
Normaliser: TypeAlias = Callable[[bytes], bytes]
PartNormaliser: TypeAlias = Callable[[bytes, Part], bytes]
Extensions: TypeAlias = tuple[tuple[str, tuple[str, ...]], ...]


# --- definitions as written ---------------------------------------------------------


@frozen(kw_only=True)
class AttributeTypeDefinition:
    """RFC 4512 section 4.1.2; ``length`` is the syntax's ``{n}``."""

    oid: str
    names: tuple[str, ...] = ()
    desc: str = ""
    obsolete: bool = False
    sup: str | None = None
    equality: str | None = None
    ordering: str | None = None
    substrings: str | None = None
    syntax: str | None = None
    length: int | None = None
    single_value: bool = False
    collective: bool = False
    no_user_modification: bool = False
    usage: Usage = Usage.USER
    extensions: Extensions = ()
    origin: str = field(default="", eq=False)


@frozen(kw_only=True)
class ObjectClassDefinition:
    """RFC 4512 section 4.1.1."""

    oid: str
    names: tuple[str, ...] = ()
    desc: str = ""
    obsolete: bool = False
    sup: tuple[str, ...] = ()
    kind: ClassKind = ClassKind.STRUCTURAL
    must: tuple[str, ...] = ()
    may: tuple[str, ...] = ()
    extensions: Extensions = ()
    origin: str = field(default="", eq=False)


@frozen(kw_only=True)
class MatchingRuleDefinition:
    """RFC 4512 section 4.1.3."""

    oid: str
    names: tuple[str, ...] = ()
    desc: str = ""
    obsolete: bool = False
    syntax: str = ""
    extensions: Extensions = ()
    origin: str = field(default="", eq=False)


@frozen(kw_only=True)
class MatchingRuleUseDefinition:
    """RFC 4512 section 4.1.4."""

    oid: str
    names: tuple[str, ...] = ()
    desc: str = ""
    obsolete: bool = False
    applies: tuple[str, ...] = ()
    extensions: Extensions = ()
    origin: str = field(default="", eq=False)


@frozen(kw_only=True)
class SyntaxDefinition:
    """RFC 4512 section 4.1.5."""

    oid: str
    desc: str = ""
    extensions: Extensions = ()
    origin: str = field(default="", eq=False)


@frozen(kw_only=True)
class ContentRuleDefinition:
    """RFC 4512 section 4.1.6; ``oid`` is the structural class's."""

    oid: str
    names: tuple[str, ...] = ()
    desc: str = ""
    obsolete: bool = False
    auxiliaries: tuple[str, ...] = ()
    must: tuple[str, ...] = ()
    may: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    extensions: Extensions = ()
    origin: str = field(default="", eq=False)


@frozen(kw_only=True)
class StructureRuleDefinition:
    """RFC 4512 section 4.1.7.1; ``oid`` is the rule's number, ``sup`` are numbers too."""

    oid: str
    names: tuple[str, ...] = ()
    desc: str = ""
    obsolete: bool = False
    form: str = ""
    sup: tuple[str, ...] = ()
    extensions: Extensions = ()
    origin: str = field(default="", eq=False)


@frozen(kw_only=True)
class NameFormDefinition:
    """RFC 4512 section 4.1.7.2."""

    oid: str
    names: tuple[str, ...] = ()
    desc: str = ""
    obsolete: bool = False
    object_class: str = ""
    must: tuple[str, ...] = ()
    may: tuple[str, ...] = ()
    extensions: Extensions = ()
    origin: str = field(default="", eq=False)


Definition: TypeAlias = (
    AttributeTypeDefinition
    | ObjectClassDefinition
    | MatchingRuleDefinition
    | MatchingRuleUseDefinition
    | SyntaxDefinition
    | ContentRuleDefinition
    | StructureRuleDefinition
    | NameFormDefinition
)


# --- resolved -----------------------------------------------------------------------


@frozen(eq=False)
class Syntax:
    """``validate`` tells whether octets are a value of the syntax (RFC 4517 section 3)."""

    oid: str
    desc: str
    validate: Callable[[bytes], bool] = field(repr=False)
    definition: SyntaxDefinition = field(repr=False)


@frozen(eq=False)
class MatchingRule:
    """A rule as a normal form: values match when their normal forms are the same octets.

    The octets of an ordering rule's normal forms sort as the rule orders.  A substrings
    rule finds normalised parts in a normalised value, in order and without overlap.
    Both functions raise ValueError for what the rule can't compare (an assertion is then
    Undefined).  ``syntax`` is the assertion's, ``applies`` the OIDs of the syntaxes of
    the attributes that the rule is good for.
    """

    oid: str
    name: str
    names: tuple[str, ...]
    kind: RuleKind
    syntax: str
    applies: frozenset[str] = field(repr=False)
    normalise: Normaliser = field(repr=False)
    normalise_part: PartNormaliser = field(repr=False)
    definition: MatchingRuleDefinition = field(repr=False)


@frozen(eq=False)
class AttributeType:
    """An attribute type with what it inherits; ``name`` is its first name, or its OID.

    ``accepts`` tells whether octets are a value of the syntax that the equality rule, if
    there is one, can compare: what an entry may hold.
    """

    name: str
    oid: str
    names: tuple[str, ...] = field(repr=False)
    desc: str = field(repr=False)
    sup: AttributeType | None = field(repr=False)
    equality: MatchingRule | None = field(repr=False)
    ordering: MatchingRule | None = field(repr=False)
    substrings: MatchingRule | None = field(repr=False)
    syntax: Syntax = field(repr=False)
    accepts: Callable[[bytes], bool] = field(repr=False)
    single_value: bool = field(repr=False)
    collective: bool = field(repr=False)
    no_user_modification: bool = field(repr=False)
    usage: Usage = field(repr=False)
    obsolete: bool = field(repr=False)
    definition: AttributeTypeDefinition = field(repr=False)

    @property
    def operational(self) -> bool:
        return self.usage is not Usage.USER


@frozen(eq=False)
class ObjectClass:
    """A class with what it inherits: ``must`` and ``may`` are its own and those of all
    superclasses; an attribute that is in ``must`` is not in ``may``."""

    name: str
    oid: str
    names: tuple[str, ...] = field(repr=False)
    desc: str = field(repr=False)
    kind: ClassKind
    sup: tuple[ObjectClass, ...] = field(repr=False)
    superclasses: frozenset[ObjectClass] = field(repr=False)
    must: frozenset[AttributeType] = field(repr=False)
    may: frozenset[AttributeType] = field(repr=False)
    obsolete: bool = field(repr=False)
    definition: ObjectClassDefinition = field(repr=False)


@frozen(eq=False)
class ContentRule:
    """What entries of one structural class may be and hold besides (RFC 4512 4.1.6)."""

    structural: ObjectClass
    auxiliaries: frozenset[ObjectClass]
    must: frozenset[AttributeType]
    may: frozenset[AttributeType]
    excluded: frozenset[AttributeType]
    definition: ContentRuleDefinition


@frozen(eq=False)
class AttributeDescription:
    """A type and its options, which are lower-case and sorted (RFC 4512 section 2.5).

    A schema has one object for each description that is in use, so identity is
    equality.  ``text`` is the canonical form: ``cn;lang-de``.
    """

    type: AttributeType
    options: tuple[str, ...]
    text: str
