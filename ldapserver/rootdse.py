"""What the server itself provides to read: the root DSE (RFC 4512 section 5.1) and the
subschema (section 4.2).  They are in no store.

Everybody reads all of them: a client learns here how to go on.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final

from attrs import field, frozen

from ldapserver.core import Core
from ldapserver.dn import Key
from ldapserver.extended import CANCEL, START_TLS
from ldapserver.ops.controls import SUPPORTED as CONTROLS
from ldapserver.ops.extended import SUPPORTED as EXTENSIONS
from ldapserver.ops.sasl import MECHANISMS
from ldapserver.ops.target import SUBSCHEMA_KEY
from ldapserver.schema import AttributeDescription, AttributeType, Schema
from ldapserver.schema.subschema import subschema_entry
from ldapserver.views import SUBSCHEMA_DN
from ldapserver.wire.encode import partial_attribute
from storage import csn, records
from storage.keys import ROOT
from storage.snapshot import Snapshot

VENDOR: Final = b"cgnode"

# RFC 3673, RFC 4526, RFC 4525, RFC 4529
_FEATURES: Final = (
    b"1.3.6.1.4.1.4203.1.5.1",
    b"1.3.6.1.4.1.4203.1.5.3",
    b"1.3.6.1.1.14",
    b"1.3.6.1.4.1.4203.1.5.2",
)

# More top-level entries than these are told as the one context that holds them all.
_MOST_CONTEXTS: Final = 100

_Row = tuple[AttributeDescription, tuple[bytes, ...]]


@frozen(eq=False)
class Synthetic:
    """An entry that is made up on reading: a ``matching.Subject``."""

    schema: Schema = field(repr=False)
    dn: bytes
    rows: tuple[_Row, ...] = field(repr=False)

    def values(self, description: AttributeDescription) -> list[bytes]:
        covers = self.schema.covers
        return [value for known, values in self.rows if covers(description, known) for value in values]

    def select(self, requested: tuple[str, ...], types_only: bool) -> bytes:
        """The PartialAttributes that a search's selection asks for, joined (RFC 4511
        section 4.5.1.8; ``+`` RFC 3673, ``@class`` RFC 4529)."""
        return b"".join(
            [
                partial_attribute(description.text.encode(), () if types_only else values)
                for description, values in self._selected(requested)
            ]
        )

    def _selected(self, requested: tuple[str, ...]) -> Iterator[_Row]:
        all_user = not requested or "*" in requested
        all_operational = "+" in requested
        named = [found for text in requested if (found := self.schema.find_description(text)) is not None]
        types = self._types_of_classes(requested)
        for row in self.rows:
            description = row[0]
            if (
                (all_operational if description.type.operational else all_user)
                or description.type in types
                or any(self.schema.covers(wanted, description) for wanted in named)
            ):
                yield row

    def _types_of_classes(self, requested: tuple[str, ...]) -> frozenset[AttributeType]:
        classes = [self.schema.object_class(text[1:]) for text in requested if text.startswith("@")]
        return frozenset[AttributeType]().union(
            *(self.schema.attributes_of(found) for found in classes if found is not None)
        )


def synthetic(core: Core, snapshot: Snapshot, key: Key) -> Synthetic | None:
    """The server's own entry of a normalised DN, if there is one."""
    if not key:
        return _root_dse(core, snapshot)
    return _subschema(core) if key == SUBSCHEMA_KEY else None


def _root_dse(core: Core, snapshot: Snapshot) -> Synthetic:
    controls = frozenset[str]().union(*CONTROLS.values())
    settings = core.settings
    # These two are the connection's.
    extensions = EXTENSIONS | {CANCEL, START_TLS} if settings.start_tls else EXTENSIONS | {CANCEL}
    last = snapshot.last_csn()
    return _make(
        core.schema,
        b"",
        {
            "objectClass": (b"top",),
            "entryDN": (b"",),
            "namingContexts": _contexts(snapshot),
            "contextCSN": (csn.text(last).encode(),) if last != csn.NO_CSN else (),
            "subschemaSubentry": (SUBSCHEMA_DN,),
            "supportedLDAPVersion": (b"3",),
            "supportedControl": tuple(oid.encode() for oid in sorted(controls)),
            "supportedExtension": tuple(oid.encode() for oid in sorted(extensions)),
            "supportedFeatures": _FEATURES,
            "supportedSASLMechanisms": tuple(name.encode() for name in MECHANISMS),
            "vendorName": (VENDOR,),
            "vendorVersion": (settings.version.encode(),) if settings.version else (),
        },
    )


def _contexts(snapshot: Snapshot) -> tuple[bytes, ...]:
    found = list(islice(snapshot.children(ROOT), _MOST_CONTEXTS + 1))
    if len(found) > _MOST_CONTEXTS:
        return (b"",)
    return tuple(records.rdn_of(data) for entry in found if (data := snapshot.entry(entry)) is not None)


def _subschema(core: Core) -> Synthetic:
    rows = {attribute.type: attribute.values for attribute in subschema_entry(core.schema)}
    return _make(
        core.schema,
        SUBSCHEMA_DN,
        {
            **rows,
            "structuralObjectClass": (b"subentry",),
            "entryDN": (SUBSCHEMA_DN,),
            "subschemaSubentry": (SUBSCHEMA_DN,),
            "hasSubordinates": (b"FALSE",),
            "numSubordinates": (b"0",),
        },
    )


def _make(schema: Schema, dn: bytes, rows: dict[str, tuple[bytes, ...]]) -> Synthetic:
    return Synthetic(
        schema, dn, tuple((schema.description(name), values) for name, values in rows.items() if values)
    )
