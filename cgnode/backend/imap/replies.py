"""Answers on their way from the store's threads to the core, and what failures become.

A job gives a ``Reply``, which the session applies to its core in the reactor's thread.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final, TypeAlias

from cgnode.backend import store
from cgnode.proto.imap import codes
from cgnode.proto.imap.server import Server

log = logging.getLogger(__name__)

Reply: TypeAlias = Callable[[Server], bytes]

_REFUSALS: Final[tuple[tuple[type[store.MailStoreError], str, bytes], ...]] = (
    (store.NoSuchFolder, "there is no such mailbox", codes.NONEXISTENT),
    (store.FolderExists, "there is such a mailbox", codes.ALREADY_EXISTS),
    (store.NotForInbox, "that can't be done with it", codes.CANNOT),
    (store.BadName, "there can't be such a name", codes.CANNOT),
    (store.OverQuota, "that is more than the account may hold", codes.OVER_QUOTA),
    (store.StorageFull, "the storage is full, try later", codes.UNAVAILABLE),
    (store.InUse, "it is in use", codes.IN_USE),
)


def ok(core: Server) -> bytes:
    return core.ok()


def no(text: str, code: bytes = b"") -> Reply:
    return lambda core: core.no(text, code)


def refusal(error: store.MailStoreError, session: str, *, target: bool = False) -> Reply:
    """What a failure of the store is to a client.  ``target``: a message was to go to the
    mailbox, so that making it would help."""
    if target and isinstance(error, store.NoSuchFolder):
        return no("there is no such mailbox", codes.TRY_CREATE)
    for kind, text, code in _REFUSALS:
        if isinstance(error, kind):
            if kind is store.StorageFull:
                log.error("%s storage full: %s", session, error)
            return no(text, code)
    log.error("%s %s: %s", session, type(error).__name__, error)
    return no("the mail can't be had now, try later", codes.UNAVAILABLE)


def broken(session: str) -> Reply:
    """A fault of ours; called where it is handled."""
    log.exception("%s internal error", session)
    return no("internal error", codes.SERVER_BUG)
