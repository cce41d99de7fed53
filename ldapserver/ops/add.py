"""Add (RFC 4511 section 4.7).

The values of its RDN are the entry's, said or not; of superclasses that its objectClass
values leave out the same holds when the entry is read and checked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from attrs import frozen

from ldapserver.access import View
from ldapserver.core import Core
from ldapserver.dn import normalise_dn, parse_dn
from ldapserver.identity import Identity
from ldapserver.indexing import Indexes
from ldapserver.matching import subclass_names
from ldapserver.messages import AddRequest, Attribute, Control, Result
from ldapserver.names import Names
from ldapserver.ops.controls import after, extras, require
from ldapserver.ops.edit import (
    HOST_TYPES,
    Hosts,
    check_describable,
    hosts_of,
    union,
)
from ldapserver.ops.naming import Name, name_of
from ldapserver.ops.target import SUBSCHEMA_KEY, check_settable, denied, find_parent
from ldapserver.ops.values import holds
from ldapserver.results import LDAPError, ResultCode
from ldapserver.schema import AttributeDescription, Schema
from ldapserver.schema.check import check_shape, check_values
from ldapserver.wire.encode import partial_attribute
from storage import keys, records
from storage.changes import Kind
from storage.csn import micros_of
from storage.keys import EntryId
from storage.records import Record
from storage.txn import Terms, WriteTransaction

Attributes = dict[AttributeDescription, list[bytes]]


def add(
    core: Core,
    txn: WriteTransaction,
    identity: Identity,
    request: AddRequest,
    controls: tuple[Control, ...] = (),
) -> Result:
    wanted = extras(core, AddRequest, controls)
    view = core.view(identity)
    if not view.add:
        raise denied(identity, "add")
    _check_rights(core, identity, view, request.attributes)
    parent, name = _place(core, txn, request.dn)
    attributes = _attributes(core, name, request.attributes)
    _give_host(core, txn, attributes)
    terms = _terms(core.state_in(txn).indexes, attributes)
    hosts = _hosts(core, attributes)
    check_describable(core, txn, [found for found in attributes if found.options], len(attributes))
    if wanted.assertion is not None:
        dn = name.text + Names(txn.tree_number()).below(txn, parent)[0]
        require(core, view, _NewEntry(core.schema, dn, attributes), wanted.assertion)
    entry = _store(core, txn, identity, parent, name, attributes, hosts, terms)
    return Result(controls=after(core, txn, view, wanted, entry))


def _check_rights(core: Core, identity: Identity, view: View, given: Iterable[Attribute]) -> None:
    for attribute in () if view.everything else given:
        kind = core.schema.description(attribute.type).type
        if not view.writable(kind):
            raise denied(identity, f"add {kind.name}")


def _place(core: Core, txn: WriteTransaction, text: str) -> tuple[EntryId, Name]:
    """The parent and the name; both are free for the entry."""
    dn = parse_dn(text)
    key = normalise_dn(dn, core.schema)
    if not key or key == SUBSCHEMA_KEY:
        raise LDAPError(ResultCode.ENTRY_ALREADY_EXISTS, "this entry is the server's own")
    parent = find_parent(core, txn, key[1:])
    if txn.child(parent, key[0]) is not None:
        raise LDAPError(ResultCode.ENTRY_ALREADY_EXISTS, "there is an entry of this name")
    return parent, name_of(core, dn.rdns[0])


def _attributes(core: Core, name: Name, given: Iterable[Attribute]) -> Attributes:
    """What the entry is to have; raises LDAPError where that is not as it must be."""
    attributes: Attributes = {}
    for attribute in given:
        description = core.schema.description(attribute.type)
        check_settable(description)
        if description in attributes:
            raise LDAPError(ResultCode.ATTRIBUTE_OR_VALUE_EXISTS, f"{description.text} is given twice")
        if not attribute.values:
            raise LDAPError(ResultCode.PROTOCOL_ERROR, f"{description.text}: no values")
        check_values(description, attribute.values)
        attributes[description] = list(attribute.values)
    for description, value in name.values:
        values = attributes.setdefault(description, [])
        if not holds(description, values, value):
            if values and description.type.single_value:
                raise LDAPError(ResultCode.NAMING_VIOLATION, f"{description.text} is not what the name says")
            values.append(value)
    classes = attributes.get(core.schema.description("objectClass"), ())
    check_shape(core.schema, tuple(classes), tuple(attributes))
    return attributes


def _give_host(core: Core, txn: WriteTransaction, attributes: Attributes) -> None:
    """To an account that names none, if there is one."""
    host = core.schema.description("hostServer")
    accounts = subclass_names(core.schema, b"CommuniGateAccount") or frozenset()
    classes = attributes.get(core.schema.description("objectClass"), ())
    if host not in attributes and any(each.lower() in accounts for each in classes):
        found = core.settings.host_of_new(core, txn)
        if found is not None:
            attributes[host] = [found.encode()]


def _terms(indexes: Indexes, attributes: Attributes) -> Terms:
    """All but the UUID's."""
    try:
        return union(
            [
                indexes.terms_of_values(description, values)
                for description, values in attributes.items()
                if description.type in indexes.equality or description.type in indexes.substrings
            ]
        )
    except ValueError as error:
        raise LDAPError(ResultCode.INVALID_ATTRIBUTE_SYNTAX, str(error)) from None


def _hosts(core: Core, attributes: Attributes) -> Hosts:
    """Taken out of the attributes."""
    host, old = (
        hosts_of(description, attributes.pop(description, ()))
        for description in map(core.schema.description, HOST_TYPES)
    )
    return host, old


def _store(
    core: Core,
    txn: WriteTransaction,
    identity: Identity,
    parent: EntryId,
    name: Name,
    attributes: Attributes,
    hosts: Hosts,
    terms: Terms,
) -> EntryId:
    csn = txn.next_csn()
    created = micros_of(csn)
    uuid = uuid_of_moment(created, core.settings.random)
    who = identity.dn.encode()
    record = Record(
        parent=parent,
        rdn=name.text,
        uuid=uuid,
        created=created,
        csn=csn,
        creator=who,
        modifier=who,
        attributes=tuple(
            (core.catalogue.number(description, txn), partial_attribute(description.text.encode(), values))
            for description, values in attributes.items()
        ),
        placement=txn.placement_for(parent, *hosts),
    )
    number = core.catalogue.number_of_type("entryUUID")
    terms = Terms(terms.equality | {keys.equality(number, uuid)}, terms.grams)
    entry = txn.add(name.key, records.pack(record), terms)
    txn.log(Kind.ADD, csn, [entry])
    return entry


def uuid_of_moment(micros: int, random: Callable[[int], bytes]) -> bytes:
    """A UUID of version 7 (RFC 9562 sections 5.7 and 6.2, method 3): later ones sort later,
    so that an index of them grows at its end."""
    milliseconds, rest = divmod(micros, 1000)
    head = milliseconds << 16 | 0x7000 | rest * 4096 // 1000
    noise = random(8)
    return head.to_bytes(8, "big") + bytes((0x80 | noise[0] & 0x3F,)) + noise[1:]


@frozen
class _NewEntry:
    """What is to be added, to assertions: they hold of the entry as it was asked for."""

    schema: Schema
    dn: bytes
    attributes: Attributes

    def values(self, description: AttributeDescription) -> list[bytes]:
        covers = self.schema.covers
        found = [values for known, values in self.attributes.items() if covers(description, known)]
        return [value for values in found for value in values]
