"""The names that writes give to entries (RFC 4511 sections 4.7 and 4.9)."""

from __future__ import annotations

from typing import Final

from attrs import frozen

from ldapserver.core import Core
from ldapserver.dn import RDN, format_rdn, normalise_rdn
from ldapserver.results import LDAPError, ResultCode
from ldapserver.schema import AttributeDescription
from ldapserver.schema.check import check_values, naming_values
from ldapserver.views import PLACED

# A record counts it in two octets; nobody has names that long.
_LONGEST: Final = 16 * 1024

# An RDN is read by all who see the entry, and stays when a host's accounts move.
_NAMELESS: Final = {"userPassword", *PLACED}


@frozen
class Name:
    """An RDN for an entry: as it is stored, as it compares, and what the entry has to hold."""

    text: bytes
    key: bytes
    values: tuple[tuple[AttributeDescription, bytes], ...]


def name_of(core: Core, rdn: RDN) -> Name:
    """Raises LDAPError INVALID_DN_SYNTAX, NAMING_VIOLATION, INVALID_ATTRIBUTE_SYNTAX."""
    key = normalise_rdn(rdn, core.schema)
    values = naming_values(core.schema, rdn)
    for description, value in values:
        if description.type.name in _NAMELESS or description.type.no_user_modification:
            raise LDAPError(ResultCode.NAMING_VIOLATION, f"{description.text} can't name an entry")
        if not value:
            raise LDAPError(ResultCode.INVALID_DN_SYNTAX, f"{description.text}: a name without a value")
        check_values(description, (value,))
    text = format_rdn(rdn).encode()
    if len(text) > _LONGEST:
        raise LDAPError(ResultCode.ADMIN_LIMIT_EXCEEDED, f"a name longer than {_LONGEST:,} octets")
    return Name(text, key, tuple(values))
