"""One node to a data folder: a lock on ``node.lock``, which holds the owner's process id.

The kernel drops the lock with its process, so a killed node leaves nothing to clean up.
Tools that open the store beside a running node do not take it.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from attrs import frozen

from cgnode.tables import ConfigError

NAME = "node.lock"


@frozen
class NodeLock:
    """Held until ``release`` or the end of the process."""

    _descriptor: int

    @classmethod
    def acquire(cls, folder: Path) -> NodeLock:
        """Lock ``folder``; raises ConfigError while another node has it, OSError as ``open`` does."""
        descriptor = os.open(folder / NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
            os.close(descriptor)
            raise ConfigError(
                f"cgnode: {folder} is in use by the node with process id {owner or 'unknown'}; "
                "stop that one, or name another folder with --data"
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode("ascii"), 0)
        return cls(descriptor)

    def release(self) -> None:
        os.close(self._descriptor)
