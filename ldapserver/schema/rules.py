"""What the matching rules do (RFC 4517 section 4.2, RFC 4523, RFC 4530): one literal table.

Each rule is a normal form (see ``model.MatchingRule``).  Most need nothing but the value;
those that compare names and identifiers ask a schema, which is why ``behaviours`` is a
function of one.  Approximate matching uses the equality rule.
"""

from __future__ import annotations

import re
from typing import Final, Protocol

from attrs import frozen

from ldapserver.dn import Namer, normalise_dn, normalise_text
from ldapserver.results import LDAPError
from ldapserver.schema import strings, values
from ldapserver.schema.certificates import certificate_name
from ldapserver.schema.model import Normaliser, Part, PartNormaliser, RuleKind

_LDAP: Final = "1.3.6.1.4.1.1466.115.121.1."
UUID: Final = "1.3.6.1.1.16.1"
CSN: Final = "1.3.6.1.4.1.4203.666.11.2.1"


def _syntaxes(*numbers: int) -> frozenset[str]:
    return frozenset(f"{_LDAP}{number}" for number in numbers)


# RFC 4517 section 4.2.11: Directory String and what ASN.1 counts among its alternatives.
_DIRECTORY_STRINGS: Final = _syntaxes(11, 15, 44, 50)
_IA5_STRINGS: Final = _syntaxes(26)
_LISTS: Final = _syntaxes(41)
_NUMERIC: Final = _syntaxes(36)
_TELEPHONE: Final = _syntaxes(50)
_INTEGERS: Final = _syntaxes(27)
_TIMES: Final = _syntaxes(24)
_OCTETS: Final = _syntaxes(28, 40)
_UUIDS: Final = frozenset((UUID,))
_CSNS: Final = frozenset((CSN,))
_OID_FIRST: Final = _syntaxes(3, 16, 30, 31, 35, 37, 54)


class Names(Namer, Protocol):
    """What rules ask a schema."""

    def oid_of(self, name: str) -> str | None: ...


@frozen
class Behaviour:
    kind: RuleKind
    applies: frozenset[str]
    normalise: Normaliser
    normalise_part: PartNormaliser


def _no_part(value: bytes, part: Part) -> bytes:
    raise ValueError("not a substrings rule")


def _equality(applies: frozenset[str], normalise: Normaliser) -> Behaviour:
    return Behaviour(RuleKind.EQUALITY, applies, normalise, _no_part)


def _ordering(applies: frozenset[str], normalise: Normaliser) -> Behaviour:
    return Behaviour(RuleKind.ORDERING, applies, normalise, _no_part)


def _substrings(applies: frozenset[str], normalise: Normaliser, part: PartNormaliser) -> Behaviour:
    return Behaviour(RuleKind.SUBSTRINGS, applies, normalise, part)


def _octets_part(value: bytes, part: Part) -> bytes:
    return value


# --- lists of strings (postal addresses) ---------------------------------------------


def postal_lines(value: bytes) -> list[bytes]:
    """RFC 4517 section 3.3.28: the lines between dollar signs, escapes undone."""
    return [_ESCAPED.sub(_unescape, line) if 0x5C in line else line for line in value.split(b"$")]


_ESCAPED: Final = re.compile(rb"\\(24|5[Cc])")


def _unescape(found: re.Match[bytes]) -> bytes:
    return b"$" if found[1] == b"24" else b"\\"


def case_ignore_list(value: bytes) -> bytes:
    """The lines' normal forms; no prepared string has a line feed in it."""
    return b"\n".join([strings.case_ignore(line) if line else b"" for line in postal_lines(value)])


# --- first components of definitions ------------------------------------------------

_FIRST_COMPONENT: Final = re.compile(rb"\(\s*+([^\s()$']++)")


def _first(value: bytes) -> bytes:
    """The first component of an attribute value; an assertion is one already."""
    found = _FIRST_COMPONENT.match(value)
    return found[1] if found else value


def _integer_first(value: bytes) -> bytes:
    return values.integer(_first(value))


_FIRST_STRING: Final = re.compile(rb"\(\s*+'([^']*+)'")


def _string_first(value: bytes) -> bytes:
    found = _FIRST_STRING.match(value)
    return strings.case_ignore(found[1] if found else value)


# --- the tables -----------------------------------------------------------------------

_PLAIN: Final[dict[str, Behaviour]] = {
    "bitStringMatch": _equality(_syntaxes(6), values.bit_string),
    "booleanMatch": _equality(_syntaxes(7), values.boolean),
    "caseExactIA5Match": _equality(_IA5_STRINGS, strings.ia5_exact),
    "caseExactIA5SubstringsMatch": _substrings(_IA5_STRINGS, strings.ia5_exact, strings.ia5_exact_part),
    "caseExactMatch": _equality(_DIRECTORY_STRINGS, strings.case_exact),
    "caseExactOrderingMatch": _ordering(_DIRECTORY_STRINGS, strings.case_exact),
    "caseExactSubstringsMatch": _substrings(_DIRECTORY_STRINGS, strings.case_exact, strings.case_exact_part),
    "caseIgnoreIA5Match": _equality(_IA5_STRINGS, strings.ia5_ignore),
    "caseIgnoreIA5SubstringsMatch": _substrings(_IA5_STRINGS, strings.ia5_ignore, strings.ia5_ignore_part),
    "caseIgnoreListMatch": _equality(_LISTS, case_ignore_list),
    "caseIgnoreListSubstringsMatch": _substrings(_LISTS, case_ignore_list, strings.case_ignore_part),
    "caseIgnoreMatch": _equality(_DIRECTORY_STRINGS, strings.case_ignore),
    "caseIgnoreOrderingMatch": _ordering(_DIRECTORY_STRINGS, strings.case_ignore),
    "caseIgnoreSubstringsMatch": _substrings(
        _DIRECTORY_STRINGS, strings.case_ignore, strings.case_ignore_part
    ),
    "CSNMatch": _equality(_CSNS, values.csn),
    "CSNOrderingMatch": _ordering(_CSNS, values.csn),
    "directoryStringFirstComponentMatch": _equality(frozenset(), _string_first),
    "generalizedTimeMatch": _equality(_TIMES, values.generalized_time),
    "generalizedTimeOrderingMatch": _ordering(_TIMES, values.generalized_time),
    "integerFirstComponentMatch": _equality(_syntaxes(17), _integer_first),
    "integerMatch": _equality(_INTEGERS, values.integer),
    "integerOrderingMatch": _ordering(_INTEGERS, values.integer),
    "numericStringMatch": _equality(_NUMERIC, strings.numeric),
    "numericStringOrderingMatch": _ordering(_NUMERIC, strings.numeric),
    "numericStringSubstringsMatch": _substrings(_NUMERIC, strings.numeric, strings.numeric_part),
    "octetStringMatch": _equality(_OCTETS, values.octets),
    "octetStringOrderingMatch": _ordering(_OCTETS, values.octets),
    "octetStringSubstringsMatch": _substrings(_OCTETS, values.octets, _octets_part),
    "telephoneNumberMatch": _equality(_TELEPHONE, strings.telephone),
    "telephoneNumberSubstringsMatch": _substrings(_TELEPHONE, strings.telephone, strings.telephone_part),
    "uuidMatch": _equality(_UUIDS, values.uuid),
    "uuidOrderingMatch": _ordering(_UUIDS, values.uuid),
}


def behaviours(names: Names) -> dict[str, Behaviour]:
    """What every rule that we have does, by its name, in a schema."""
    comparing = _Comparing(names)
    return {
        **_PLAIN,
        "certificateExactMatch": _equality(_syntaxes(8), comparing.certificate),
        "distinguishedNameMatch": _equality(_syntaxes(12), comparing.distinguished_name),
        "objectIdentifierMatch": _equality(_syntaxes(38), comparing.object_identifier),
        "objectIdentifierFirstComponentMatch": _equality(_OID_FIRST, comparing.identifier_first),
        "uniqueMemberMatch": _equality(_syntaxes(34), comparing.unique_member),
    }


_NUMERIC_OID: Final = re.compile(r"(?:0|[1-9][0-9]*)(?:\.(?:0|[1-9][0-9]*))+")
_UID: Final = re.compile(rb"(.*)#'([01]*)'B", re.DOTALL)


class _Comparing:
    """Normal forms that depend on a schema's names."""

    def __init__(self, names: Names) -> None:
        self._names = names

    def object_identifier(self, value: bytes) -> bytes:
        """Names are the OIDs that they stand for; unknown names compare with nothing."""
        text = value.decode("ascii")
        found = self._names.oid_of(text)
        if found is None:
            if not _NUMERIC_OID.fullmatch(text):
                raise ValueError("neither an OID nor a known name")
            return value
        return found.encode()

    def identifier_first(self, value: bytes) -> bytes:
        return self.object_identifier(_first(value))

    def distinguished_name(self, value: bytes) -> bytes:
        try:
            return _joined(normalise_text(value.decode(), self._names))
        except LDAPError as error:
            raise ValueError(error.message) from None

    def unique_member(self, value: bytes) -> bytes:
        """Names with and without bits differ (RFC 4517 section 4.2.31); no normal form of
        a name has a backslash before a number sign."""
        found = _UID.fullmatch(value)
        if found is None:
            return self.distinguished_name(value)
        return self.distinguished_name(found[1]) + b"\\#" + found[2]

    def certificate(self, value: bytes) -> bytes:
        """Issuers may have attributes that no schema defines."""
        serial, issuer = certificate_name(value)
        try:
            return b"%d:" % serial + _joined(normalise_dn(issuer, self._names, undefined=True))
        except LDAPError as error:
            raise ValueError(error.message) from None


def _joined(key: tuple[bytes, ...]) -> bytes:
    """A DN's normalised RDNs as one value.  They have a backslash before every backslash
    and plus sign of a value, so that an escaped comma is no other's."""
    return b",".join([rdn.replace(b",", b"\\,") if 0x2C in rdn else rdn for rdn in key])
