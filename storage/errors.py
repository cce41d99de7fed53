"""The store's family of errors; ``env`` makes them of LMDB's, nothing above sees LMDB's."""

from __future__ import annotations


class StoreError(Exception):
    """Something the store could not do; its text is for an operator."""


class StoreFull(StoreError):
    """No room on the disk or in the map.  The transaction is rolled back; the store is intact."""


class StoreReadOnly(StoreError):
    """The folder or its files can't be written."""


class StoreUnusable(StoreError):
    """Not a store, one of another format, or a damaged one."""


class StoreBusy(StoreError):
    """Too many readers at once."""


class Conflict(StoreError):
    """A write met a state that its caller had ruled out, such as a name taken twice."""
