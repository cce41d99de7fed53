"""A backend that takes mail by LMTP until it is killed: ``python -m tests.node.lmtp_backend FOLDER``.
It says its port.  Its directory is made anew at each start."""

# mypy: disallow-untyped-calls=False

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from twisted.internet import reactor as global_reactor

from cgnode.backend.lmtp.service import LmtpService, Terms
from cgnode.backend.sessions.hosting import Here
from cgnode.backend.storages import Storages
from cgnode.backend.store import Account
from cgnode.net.listeners import MailListeners, Opening
from ldapserver.testing import EphemeralDirectory
from tests.cgnode.backend.hosted import HOST, SECRET, StillFollowing, hosting, make_site


def serve(folder: Path) -> None:
    reactor: Any = global_reactor
    with EphemeralDirectory() as directory:
        following = StillFollowing(make_site(directory))
        storages = Storages(folder, HOST)
        storages.open()

        def open_account(place: Here) -> Account:
            return storages.store.account(str(place.address), home=place.home, create=True)

        pool = reactor.getThreadPool()
        service = LmtpService(
            reactor,
            pool,
            hosting(following),
            open_account,
            lambda: storages.homes,
            SECRET,
            Terms("be1.example"),
            folder=folder,
            deliver_all=storages.store.deliver_all,
        )
        listeners = MailListeners(reactor, [Opening("lmtp", "127.0.0.1", 0, service.handler)])
        service.startService()
        listeners.startService()
        print(listeners.addresses["lmtp"].port, flush=True)
        reactor.run()


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
