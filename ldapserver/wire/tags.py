"""The identifier octets that LDAP uses, each with class and constructed bit (RFC 4511
appendix B).  Numbers only, no behaviour.

An identifier is compared as one whole octet, so a wrong class or a wrong constructed
bit is simply another tag.
"""

from __future__ import annotations

from typing import Final

# --- universal ---------------------------------------------------------------------

BOOLEAN: Final = 0x01
INTEGER: Final = 0x02
OCTET_STRING: Final = 0x04
ENUMERATED: Final = 0x0A
SEQUENCE: Final = 0x30
SET: Final = 0x31

# --- protocol operations -------------------------------------------------------------

BIND_REQUEST: Final = 0x60
BIND_RESPONSE: Final = 0x61
UNBIND_REQUEST: Final = 0x42
SEARCH_REQUEST: Final = 0x63
SEARCH_ENTRY: Final = 0x64
SEARCH_DONE: Final = 0x65
SEARCH_REFERENCE: Final = 0x73
MODIFY_REQUEST: Final = 0x66
MODIFY_RESPONSE: Final = 0x67
ADD_REQUEST: Final = 0x68
ADD_RESPONSE: Final = 0x69
DELETE_REQUEST: Final = 0x4A
DELETE_RESPONSE: Final = 0x6B
MODIFY_DN_REQUEST: Final = 0x6C
MODIFY_DN_RESPONSE: Final = 0x6D
COMPARE_REQUEST: Final = 0x6E
COMPARE_RESPONSE: Final = 0x6F
ABANDON_REQUEST: Final = 0x50
EXTENDED_REQUEST: Final = 0x77
EXTENDED_RESPONSE: Final = 0x78
INTERMEDIATE_RESPONSE: Final = 0x79

RESPONSES: Final[dict[int, int]] = {
    BIND_REQUEST: BIND_RESPONSE,
    SEARCH_REQUEST: SEARCH_DONE,
    MODIFY_REQUEST: MODIFY_RESPONSE,
    ADD_REQUEST: ADD_RESPONSE,
    DELETE_REQUEST: DELETE_RESPONSE,
    MODIFY_DN_REQUEST: MODIFY_DN_RESPONSE,
    COMPARE_REQUEST: COMPARE_RESPONSE,
    EXTENDED_REQUEST: EXTENDED_RESPONSE,
}
"""What ends each request's operation; unbind and abandon have no answer."""

RESULTS: Final = frozenset(RESPONSES.values())
"""The responses that carry an LDAPResult."""

OPERATIONS: Final = frozenset(
    {*RESPONSES, *RESULTS, UNBIND_REQUEST, ABANDON_REQUEST}
    | {SEARCH_ENTRY, SEARCH_REFERENCE, INTERMEDIATE_RESPONSE}
)
"""Every alternative of protocolOp."""

# --- context-specific, by where they stand ---------------------------------------------

CONTROLS: Final = 0xA0

AUTH_SIMPLE: Final = 0x80
AUTH_SASL: Final = 0xA3
SERVER_SASL_CREDENTIALS: Final = 0x87

REFERRAL: Final = 0xA3

FILTER_AND: Final = 0xA0
FILTER_OR: Final = 0xA1
FILTER_NOT: Final = 0xA2
FILTER_EQUALITY: Final = 0xA3
FILTER_SUBSTRINGS: Final = 0xA4
FILTER_GREATER: Final = 0xA5
FILTER_LESS: Final = 0xA6
FILTER_PRESENT: Final = 0x87
FILTER_APPROX: Final = 0xA8
FILTER_EXTENSIBLE: Final = 0xA9

SUBSTRING_INITIAL: Final = 0x80
SUBSTRING_ANY: Final = 0x81
SUBSTRING_FINAL: Final = 0x82

MATCH_RULE: Final = 0x81
MATCH_TYPE: Final = 0x82
MATCH_VALUE: Final = 0x83
MATCH_DN_ATTRIBUTES: Final = 0x84

NEW_SUPERIOR: Final = 0x80

REQUEST_NAME: Final = 0x80
REQUEST_VALUE: Final = 0x81
RESPONSE_NAME: Final = 0x8A
RESPONSE_VALUE: Final = 0x8B
INTERMEDIATE_NAME: Final = 0x80
INTERMEDIATE_VALUE: Final = 0x81
