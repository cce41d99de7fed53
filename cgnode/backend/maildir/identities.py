"""Whose a mailbox is, whatever the account is called: the directory's identity of the account,
kept beside its Maildir, so that it goes with it.

    example.com/alice/cgnode-account    the identity
    .accounts/0f/0f5c...                by identity: the address that it was last seen under

The first is the truth; the second finds it, and is looked at with doubt.
"""

from __future__ import annotations

import os
import re
from typing import Final

from attrs import frozen

from cgnode.backend.maildir import disk as disks
from cgnode.backend.maildir.disk import translated
from cgnode.backend.maildir.names import account_place
from cgnode.backend.maildir.storage import Storage
from cgnode.backend.store import BadName

NAME: Final = "cgnode-account"
_INDEX: Final = ".accounts"
_IDENTITY: Final = re.compile(r"[0-9a-f-]{4,64}", re.ASCII)
_SHORT: Final = 1024


@frozen
class Identities:
    storage: Storage

    def get(self, address: str) -> str:
        """Nothing where there is no such mailbox, or nobody has said whose it is."""
        with translated():
            data = disks.read_small(self._file(address), _SHORT) or b""
        found = data.decode("ascii", "replace").strip()
        return found if _IDENTITY.fullmatch(found) else ""

    def put(self, address: str, identity: str) -> None:
        """Of a mailbox that is there."""
        index = self._index(identity)
        disk = self.storage.disk
        with translated():
            path = self._file(address)
            disk.replace(path, f"{identity}\n".encode("ascii"), os.path.dirname(path))
            os.makedirs(os.path.dirname(index), mode=0o700, exist_ok=True)
            disk.replace(index, f"{address}\n".encode("ascii"), os.path.dirname(index))

    def find(self, identity: str) -> str | None:
        """The mailbox with this identity."""
        index = self._index(identity)
        with translated():
            data = disks.read_small(index, _SHORT)
        if data is None:
            return None
        address = data.decode("ascii", "replace").strip()
        try:
            return address if self.get(address) == identity and self.storage.has(address) else None
        except BadName:
            return None

    def _file(self, address: str) -> str:
        domain, local = account_place(address)
        return f"{self.storage.path}/{domain}/{local}/{NAME}"

    def _index(self, identity: str) -> str:
        if not _IDENTITY.fullmatch(identity):
            raise BadName(f"{identity!r} is no identity of an account")
        return f"{self.storage.path}/{_INDEX}/{identity[:2]}/{identity}"
