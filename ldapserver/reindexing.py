"""All indexes made anew from the entries, as the settings say."""

from __future__ import annotations

from collections.abc import Callable

from ldapserver import indexing
from ldapserver.core import Core
from ldapserver.indexing import Indexes
from storage import records
from storage.loader import Rebuild
from storage.txn import WriteTransaction


def reindex(core: Core, txn: WriteTransaction, progress: Callable[[int], None] = lambda _: None) -> int:
    """Returns the number of entries.  Nobody sees the new indexes before the commit."""
    raw = indexing.encode(core.settings.indexes)
    indexes = Indexes.read(core.catalogue, raw)
    rebuild = Rebuild(txn)
    done = 0
    for entry, data in txn.entries():
        rebuild.add(entry, *indexes.rows_of(records.unpack(data), txn))
        done += 1
        if not done % 1000:
            progress(done)
    rebuild.finish()
    txn.set_meta(indexing.META, raw)
    progress(done)
    return done
