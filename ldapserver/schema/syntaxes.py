"""What each syntax accepts (RFC 4517 section 3.3, RFC 3672, RFC 4523, RFC 4530): one
literal table from OIDs to tests.

Tests tell true from false and raise nothing.  Length bounds (``{64}``) are minimum
upper bounds by RFC 4512 section 2.5.1: nothing is refused for its length.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, TypeAlias

from ldapserver.dn import parse_dn, read_der
from ldapserver.results import LDAPError
from ldapserver.schema import strings, values
from ldapserver.schema.model import Normaliser, SchemaError
from ldapserver.schema.text import parse_definition

Test: TypeAlias = Callable[[bytes], bool]


def _anything(_: bytes) -> bool:
    return True


def _directory_string(value: bytes) -> bool:
    if value.isascii():
        return value != b""
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def _matching(pattern: bytes) -> Test:
    match = re.compile(pattern, re.DOTALL).fullmatch
    return lambda value: match(value) is not None


def _normalised_by(normalise: Normaliser) -> Test:
    def test(value: bytes) -> bool:
        try:
            normalise(value)
        except ValueError:
            return False
        return True

    return test


def _defined_by(keyword: str) -> Test:
    """A schema definition."""

    def test(value: bytes) -> bool:
        try:
            parse_definition(keyword, value.decode())
        except (SchemaError, UnicodeDecodeError):
            return False
        return True

    return test


def _distinguished_name(value: bytes) -> bool:
    try:
        parse_dn(value.decode())
    except (LDAPError, UnicodeDecodeError):
        return False
    return True


_UID: Final = re.compile(rb"#'[01]*'B\Z")


def _name_and_uid(value: bytes) -> bool:
    return _distinguished_name(_UID.sub(b"", value))


def _der(value: bytes) -> bool:
    """One SEQUENCE, whole; what is in it is not looked at."""
    try:
        tag, _, end = read_der(value, 0)
    except ValueError:
        return False
    return tag == 0x30 and end == len(value)


def _postal_address(value: bytes) -> bool:
    """The RFC wants each line to have a character; addresses in the field have empty ones."""
    return _directory_string(value) and not _STRAY_BACKSLASH.search(value)


_STRAY_BACKSLASH: Final = re.compile(rb"\\(?!24|5[Cc])")

_PRINTABLE: Final = rb"[A-Za-z0-9'()+,\-.=/:? ]"
_KEYWORD: Final = rb"[A-Za-z][A-Za-z0-9_-]*"
_METHOD: Final = rb"(?:any|mhs|physical|telex|teletex|g3fax|g4fax|ia5|videotex|telephone)"
_FAX_PARAMETER: Final = (
    rb"(?:twoDimensional|fineResolution|unlimitedLength|b4Length|a3Width|b4Width|uncompressed)"
)
_TELETEX_PARAMETER: Final = rb"(?:graphic|control|misc|page|private):(?:\\24|\\5[Cc]|[^$\\])*"
_OID: Final = rb"(?:0|[1-9][0-9]*)(?:\.(?:0|[1-9][0-9]*))+"

_LDAP: Final = "1.3.6.1.4.1.1466.115.121.1."

TESTS: Final[dict[str, Test]] = {
    _LDAP + "3": _defined_by("attributeTypes"),
    _LDAP + "4": _anything,
    _LDAP + "5": _anything,
    _LDAP + "6": _normalised_by(values.bit_string),
    _LDAP + "7": _normalised_by(values.boolean),
    _LDAP + "8": _der,
    _LDAP + "9": _der,
    _LDAP + "10": _der,
    _LDAP + "11": _matching(_PRINTABLE + rb"{2}"),
    _LDAP + "12": _distinguished_name,
    _LDAP + "14": _matching(_METHOD + rb"(?: *\$ *" + _METHOD + rb")*"),
    _LDAP + "15": _directory_string,
    _LDAP + "16": _defined_by("dITContentRules"),
    _LDAP + "17": _defined_by("dITStructureRules"),
    _LDAP + "21": _directory_string,
    _LDAP + "22": _matching(_PRINTABLE + rb"+(?:\$" + _FAX_PARAMETER + rb")*"),
    _LDAP + "23": _anything,
    _LDAP + "24": _normalised_by(values.generalized_time),
    _LDAP + "25": _directory_string,
    _LDAP + "26": bytes.isascii,
    _LDAP + "27": _normalised_by(values.integer),
    _LDAP + "28": _anything,
    _LDAP + "30": _defined_by("matchingRules"),
    _LDAP + "31": _defined_by("matchingRuleUse"),
    _LDAP + "34": _name_and_uid,
    _LDAP + "35": _defined_by("nameForms"),
    _LDAP + "36": _matching(rb"[0-9 ]+"),
    _LDAP + "37": _defined_by("objectClasses"),
    _LDAP + "38": _matching(_KEYWORD + rb"|" + _OID),
    _LDAP + "39": _matching(_PRINTABLE + rb"+\$[\x00-\x7f]*"),
    _LDAP + "40": _anything,
    _LDAP + "41": _postal_address,
    _LDAP + "44": _matching(_PRINTABLE + rb"+"),
    _LDAP + "45": _matching(rb"\{.*\}"),
    _LDAP + "49": _der,
    _LDAP + "50": _matching(_PRINTABLE + rb"+"),
    _LDAP + "51": _matching(_PRINTABLE + rb"+(?:\$" + _TELETEX_PARAMETER + rb")*"),
    _LDAP + "52": _matching(rb"\$".join([_PRINTABLE + rb"+"] * 3)),
    _LDAP + "53": _matching(rb"[0-9]{10}(?:[0-9]{2})?(?:Z|[+-][0-9]{4})?"),
    _LDAP + "54": _defined_by("ldapSyntaxes"),
    _LDAP + "58": _matching(rb"[^*]*(?:\*[^*]+)*\*[^*]*"),
    "1.3.6.1.1.15.1": _matching(rb"\{.*\}"),
    "1.3.6.1.1.16.1": _normalised_by(values.uuid),
    "1.3.6.1.1.1.0.0": _matching(rb"\([ !-+\--~]*,[ !-+\--~]*,[ !-+\--~]*\)"),
    "1.3.6.1.1.1.0.1": _matching(rb"[!-<>-~]+=[ -9;-~]*:[ -~]*"),
    "1.3.6.1.4.1.4203.666.11.2.1": _normalised_by(values.csn),
}

# Rules that can compare every value of these syntaxes that is ASCII.
_STRING_RULES: Final = frozenset((strings.case_ignore, strings.case_exact))
_IA5_RULES: Final = frozenset((strings.ia5_ignore, strings.ia5_exact))


def acceptance(validate: Test, normalise: Normaliser | None) -> Test:
    """Whether a value is of a syntax, and of a form that an equality rule can compare.

    For most values of most entries one of the first three answers, at little cost.
    """
    if normalise is None or normalise is values.octets:
        return validate
    if validate is bytes.isascii and normalise in _IA5_RULES:
        return validate
    comparable = _normalised_by(normalise)
    if validate is _directory_string and normalise in _STRING_RULES:
        return lambda value: value != b"" if value.isascii() else comparable(value)
    return lambda value: validate(value) and comparable(value)
