"""The controls that operations take, and what those on writes do: assertion (RFC 4528),
pre-read and post-read (RFC 4527), ManageDsaIT (RFC 3296; without effect, since there are
no referral objects here that it would uncover).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from attrs import frozen

from ldapserver.access import View
from ldapserver.controls import (
    ASSERTION,
    MANAGE_DSA_IT,
    PAGED_RESULTS,
    POST_READ,
    PRE_READ,
    decode_assertion,
    decode_read_request,
    read_response,
    require_no_value,
)
from ldapserver.core import Core
from ldapserver.matching import Compiler, Subject
from ldapserver.messages import (
    AddRequest,
    BindRequest,
    CompareRequest,
    Control,
    DeleteRequest,
    ExtendedRequest,
    Filter,
    ModifyDNRequest,
    ModifyRequest,
    Request,
    SearchRequest,
)
from ldapserver.names import Names
from ldapserver.projection import Projection
from ldapserver.results import LDAPError, ResultCode
from ldapserver.sync.codec import PLACEMENTS, SYNC_REQUEST
from ldapserver.views import EntryView
from ldapserver.wire.encode import entry_tail
from storage.keys import EntryId
from storage.snapshot import Snapshot

SUPPORTED: Final[Mapping[type[Request], frozenset[str]]] = {
    BindRequest: frozenset(),
    SearchRequest: frozenset({PAGED_RESULTS, ASSERTION, MANAGE_DSA_IT, SYNC_REQUEST, PLACEMENTS}),
    CompareRequest: frozenset({ASSERTION, MANAGE_DSA_IT}),
    AddRequest: frozenset({ASSERTION, POST_READ, MANAGE_DSA_IT}),
    DeleteRequest: frozenset({ASSERTION, PRE_READ, MANAGE_DSA_IT}),
    ModifyRequest: frozenset({ASSERTION, PRE_READ, POST_READ, MANAGE_DSA_IT}),
    ModifyDNRequest: frozenset({ASSERTION, PRE_READ, POST_READ, MANAGE_DSA_IT}),
    ExtendedRequest: frozenset(),
}
"""Control types by operation: all others are unknown to it."""


@frozen
class Extras:
    """What an operation's controls ask for.

    ``pre_read`` and ``post_read`` are attribute selections, as a search has them.
    """

    assertion: Filter | None = None
    pre_read: tuple[str, ...] | None = None
    post_read: tuple[str, ...] | None = None


NO_EXTRAS: Final = Extras()


def extras(core: Core, operation: type[Request], controls: tuple[Control, ...]) -> Extras:
    """Raises LDAPError: UNAVAILABLE_CRITICAL_EXTENSION, PROTOCOL_ERROR."""
    if not controls:
        return NO_EXTRAS
    assertion = pre_read = post_read = None
    for control in controls:
        if control.oid not in SUPPORTED[operation]:
            if control.critical:
                text = f"critical control {control.oid[:64]} is not known here"
                raise LDAPError(ResultCode.UNAVAILABLE_CRITICAL_EXTENSION, text)
        elif control.oid == ASSERTION:
            assertion = decode_assertion(control.value, core.limits.filter_depth or 100)
        elif control.oid == PRE_READ:
            pre_read = decode_read_request(control.value)
        elif control.oid == POST_READ:
            post_read = decode_read_request(control.value)
        elif control.oid == MANAGE_DSA_IT:
            require_no_value(control)
    return Extras(assertion, pre_read, post_read)


def require(core: Core, view: View, subject: Subject, assertion: Filter) -> None:
    """Raises ASSERTION_FAILED unless the filter is True; Undefined is not."""
    if Compiler(core.schema, view).compile(assertion)(subject) is not True:
        raise LDAPError(ResultCode.ASSERTION_FAILED, "the assertion does not hold")


def before(
    core: Core, snapshot: Snapshot, view: View, wanted: Extras, entry: EntryId, data: bytes
) -> tuple[Control, ...]:
    """What is due before an entry is changed: the assertion, then the pre-read."""
    if wanted is NO_EXTRAS:
        return ()
    if wanted.assertion is not None:
        require(core, view, entry_view(core, snapshot, entry, data), wanted.assertion)
    if wanted.pre_read is None:
        return ()
    return (_read(core, snapshot, view, PRE_READ, wanted.pre_read, entry, data),)


def after(core: Core, snapshot: Snapshot, view: View, wanted: Extras, entry: EntryId) -> tuple[Control, ...]:
    """What is due of a changed entry, inside its transaction."""
    if wanted.post_read is None:
        return ()
    data = snapshot.entry(entry)
    assert data is not None
    return (_read(core, snapshot, view, POST_READ, wanted.post_read, entry, data),)


def _read(
    core: Core,
    snapshot: Snapshot,
    view: View,
    oid: str,
    attributes: tuple[str, ...],
    entry: EntryId,
    data: bytes,
) -> Control:
    # Not one that is remembered: it would learn what a transaction may yet undo.
    projection = Projection(core.catalogue, view, attributes, types_only=False)
    names = Names(snapshot.tree_number())
    cut = projection.cut(names, snapshot, entry, data)
    return read_response(oid, entry_tail(names.dn(snapshot, data), cut))


def entry_view(core: Core, snapshot: Snapshot, entry: EntryId, data: bytes) -> EntryView:
    return EntryView(core.catalogue, Names(snapshot.tree_number()), snapshot, entry, data)
