"""Mail to the accounts' hosts, over sockets: routed, delivered, and what hosts may do."""

# mypy: disallow-untyped-calls=False

from __future__ import annotations

import time

from attrs import evolve

from cgnode.frontend.delivery import service
from cgnode.frontend.queue.policy import Policy
from cgnode.proto.smtp.envelope import Notify, RecipientParameters
from cgnode.proto.smtp.reply import Reply
from tests.cgnode.frontend import world
from tests.cgnode.frontend.delivery.hosts import Host
from tests.cgnode.frontend.delivery.site import SiteCase, sleep, until
from tests.cgnode.frontend.world import TEXT, recipient

SUCCESS = RecipientParameters(frozenset({Notify.SUCCESS}))


class DeliveryTest(SiteCase):
    def setUp(self) -> None:
        super().setUp()
        self.be1, self.be2 = self.add_host("be1"), self.add_host("be2")
        self.add_account("alice", "be1")
        self.add_account("bob", "be2")

    async def test_each_account_at_its_host(self) -> None:
        self.start()
        self.send("alice", "bob", session="s1")
        await self.be1.has(1)
        await self.be2.has(1)
        await self.emptied()
        assert self.be1.letters[0].to == "alice@example.com"
        assert self.be1.letters[0].sender == "a@here.example"
        assert self.be1.letters[0].text == TEXT
        assert self.be1.letters[0].mail.parameters.size == len(TEXT)
        assert self.be2.to() == ["bob@example.com"]
        assert self.be1.logins == 1
        assert self.delivery is not None
        assert self.delivery.counters.delivered == 2
        assert ("be1", "") in self.health.reports

    async def test_what_was_there_before_the_start(self) -> None:
        for _ in range(5):
            self.send("alice")
        self.start()
        await self.be1.has(5)
        await self.emptied()

    async def test_many_on_few_connections(self) -> None:
        self.start()
        for number in range(300):
            self.send("alice", text=b"%d\r\n" % number)
        await self.be1.has(300, 30)
        await self.emptied()
        assert len({letter.text for letter in self.be1.letters}) == 300
        assert self.be1.connections <= self.policy.concurrency

    async def test_one_after_the_other_on_one_connection(self) -> None:
        delivery = self.start()
        for number in range(1, 11):
            self.send("alice")
            await self.be1.has(number)
            await until(lambda: delivery.idle == 1)
        assert self.be1.connections == 1
        assert delivery.counters.reused == 9

    async def test_a_large_message(self) -> None:
        self.start()
        text = b"".join(b"%06d: a line of the message\r\n.\r\n" % line for line in range(30_000))
        self.send("alice", text=text)
        await self.be1.has(1)
        assert self.be1.letters[0].text == text
        await self.emptied()

    async def test_an_empty_message(self) -> None:
        self.start()
        self.send("alice", text=b"")
        await self.be1.has(1)
        assert self.be1.letters[0].text == b""

    async def test_results_are_for_each_recipient(self) -> None:
        self.add_account("carol", "be1")
        self.add_account("dave", "be1")
        self.be1.refusals["carol@example.com"] = Reply(550, "5.1.1", "no such mailbox")
        self.be1.results["dave@example.com"] = Reply(452, "4.2.2", "mailbox full")
        self.start()
        message = self.send("alice", "carol", "dave", sender="bob@example.com")
        await self.be1.has(1)
        await self.be2.has(1)  # the report on carol
        assert self.be1.to() == ["alice@example.com"]
        shown = self.queue.show(message)["to"]
        assert [one["state"] for one in shown] == ["delivered", "failed", "delayed"]
        assert "mailbox full" in shown[2]["reason"]
        report = self.be2.letters[0]
        assert report.sender == ""
        assert b"no such mailbox" in report.text
        assert b"carol@example.com" in report.text

    async def test_nobody_is_told_of_a_report_that_failed(self) -> None:
        self.be1.refusals["alice@example.com"] = Reply(550, "5.1.1", "no such mailbox")
        delivery = self.start()
        self.send("alice", sender="")
        await self.emptied()
        await until(lambda: delivery.counters.untold == 1)
        assert not self.be2.letters

    async def test_a_success_is_reported_if_asked_for(self) -> None:
        self.start()
        self.send(recipient("alice@example.com", SUCCESS), sender="bob@example.com")
        await self.be2.has(1)
        assert b"Action: delivered" in self.be2.letters[0].text

    async def test_who_is_not_known_fails(self) -> None:
        self.start()
        self.send("nobody", sender="bob@example.com")
        await self.be2.has(1)
        assert b"5.1.1" in self.be2.letters[0].text

    async def test_an_account_without_a_host_waits_until_it_has_one(self) -> None:
        self.add_account("erin", None)
        self.start()
        message = self.send("erin")
        await until(lambda: world.states(self.queue)[message] == "delayed")
        self.move("erin", "be1")
        await self.be1.has(1, 2)
        await self.emptied()

    async def test_while_the_directory_is_away_mail_waits(self) -> None:
        self.following.away = "older than a day"
        delivery = self.start()
        message = self.send("alice")
        await until(lambda: world.states(self.queue)[message] == "delayed")
        self.following.away = None
        delivery.look_around()
        await self.be1.has(1, 2)

    async def test_who_is_not_known_while_the_directory_is_away_may_be_there(self) -> None:
        self.following.heard_of = False
        self.start()
        message = self.send("newcomer")
        await until(lambda: world.states(self.queue)[message] == "delayed")
        self.following.heard_of = True
        self.add_account("newcomer", "be1")
        await self.be1.has(1, 2)
        assert self.be1.to() == ["newcomer@example.com"]

    async def test_two_names_of_one_account_are_one_copy(self) -> None:
        alias = {"objectClass": ["alias", "extensibleObject"], "uid": "al"}
        self.directory.add(
            "uid=al,cn=example.com", {**alias, "aliasedObjectName": "uid=alice,cn=example.com"}
        )
        self.start()
        self.send("alice", "al")
        await self.emptied()
        assert self.be1.to() == ["alice@example.com"]

    async def test_an_operator_removes_and_flushes(self) -> None:
        self.be1.refusals["alice@example.com"] = Reply(450, "4.2.1", "busy")
        self.start()
        first, second = self.send("alice"), self.send("alice")
        await until(lambda: set(world.states(self.queue).values()) == {"delayed"})
        self.queue.remove(first)
        self.be1.refusals.clear()
        self.queue.flush(second)
        await self.emptied()
        assert len(self.be1.letters) == 1

    async def test_a_stop_lets_what_is_under_way_end(self) -> None:
        self.be1.delay = 0.3
        delivery = self.start()
        for _ in range(3):
            self.send("alice")
        await until(lambda: self.be1.open == 3)
        await delivery.stopService()
        assert len(self.be1.letters) == 3
        assert not self.queue.counts()["messages"]
        assert delivery.counters.open == 0

    async def test_a_stop_does_not_wait_for_who_says_nothing(self) -> None:
        self.patch(service, "_FAREWELL", 0.3)
        await self.be1.stop()
        self.be1.silent = True
        self.be1.start()
        delivery = self.start()
        message = self.send("alice")
        await until(lambda: self.be1.connections == 1)
        began = time.monotonic()
        await delivery.stopService()
        assert time.monotonic() - began < 2
        assert delivery.counters.open == 0
        assert self.queue.show(message)["to"][0]["attempts"] == 1

    async def test_an_address_that_no_command_can_carry(self) -> None:
        self.start()
        good = recipient("alice@example.com")
        bad = evolve(good, address=evolve(good.address, local="alice\r\nDATA"))
        message = self.send(bad)
        await until(lambda: message not in world.states(self.queue))
        assert not self.be1.letters


class GroupTest(SiteCase):
    def setUp(self) -> None:
        super().setUp()
        self.be1, self.be2 = self.add_host("be1"), self.add_host("be2")
        self.add_account("alice", "be1")
        self.add_account("bob", "be2")
        self.add_group("all", "alice@example.com", "bob@example.com", "inner@example.com")
        self.add_group("inner", "alice@example.com", "all@example.com")

    def add_group(self, name: str, *members: str) -> None:
        attributes = {"objectClass": "CommuniGateGroup", "uid": name, "cn": name}
        self.directory.add(f"uid={name},cn=example.com", {**attributes, "memberAddress": list(members)})

    async def test_one_copy_for_each(self) -> None:
        delivery = self.start()
        self.send("all", "alice")
        await self.emptied()
        assert self.be1.to() == ["alice@example.com"]
        assert self.be2.to() == ["bob@example.com"]
        assert delivery.counters.expanded == 1

    async def test_members_have_fates_of_their_own(self) -> None:
        self.add_group("team", "alice@example.com", "nobody@example.com")
        self.add_account("sender", "be2")
        self.start()
        self.send("team", sender="sender@example.com")
        await self.be1.has(1)
        await self.be2.has(1)
        assert b"nobody@example.com" in self.be2.letters[0].text
        await self.emptied()

    async def test_a_success_is_the_group_s(self) -> None:
        self.start()
        self.send(recipient("all@example.com", SUCCESS), sender="bob@example.com")
        await self.be2.has(2)
        await self.emptied()
        reports = [letter.text for letter in self.be2.letters if not letter.sender]
        assert len(reports) == 1
        assert b"Action: expanded" in reports[0]


class TroubleTest(SiteCase):
    policy = Policy(minimum_delay=30.0, first_concurrency=3)

    def setUp(self) -> None:
        super().setUp()
        self.be1, self.be2 = self.add_host("be1"), self.add_host("be2")
        self.add_account("alice", "be1")
        self.add_account("bob", "be2")

    def attempts(self) -> int:
        ids = world.ids(self.queue)
        return sum(one["attempts"] for message in ids for one in self.queue.show(message)["to"])

    async def test_a_host_that_is_known_to_be_down_costs_no_attempts(self) -> None:
        self.health.down["be1"] = "it said nothing"
        delivery = self.start()
        for _ in range(10):
            self.send("alice")
        self.send("bob")
        await self.be2.has(1)
        await until(lambda: set(world.states(self.queue).values()) == {"delayed"})
        assert self.attempts() == 0
        assert delivery.counters.attempts == 1
        assert self.be1.connections == 0
        began = time.monotonic()
        self.health.say("be1", True)
        await self.be1.has(10, 2)
        assert time.monotonic() - began < 1
        await self.emptied()

    async def test_who_looks_after_hosts_begins_later(self) -> None:
        self.health.down["be1"] = "not known yet"
        delivery = self.start()
        self.send("alice")
        await until(lambda: set(world.states(self.queue).values()) == {"delayed"})
        self.health.down.clear()
        delivery.look_around()
        await self.be1.has(1, 2)

    async def test_it_goes_down_under_way(self) -> None:
        self.start()
        self.send("alice")
        await self.be1.has(1)
        self.health.say("be1", False)
        self.send("alice")
        await sleep(0.2)
        assert len(self.be1.letters) == 1
        self.health.say("be1", True)
        await self.be1.has(2, 2)

    async def test_a_dead_host_gets_its_mail_when_it_is_there_again(self) -> None:
        """Nobody has said anything about it."""
        await self.be1.stop()
        self.start()
        for _ in range(20):
            self.send("alice")
        self.send("bob")
        await self.be2.has(1)
        await sleep(1.0)
        assert self.attempts() <= 5
        assert self.health.reports[0][0] == "be1"
        self.be1.start()
        await self.be1.has(20, 4)
        await self.emptied()
        assert len(self.be1.letters) == 20

    async def test_killed_again_and_again(self) -> None:
        self.be1.delay = 0.02
        self.start()
        for number in range(100):
            self.send("alice", text=b"%d\r\n" % number)
        for _ in range(3):
            await sleep(0.15)
            await self.be1.stop()
            await sleep(0.1)
            self.be1.start()
        await until(lambda: len({letter.text for letter in self.be1.letters}) == 100, 15)
        await self.emptied()
        # Twice only where an answer was cut off.
        assert len(self.be1.letters) <= 100 + 3 * self.policy.concurrency

    async def test_a_host_that_says_nothing_hinders_nobody(self) -> None:
        await self.be1.stop()
        self.be1.silent = True
        self.be1.start()
        self.start()
        for _ in range(10):
            self.send("alice")
        began = time.monotonic()
        self.send("bob")
        await self.be2.has(1)
        assert time.monotonic() - began < 1
        await until(lambda: any(reason for host, reason in self.health.reports if host == "be1"), 8)
        assert "GREETING" in str(self.health.reports)
        self.be1.silent = False
        await self.be1.has(10, 8)

    async def test_the_answer_is_cut_off(self) -> None:
        self.be1.cut = True
        self.start()
        message = self.send("alice")
        await until(lambda: world.states(self.queue)[message] == "delayed")
        assert "may have arrived" in self.queue.show(message)["to"][0]["reason"]
        self.be1.cut = False
        await self.be1.has(1, 4)
        await self.emptied()

    async def test_a_connection_that_was_closed_meanwhile_costs_nothing(self) -> None:
        delivery = self.start()
        self.send("alice")
        await self.be1.has(1)
        await until(lambda: delivery.idle == 1)
        for transport in list(self.be1._all):
            transport.loseConnection()
        self.send("alice")
        await self.be1.has(2, 2)
        assert delivery.counters.unreachable == 0

    async def test_a_host_that_is_stopped_in_good_order(self) -> None:
        """Who was refused by its good-bye need not wait for the next turn."""
        going = Reply(421, "4.3.2", "going down")
        self.be1.refusals["alice@example.com"] = going
        self.start()
        message = self.send("alice")
        await until(lambda: world.states(self.queue)[message] == "delayed")
        assert "going down" in self.queue.show(message)["to"][0]["reason"]
        self.be1.refusals.clear()
        await self.be1.has(1, 4)

    async def test_wrong_credentials(self) -> None:
        self.be1.service = evolve(self.be1.service, mechanisms=())
        self.start()
        message = self.send("alice")
        await until(lambda: world.states(self.queue)[message] == "delayed")
        assert not self.be1.letters

    async def test_a_slow_host_hinders_nobody(self) -> None:
        self.be1.delay = 2.0
        self.start()
        for _ in range(5):
            self.send("alice")
        for _ in range(50):
            self.send("bob")
        await self.be2.has(50, 2)
        assert not self.be1.letters
        await self.be1.has(5, 6)


class MovesTest(SiteCase):
    def setUp(self) -> None:
        super().setUp()
        self.be1, self.be2 = self.add_host("be1"), self.add_host("be2")
        self.add_account("alice", "be1")
        self.add_account("bob", "be1")
        self.health.down["be1"] = "it said nothing"

    async def test_mail_follows_its_account(self) -> None:
        self.start()
        for _ in range(5):
            self.send("alice")
            self.send("bob")
        await until(lambda: set(world.states(self.queue).values()) == {"delayed"})
        self.move("alice", "be2")
        await self.be2.has(5, 2)
        await sleep(0.1)
        assert set(self.be2.to()) == {"alice@example.com"}
        assert len(world.ids(self.queue)) == 5
        self.move("bob", "be2")
        await self.be2.has(10, 2)
        await self.emptied()

    async def test_who_comes_back_to_a_host_that_is_down_waits(self) -> None:
        self.start()
        self.send("alice")
        await until(lambda: set(world.states(self.queue).values()) == {"delayed"})
        for name in ("alice", "bob"):
            self.move(name, "be2")
        await self.be2.has(1, 2)
        self.move("bob", "be1")
        self.send("bob")
        await until(lambda: set(world.states(self.queue).values()) == {"delayed"})
        assert not self.be1.connections

    async def test_what_was_refused_for_now_follows_too(self) -> None:
        self.health.down.clear()
        self.be1.refusals["alice@example.com"] = Reply(452, "4.2.2", "mailbox full")
        self.start()
        message = self.send("alice")
        await until(lambda: world.states(self.queue)[message] == "delayed")
        self.move("alice", "be2")
        await self.be2.has(1, 2)

    async def test_who_is_not_mine_is_looked_up_once_more(self) -> None:
        self.health.down.clear()
        self.be1.refusals["alice@example.com"] = Reply(450, "4.1.6", "not mine")
        delivery = self.start()
        route = delivery._routing.route
        stale = route(recipient("alice@example.com").address)
        self.move("alice", "be2")
        delivery._routing._known[recipient("alice@example.com").address] = stale
        self.send("alice")
        await self.be2.has(1, 2)
        assert delivery.counters.strays <= 1

    async def test_not_mine_again_and_again_is_no_storm(self) -> None:
        self.health.down.clear()
        self.be1.refusals["alice@example.com"] = Reply(450, "4.1.6", "not mine")
        delivery = self.start()
        self.send("alice")
        await until(lambda: set(world.states(self.queue).values()) == {"delayed"})
        for _ in range(20):
            self.send("alice")
        await until(lambda: delivery.counters.strays >= 21)
        await sleep(1.0)
        assert delivery.counters.strays <= 28, "one tries it for all"
        self.move("alice", "be2")
        await self.be2.has(21, 2)
        await self.emptied()

    async def test_the_backend_hears_of_a_move_later_than_we(self) -> None:
        self.health.down.clear()
        self.be1.refusals["alice@example.com"] = Reply(450, "4.1.6", "not mine: be3 has it")
        delivery = self.start()
        for _ in range(20):
            self.send("alice")
        self.send("bob")
        await until(lambda: delivery.counters.strays >= 20)
        await self.be1.has(1)
        assert self.be1.to() == ["bob@example.com"]
        self.be1.refusals.clear()
        await self.be1.has(21, 2)
        await self.emptied()
        assert not delivery._strays

    async def test_a_storage_is_attached_later(self) -> None:
        self.health.down.clear()
        away = Reply(451, "4.2.1", "the storage of be3 is not attached here")
        self.be1.refusals["alice@example.com"] = away
        self.start()
        removed, *_ = [self.send("alice") for _ in range(5)]
        await until(lambda: set(world.states(self.queue).values()) == {"delayed"})
        self.queue.remove(removed)
        await sleep(0.6)
        self.be1.refusals.clear()
        await self.be1.has(4, 2)

    async def test_a_change_that_moves_nobody_looks_at_no_mail(self) -> None:
        self.start()
        message = self.send("alice")
        await until(lambda: world.states(self.queue)[message] == "delayed")
        compared: list[object] = []
        self.queue.waiting = compared.append  # type: ignore[method-assign, assignment]
        self.directory.modify("uid=alice,cn=example.com", replace={"sn": "Liddell"})
        await sleep(0.4)
        assert compared == []

    async def test_a_host_s_address_changes(self) -> None:
        self.health.down.clear()
        self.start()
        self.send("alice")
        await self.be1.has(1)
        other = Host()
        place = other.start()
        self.addCleanup(other.stop)
        self.directory.modify("cn=be1,cn=servers", replace={"serverAddress": f"lmtp://{place}"})
        await sleep(0.3)
        await self.be1.stop()
        self.send("alice")
        await other.has(1, 4)
