"""What an LDIF file says, as values, and the error for what it should not say."""

from __future__ import annotations

from typing import TypeAlias, assert_never

from attrs import frozen

from ldapserver.messages import (
    AddRequest,
    Attribute,
    Change,
    Control,
    DeleteRequest,
    ModifyDNRequest,
    ModifyRequest,
    WriteRequest,
)


class LdifError(ValueError):
    """A file that cannot be read: which, the line (from 1), and why."""

    def __init__(self, file: str, line: int, reason: str) -> None:
        super().__init__(file, line, reason)
        self.file = file
        self.line = line
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.reason}"


@frozen
class AddRecord:
    """A content record, or one with ``changetype: add``.

    ``attributes`` has one pair per line, in the file's order: the attribute description
    as it is spelled (ASCII; equal spellings are mostly one object) and the value.
    """

    line: int
    dn: str
    attributes: list[tuple[bytes, bytes]]
    controls: tuple[Control, ...] = ()


@frozen
class ModifyRecord:
    line: int
    dn: str
    changes: tuple[Change, ...]
    controls: tuple[Control, ...] = ()


@frozen
class DeleteRecord:
    line: int
    dn: str
    controls: tuple[Control, ...] = ()


@frozen
class ModifyDNRecord:
    line: int
    dn: str
    new_rdn: str
    delete_old_rdn: bool
    new_superior: str | None = None
    controls: tuple[Control, ...] = ()


Record: TypeAlias = AddRecord | ModifyRecord | DeleteRecord | ModifyDNRecord


def to_request(record: Record) -> WriteRequest:
    """The LDAP operation that does what ``record`` says."""
    match record:
        case AddRecord():
            return AddRequest(record.dn, grouped(record.attributes))
        case ModifyRecord():
            return ModifyRequest(record.dn, record.changes)
        case DeleteRecord():
            return DeleteRequest(record.dn)
        case ModifyDNRecord():
            return ModifyDNRequest(record.dn, record.new_rdn, record.delete_old_rdn, record.new_superior)
        case _:
            assert_never(record)


def grouped(attributes: list[tuple[bytes, bytes]]) -> tuple[Attribute, ...]:
    """The lines of an entry as attributes: spelled and ordered by where each begins."""
    groups: dict[bytes, tuple[str, list[bytes]]] = {}
    for name, value in attributes:
        group = groups.get(name.lower())
        if group is None:
            group = groups[name.lower()] = (name.decode("ascii"), [])
        group[1].append(value)
    return tuple(Attribute(name, tuple(values)) for name, values in groups.values())
