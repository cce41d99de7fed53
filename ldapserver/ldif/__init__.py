"""LDIF (RFC 2849): the text form of entries and changes.

``records`` has the values, ``reader`` the quick way in, ``grammar`` the whole grammar,
``writer`` the way out.  Nothing here knows a schema or a store.
"""

from __future__ import annotations

from ldapserver.ldif.reader import BLOCK_SIZE, parse_block, read_blocks, read_changes, read_records
from ldapserver.ldif.records import (
    AddRecord,
    DeleteRecord,
    LdifError,
    ModifyDNRecord,
    ModifyRecord,
    Record,
    grouped,
    to_request,
)
from ldapserver.ldif.writer import WRAP, format_changes, format_content, format_entry, format_record

__all__ = [
    "BLOCK_SIZE",
    "WRAP",
    "AddRecord",
    "DeleteRecord",
    "LdifError",
    "ModifyDNRecord",
    "ModifyRecord",
    "Record",
    "format_changes",
    "format_content",
    "format_entry",
    "format_record",
    "grouped",
    "parse_block",
    "read_blocks",
    "read_changes",
    "read_records",
    "to_request",
]
