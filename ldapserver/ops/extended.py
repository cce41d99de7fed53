"""Extended operations (RFC 4511 section 4.12) but for the bulk changes, and StartTLS,
which is the connection's."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Final, Protocol, TypeVar

from ldapserver.core import Core
from ldapserver.extended import BULK_OPERATIONS, PASSWORD_MODIFY, WHO_AM_I, decode_password_modify
from ldapserver.identity import Identity
from ldapserver.messages import ExtendedRequest, Result
from ldapserver.ops.password_modify import password_modify, prepare_password
from ldapserver.results import LDAPError, ResultCode
from storage.txn import WriteTransaction

SUPPORTED: Final = frozenset({WHO_AM_I, PASSWORD_MODIFY, *BULK_OPERATIONS})

S = TypeVar("S")
T = TypeVar("T")


class AfterHashing(Protocol):
    """Runs ``function`` in the writer with what ``slow`` has made in another thread."""

    def __call__(
        self, slow: Callable[[], S], function: Callable[[S, WriteTransaction], T], /
    ) -> Future[T]: ...


def run_extended(
    core: Core, identity: Identity, request: ExtendedRequest, after_hashing: AfterHashing
) -> Result | Future[Result]:
    """Raises LDAPError; PROTOCOL_ERROR for an operation that is not known."""
    if request.oid == WHO_AM_I:
        return who_am_i(identity, request)
    if request.oid == PASSWORD_MODIFY:
        wanted = decode_password_modify(request.value)
        if identity.anonymous:
            raise LDAPError(ResultCode.STRONGER_AUTH_REQUIRED, "bind first")
        return after_hashing(
            lambda: prepare_password(core, identity, wanted),
            lambda new, txn: password_modify(core, txn, identity, new),
        )
    raise LDAPError(ResultCode.PROTOCOL_ERROR, "this extended operation is not known")


def who_am_i(identity: Identity, request: ExtendedRequest) -> Result:
    """The authzId (RFC 4532; RFC 4513 section 5.2.1.8); empty for anonymous."""
    if request.value is not None:
        raise LDAPError(ResultCode.PROTOCOL_ERROR, "Who am I takes no value")
    return Result(value=b"" if identity.anonymous else f"dn:{identity.dn}".encode())
