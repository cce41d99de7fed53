"""What happens: a backend is killed, a sibling takes over, everything comes back."""

from __future__ import annotations

import imaplib
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from attrs import define, field, frozen

from cgnode.control.client import ControlClient, Unix
from tests.demo.cluster import Address, Cluster, Failed, Node, wait_until
from tests.demo.traffic import Traffic, Trouble, ids_in, session

LOST, SIBLING = "be3", "be2"


@frozen
class Size:
    """How big it is; ``phase`` is how many seconds traffic runs in each state, ``drain`` how
    many the mail that waited may take after the failover."""

    accounts: int = 300
    domains: int = 3
    rate: float = 40.0
    phase: float = 4.0
    drain: float = 2.0


@define
class Outcome:
    """What was measured, in seconds and numbers."""

    accepted: int = 0
    logins: int = 0
    waited: int = 0
    noticed: float = 0.0
    failover: float = 0.0
    drained: float = 0.0
    duplicates: int = 0
    cut: int = 0
    lines: list[str] = field(factory=list)


@define
class Scenario:
    """Run it once; ``say`` is told what happens."""

    folder: Path
    size: Size = Size()
    say: Callable[[str], None] = print
    cluster: Cluster = field(init=False)
    traffic: Traffic = field(init=False)
    outcome: Outcome = field(factory=Outcome)

    def run(self) -> Outcome:
        """Raises Failed where something that must be true is not."""
        self.cluster = Cluster(self.folder)
        try:
            accounts = self._begin()
            self.traffic = Traffic(self.cluster, accounts, self.size.rate)
            self.traffic.start()
            try:
                self._all_is_well()
                died = self._a_backend_dies()
                self._a_sibling_takes_over(died)
                self._the_backend_returns()
                self._others_die()
            finally:
                self.traffic.stop()
            self._nothing_is_missing(accounts)
            return self.outcome
        finally:
            self.cluster.stop()

    # --- the acts -----------------------------------------------------------------------

    def _begin(self) -> list[Address]:
        cluster = self.cluster
        cluster.add("d1", "directory")
        for name in ("be1", SIBLING, LOST):
            cluster.add(name, "backend")
        for name in ("fe1", "fe2"):
            cluster.add(name, "frontend")
        cluster.write_configs()
        accounts = cluster.make_site(self.size.domains, self.size.accounts)
        for name in cluster.nodes:
            cluster.start(name)
        wait_until(self._all_serve, 20, "every node serves, and sees the backends")
        self.say(
            f"{len(cluster.nodes)} nodes run: 1 directory, 3 backends, 2 frontends; "
            f"{self.size.accounts} accounts in {self.size.domains} domains"
        )
        return accounts

    def _all_is_well(self) -> None:
        time.sleep(self.size.phase)
        self._no_trouble(self.traffic.troubles, "while all was well")
        sent, logins = len(self.traffic.sent), len(self.traffic.logins)
        self.say(f"mail comes in and is read: {sent} messages, {logins} log-ins")

    def _a_backend_dies(self) -> float:
        self.cluster.kill(LOST)
        died = time.monotonic()
        self.say(f"{LOST} is killed (kill -9)")
        self.outcome.noticed = wait_until(
            lambda: not any(self._sees_up(node.name) for node in self.cluster.of_role("frontend")),
            10,
            f"{LOST} is seen to be down",
        )
        time.sleep(self.size.phase)
        self._no_trouble(self._others(died), "for accounts on the other backends")
        self.outcome.waited = len(self._queued())
        if not self.outcome.waited:
            raise Failed(f"no mail waits for {LOST}")
        told = Counter(trouble.what.split(": ", 1)[1][:60] for trouble in self.traffic.troubles)
        self.say(
            f"the frontends saw it within {self.outcome.noticed:.1f} s; "
            f"{self.outcome.waited} messages wait for it; clients of its accounts were told: "
            f"{', '.join(sorted(told)) or 'nothing yet'}"
        )
        return died

    def _a_sibling_takes_over(self, died: float) -> None:
        storage = self.cluster.nodes[LOST].folder / "storage"
        self.cluster.cgctl(SIBLING, "storage", "attach", str(storage))
        waiting = self._queued()
        start = time.monotonic()
        self.cluster.cgctl("d1", "failover", LOST, "--to", SIBLING)
        done = time.monotonic()
        self.outcome.failover = done - start
        wait_until(lambda: not waiting & self._queued(), 30, "the waiting mail is delivered")
        self.outcome.drained = time.monotonic() - done
        if self.outcome.drained > self.size.drain:
            raise Failed(
                f"the waiting mail was delivered after {self.outcome.drained:.1f} s, not {self.size.drain:g}"
            )
        account = next(each for each in self.traffic.accounts if each.host == LOST)
        with session(self.cluster.nodes["fe1"], account):
            pass
        after = time.monotonic()
        self.say(
            f"{SIBLING} has its storage, cgctl failover took {self.outcome.failover:.2f} s; "
            f"the waiting mail was delivered {self.outcome.drained:.2f} s later, "
            "and its accounts log in again"
        )
        time.sleep(self.size.phase)
        self._no_trouble(self._others(died), "for accounts on the other backends")
        self._no_trouble(self._since(after), "after the failover")

    def _the_backend_returns(self) -> None:
        """First the storage, then the server, then its accounts."""
        self.cluster.cgctl(SIBLING, "storage", "detach", LOST)
        self.cluster.start(LOST)
        self.cluster.cgctl("d1", "restore", LOST)
        restored = time.monotonic()
        account = next(each for each in self.traffic.accounts if each.host == LOST)
        wait_until(lambda: self._lets_in(account), 10, f"{account.name} logs in at {LOST} again")
        waiting = self._queued()
        wait_until(lambda: not waiting & self._queued(), 15, "what waited is delivered")
        settled = time.monotonic()
        self.say(f"{LOST} is back with its accounts {settled - restored:.1f} s after cgctl restore")
        time.sleep(self.size.phase)
        self._no_trouble(self._since(settled + 0.5), "after the restore")

    def _others_die(self) -> None:
        """Frontends and the directory, while mail comes in."""
        for name in ("fe1", "d1", "fe2"):
            self.cluster.kill(name)
            time.sleep(self.size.phase / 4)
            self.cluster.start(name)
            time.sleep(self.size.phase / 4)
        self.say("fe1, the directory and fe2 were killed and started again, one after the other")
        time.sleep(self.size.phase / 2)

    def _nothing_is_missing(self, accounts: Sequence[Address]) -> None:
        wait_until(lambda: not self._queued(), 60, "the queues are empty")
        expected = Counter(sent.id for sent in self.traffic.sent)
        found: Counter[str] = Counter()
        for account in accounts:
            found.update(ids_in(self.cluster.nodes["fe1"], account))
        missing = [message for message in expected if not found[message]]
        twice = [message for message, times in found.items() if times > 1 and message not in self.traffic.cut]
        outcome = self.outcome
        outcome.accepted, outcome.logins = len(expected), len(self.traffic.logins)
        outcome.duplicates, outcome.cut = len(twice), len(self.traffic.cut)
        self.say(
            f"{len(expected)} messages were accepted and {len(missing)} are missing; {len(twice)} came twice "
            f"(their LMTP reply was cut off); {len(self.traffic.cut)} were cut off while they were sent"
        )
        if missing:
            raise Failed(f"accepted and lost: {missing[:10]}")
        # One transaction at most on each connection that a kill has cut: 20 at once to a host.
        if len(twice) > 3 * 20:
            raise Failed(f"more came twice than kills can explain: {len(twice)}")

    # --- looking ------------------------------------------------------------------------

    def _status(self, node: str) -> dict[str, Any]:
        return ControlClient(_socket(self.cluster.nodes[node])).get("status")

    def _all_serve(self) -> bool:
        found = [self._status(name) for name in self.cluster.nodes if name != "d1"]
        return all(each["serves"] and all(host["up"] for host in each["hosts"].values()) for each in found)

    def _sees_up(self, frontend: str, host: str = LOST) -> bool:
        return bool(self._status(frontend)["hosts"][host]["up"])

    def _queued(self) -> set[str]:
        """The ids of what waits in both frontends."""
        found: set[str] = set()
        for node in self.cluster.of_role("frontend"):
            client = ControlClient(_socket(node))
            found |= {message["id"] for message in client.get("queue", limit=10_000)["messages"]}
        return found

    def _lets_in(self, account: Address) -> bool:
        try:
            with session(self.cluster.nodes["fe2"], account):
                pass
        except (OSError, imaplib.IMAP4.error):
            return False
        return True

    def _since(self, moment: float) -> list[Trouble]:
        return [trouble for trouble in self.traffic.troubles if trouble.at > moment]

    def _others(self, moment: float) -> list[Trouble]:
        return [trouble for trouble in self._since(moment) if trouble.account.host != LOST]

    def _no_trouble(self, troubles: Sequence[Trouble], when: str) -> None:
        if troubles:
            seen = Counter(trouble.what for trouble in troubles)
            raise Failed(f"{when} clients met errors: {seen.most_common(3)}")


def _socket(node: Node) -> Unix:
    return Unix(node.folder / "control")
