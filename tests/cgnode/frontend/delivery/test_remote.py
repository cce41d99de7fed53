"""Mail for others: by MX, or by the smart host; over sockets, with the DNS of a table."""

# mypy: disallow-untyped-calls=False

from __future__ import annotations

from attrs import evolve
from twisted.names.error import DNSQueryTimeoutError, DNSServerError

from cgnode.config import Config, FrontendConfig
from cgnode.frontend.queue.policy import Policy
from cgnode.net.tls import public_context
from cgnode.proto.smtp.envelope import Notify, RecipientParameters
from cgnode.proto.smtp.reply import Reply
from cgnode.proto.smtp.states import Role, Service
from tests.cgnode.frontend import world
from tests.cgnode.frontend.delivery.hosts import SMTP, Host
from tests.cgnode.frontend.delivery.site import SiteCase, smart_host, until
from tests.cgnode.frontend.world import recipient
from tests.cgnode.net.certificates import Authority

SUCCESS = RecipientParameters(frozenset({Notify.SUCCESS}))


class RemoteCase(SiteCase):
    """``here`` takes reports to alice; ``there`` is the mail host of far.example, at 127.0.0.1."""

    policy = Policy(minimum_delay=30.0)

    def setUp(self) -> None:
        super().setUp()
        self.here = self.add_host("be1")
        self.add_account("alice", "be1")
        self.there = Host(service=SMTP)
        self.mx_port = self.there.start().port
        self.addCleanup(self.there.stop)
        self.resolver.mx["far.example"] = [(10, "mx.far.example")]
        self.resolver.a["mx.far.example"] = ["127.0.0.1"]

    async def report(self) -> bytes:
        await self.here.has(1)
        return self.here.letters[0].text

    async def delayed(self, message: str) -> str:
        """Why it is."""
        await until(lambda: world.states(self.queue).get(message) == "delayed")
        return str(self.queue.show(message)["to"][0]["reason"])


class ExchangerTest(RemoteCase):
    async def test_by_mx(self) -> None:
        delivery = self.start()
        self.send("Bob.B@Far.example", "carol@far.example")
        await self.there.has(2)
        await self.emptied()
        assert self.there.to() == ["Bob.B@Far.example", "carol@far.example"]
        assert self.there.connections == 1
        assert delivery.counters.relayed == 2

    async def test_the_nearest_first(self) -> None:
        self.resolver.mx["far.example"] = [(20, "b.far.example"), (10, "a.far.example")]
        self.resolver.a |= {"b.far.example": ["127.0.0.1"], "a.far.example": ["127.0.0.2", "127.0.0.3"]}
        self.start()
        self.send("bob@far.example")
        await self.there.has(1)

    async def test_one_without_an_address_is_left_out(self) -> None:
        self.resolver.mx["far.example"] = [(10, "gone.far.example"), (20, "mx.far.example")]
        self.start()
        self.send("bob@far.example")
        await self.there.has(1)

    async def test_without_mx_the_domain_itself(self) -> None:
        self.resolver.a["near.example"] = ["127.0.0.1"]
        self.start()
        self.send("bob@near.example")
        await self.there.has(1)

    async def test_an_address(self) -> None:
        self.start()
        self.send("bob@[127.0.0.1]")
        await self.there.has(1)
        assert self.resolver.asked == []

    async def test_no_such_domain(self) -> None:
        self.start()
        self.send("bob@nowhere.example", sender="alice@example.com")
        assert b"5.1.2" in await self.report()

    async def test_a_domain_that_takes_no_mail(self) -> None:
        self.resolver.mx["silent.example"] = [(0, "")]
        self.start()
        self.send("bob@silent.example", sender="alice@example.com")
        assert b"5.1.10" in await self.report()

    async def test_the_dns_does_not_answer(self) -> None:
        for error in (DNSQueryTimeoutError(1), DNSServerError(None)):
            self.resolver.mx[f"{type(error).__name__.lower()}.example"] = error
        self.start()
        for name in ("dnsquerytimeouterror", "dnsservererror"):
            reason = await self.delayed(self.send(f"bob@{name}.example"))
            assert "DNS" in reason

    async def test_nobody_answers(self) -> None:
        await self.there.stop()
        self.start()
        assert "refused" in (await self.delayed(self.send("bob@far.example"))).lower()

    async def test_a_refusal_at_the_greeting(self) -> None:
        await self.there.stop()
        self.there.greeting = b"554 5.7.1 not you\r\n"
        self.there.start()
        self.start()
        assert "not you" in await self.delayed(self.send("bob@far.example"))

    async def test_refused_for_good(self) -> None:
        self.there.refusals["bob@far.example"] = Reply(550, "5.1.1", "who is that?")
        self.start()
        self.send("bob@far.example", sender="alice@example.com")
        report = await self.report()
        assert b"who is that?" in report
        assert b"Remote-MTA: dns; mx.far.example" in report

    async def test_who_knows_dsn_reports_itself(self) -> None:
        self.start()
        self.send(recipient("bob@far.example", SUCCESS), sender="alice@example.com")
        await self.there.has(1)
        await self.emptied()
        assert not self.here.letters
        assert self.there.letters[0].recipient.parameters.notify == {Notify.SUCCESS}


class LoopTest(RemoteCase):
    async def test_we_are_the_nearest(self) -> None:
        self.resolver.mx["far.example"] = [(10, "FE1.example"), (20, "mx.far.example")]
        self.start()
        self.send("bob@far.example", sender="alice@example.com")
        assert b"5.4.6" in await self.report()
        assert not self.there.connections

    async def test_only_those_before_us(self) -> None:
        self.resolver.mx["far.example"] = [(10, "mx.far.example"), (20, "fe1.example"), (30, "x.example")]
        self.start()
        self.send("bob@far.example")
        await self.there.has(1)

    async def test_a_member_is_us(self) -> None:
        attributes = {"objectClass": "cgnodeServer", "cn": "fe2.example", "serverState": "active"}
        self.directory.add("cn=fe2.example,cn=servers", attributes)
        self.resolver.mx["far.example"] = [(10, "fe2.example")]
        self.start()
        self.send("bob@far.example", sender="alice@example.com")
        assert b"5.4.6" in await self.report()

    async def test_a_member_by_its_address(self) -> None:
        attributes = {"objectClass": "cgnodeServer", "cn": "fe2", "serverState": "active"}
        address = f"smtp://127.0.0.1:{self.mx_port}"
        self.directory.add("cn=fe2,cn=servers", {**attributes, "serverAddress": address})
        self.start()
        self.send("bob@far.example", sender="alice@example.com")
        assert b"5.4.6" in await self.report()
        assert not self.there.connections


class TlsTest(RemoteCase):
    async def test_tls_where_it_is_offered(self) -> None:
        self.there.service = Service(Role.SMTP, "mx.example", start_tls=True)
        authority = Authority(self.folder)
        self.there.tls = public_context(Config(tls=authority.issue("mx.far.example")))
        self.start()
        self.send("bob@far.example")
        await self.there.has(1)
        assert self.there.secure == 1

    async def test_without_where_it_fails(self) -> None:
        self.there.service = Service(Role.SMTP, "mx.example", start_tls=True)
        self.start()
        self.send("bob@far.example")
        await self.there.has(1)
        assert self.there.secure == 0
        assert self.there.connections == 2


class SmartHostTest(RemoteCase):
    async def test_all_goes_there(self) -> None:
        relay = Host(service=SMTP)
        self.addCleanup(relay.stop)
        self.start(smart_host(relay))
        self.send("bob@far.example", "carol@other.example", "alice")
        await relay.has(2)
        await self.here.has(1)
        await self.emptied()
        assert relay.connections == 1
        assert not self.there.connections

    async def test_with_a_password(self) -> None:
        relay = Host(service=Service(Role.SUBMISSION, "relay", mechanisms=("PLAIN",), clear_auth=True))
        self.addCleanup(relay.stop)
        password = self.folder / "password"
        password.write_text("of the cluster\n")
        config = smart_host(relay)
        login = evolve(config.smtp, smart_host_user="cluster", smart_host_password_file=password)
        self.start(evolve(config, smtp=login))
        self.send("bob@far.example")
        await relay.has(1)
        assert relay.logins == 1

    async def test_it_is_away(self) -> None:
        relay = Host(service=SMTP)
        config: FrontendConfig = smart_host(relay)
        await relay.stop()
        self.start(config)
        assert "refused" in (await self.delayed(self.send("bob@far.example"))).lower()
