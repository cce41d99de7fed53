"""The account's questions: its folders, their status, its quota (RFC 3501 section 6.3, RFC 9208).

Blocking functions; what they raise is the store's.
"""

from __future__ import annotations

from typing import TypeAlias, assert_never

from attrs import evolve

from cgnode.backend import store
from cgnode.backend.imap.replies import Reply, no, ok
from cgnode.backend.store import DELETED, DELIMITER, Account
from cgnode.proto.imap import codes
from cgnode.proto.imap import commands as c
from cgnode.proto.imap.listing import Folder, choose, choose_subscribed
from cgnode.proto.imap.responses import Listed, Quota, Resource, StatusValues

Question: TypeAlias = (
    c.Create
    | c.Delete
    | c.Rename
    | c.Subscribe
    | c.Unsubscribe
    | c.List
    | c.Lsub
    | c.Status
    | c.GetQuota
    | c.GetQuotaRoot
)

ROOT = b""
"""The quota root's name: there is one."""


def answer(account: Account, question: Question, append_limit: int) -> Reply:
    match question:
        case c.Create(name):
            # RFC 3501 section 6.3.3: the delimiter at the end says what is meant for it.
            account.create(name.removesuffix(DELIMITER))
        case c.Delete(name):
            account.delete(name)
        case c.Rename(name, to):
            account.rename(name, to.removesuffix(DELIMITER))
        case c.Subscribe(name):
            account.subscribe(name)
        case c.Unsubscribe(name):
            account.unsubscribe(name)
        case c.List():
            rows = _listed(account, question, append_limit)
            return lambda core: core.listed(rows)
        case c.Lsub():
            subscribed = {folder.name for folder in account.folders() if folder.subscribed}
            found = choose_subscribed(question, subscribed, DELIMITER)
            return lambda core: core.listed(found)
        case c.Status(name, items):
            values = _status(account, name, items, append_limit)
            return lambda core: core.status(values)
        case c.GetQuota(root):
            return _quota(account) if root == ROOT else no("there is no such quota root", codes.NONEXISTENT)
        case c.GetQuotaRoot(name):
            if not exists(account, name):
                raise store.NoSuchFolder(name)
            return _quota_root(account)
        case _:
            assert_never(question)
    return ok


def exists(account: Account, name: str) -> bool:
    """Whether messages may go there."""
    return name == store.INBOX or any(each.exists and each.name == name for each in account.folders())


def _listed(account: Account, question: c.List, append_limit: int) -> list[Listed]:
    folders = account.folders()
    there = {folder.name for folder in folders if folder.exists}
    rows = choose(
        question,
        [
            Folder(folder.name, () if folder.special_use is None else (folder.special_use,))
            for folder in folders
            if folder.exists
        ],
        {folder.name for folder in folders if folder.subscribed},
        DELIMITER,
    )
    if not question.status:
        return rows
    return [_with_status(account, row, question.status, append_limit, there) for row in rows]


def _with_status(
    account: Account, row: Listed, items: tuple[c.StatusItem, ...], append_limit: int, there: set[str]
) -> Listed:
    if row.name not in there:
        return row
    try:
        return evolve(row, status=_status(account, row.name, items, append_limit))
    except store.NoSuchFolder:
        # Removed since it was listed: a row without status says no more than is so.
        return row


def _status(account: Account, name: str, items: tuple[c.StatusItem, ...], append_limit: int) -> StatusValues:
    found = account.status(name)
    values: dict[c.StatusItem, int | None] = {
        c.StatusItem.MESSAGES: found.messages,
        c.StatusItem.RECENT: found.recent,
        c.StatusItem.UIDNEXT: found.uidnext,
        c.StatusItem.UIDVALIDITY: found.uidvalidity,
        c.StatusItem.UNSEEN: found.unseen,
        c.StatusItem.SIZE: found.size,
        c.StatusItem.HIGHESTMODSEQ: found.highest_modseq,
        c.StatusItem.APPENDLIMIT: append_limit,
        c.StatusItem.DELETED: found.deleted,
    }
    if c.StatusItem.DELETED_STORAGE in items:
        with account.select(name, read_only=True) as view:
            values[c.StatusItem.DELETED_STORAGE] = sum(
                message.size for message in view.messages() if DELETED in message.flags
            )
    return values


def _quota(account: Account) -> Reply:
    found = _root(account)
    if found is None:
        return no("there is no quota", codes.NONEXISTENT)
    return lambda core: core.quota(found)


def _quota_root(account: Account) -> Reply:
    found = _root(account)
    return lambda core: core.quota(*([] if found is None else [found]))


def _root(account: Account) -> Quota | None:
    """None where the account may hold what it likes.  STORAGE counts 1024 octets."""
    quota = account.quota
    if quota.size is None and quota.messages is None:
        return None
    usage = account.usage()
    resources: list[Resource] = []
    if quota.size is not None:
        resources.append(Resource("STORAGE", -(-usage.size // 1024), quota.size // 1024))
    if quota.messages is not None:
        resources.append(Resource("MESSAGE", usage.messages, quota.messages))
    return Quota(ROOT, tuple(resources))
