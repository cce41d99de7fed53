"""Compare (RFC 4511 section 4.10): an assertion about one attribute of one entry, or of
what the server provides itself."""

from __future__ import annotations

from ldapserver.access import View
from ldapserver.core import Core
from ldapserver.dn import normalise_text
from ldapserver.identity import Identity
from ldapserver.matching import Compiler, Subject
from ldapserver.messages import CompareRequest, Control, Equality, Result
from ldapserver.names import find
from ldapserver.ops.controls import extras, require
from ldapserver.ops.target import denied, not_found
from ldapserver.results import LDAPError, ResultCode
from ldapserver.rootdse import synthetic
from ldapserver.schema import AttributeDescription
from ldapserver.views import EntryView
from storage.keys import ROOT
from storage.snapshot import Snapshot


def compare(
    core: Core,
    snapshot: Snapshot,
    identity: Identity,
    request: CompareRequest,
    controls: tuple[Control, ...] = (),
) -> Result:
    wanted = extras(core, CompareRequest, controls)
    key = normalise_text(request.dn, core.schema)
    subject, view = _subject(core, snapshot, identity, key)
    if wanted.assertion is not None:
        require(core, view, subject, wanted.assertion)
    description = core.schema.description(request.attribute)
    if not view.readable(description.type):
        raise denied(identity, f"compare {description.text}")
    _check_assertion_value(description, request.value)
    if not subject.values(description):
        raise LDAPError(ResultCode.NO_SUCH_ATTRIBUTE, f"{description.text}: no such attribute")
    matches = Compiler(core.schema, view).compile(Equality(request.attribute, request.value))
    return Result(ResultCode.COMPARE_TRUE if matches(subject) else ResultCode.COMPARE_FALSE)


def _subject(
    core: Core, snapshot: Snapshot, identity: Identity, key: tuple[bytes, ...]
) -> tuple[Subject, View]:
    own = synthetic(core, snapshot, key)
    if own is not None:
        return own, core.everything
    entry = find(snapshot, key)
    data = None if entry is None or entry == ROOT else snapshot.entry(entry)
    if entry is None or data is None:
        raise not_found(snapshot, key)
    view = core.view(identity, own=key == identity.key)
    return EntryView(core.catalogue, core.state(snapshot).names, snapshot, entry, data), view


def _check_assertion_value(description: AttributeDescription, value: bytes) -> None:
    rule = description.type.equality
    if rule is None:
        raise LDAPError(ResultCode.INAPPROPRIATE_MATCHING, f"{description.text}: no equality rule")
    try:
        rule.normalise(value)
    except ValueError as error:
        raise LDAPError(ResultCode.INVALID_ATTRIBUTE_SYNTAX, f"{description.text}: {error}") from None
