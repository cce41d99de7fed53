"""While the directory is away: who is known stays known, and who is not may only be not known yet."""

from __future__ import annotations

import pytest

from cgnode.backend.lmtp.recipients import Recipients
from cgnode.backend.sessions.hosting import Here
from cgnode.frontend.delivery.routing import Routing
from cgnode.frontend.queue.values import Defer, Deliver, Refuse
from cgnode.proto.smtp.address import parse_address
from cgnode.proto.smtp.reply import Reply
from ldapserver.testing import EphemeralDirectory
from tests.cgnode.backend.hosted import HOST, StillFollowing, hosting, make_site

ALICE, NOBODY = parse_address("alice@example.com"), parse_address("nobody@example.com")


class Cut(StillFollowing):
    cut = True

    def in_step(self) -> bool:
        return not self.cut


@pytest.fixture
def following(ldap_directory: EphemeralDirectory) -> Cut:
    return Cut(make_site(ldap_directory))


def test_delivery(following: Cut) -> None:
    routing = Routing(following, "example.com", frozenset())
    assert isinstance(routing.route(ALICE), Deliver)
    for _ in range(2):
        waiting = routing.route(NOBODY)
        assert isinstance(waiting, Defer)
    following.cut = False
    assert isinstance(routing.route(NOBODY), Refuse)


def test_lmtp(following: Cut) -> None:
    recipients = Recipients(hosting(following), lambda: [HOST])
    assert isinstance(recipients.find(ALICE), Here)
    for cut, code in ((True, 451), (False, 550), (True, 451)):
        following.cut = cut
        found = recipients.find(NOBODY)
        assert isinstance(found, Reply)
        assert found.code == code
