"""The Router, one for mail and logins: from an address to what is behind it.

Pure: what is known of domains, accounts and servers is asked of a ``Lookup``.  Each step
is recorded, so that an operator can be shown the way.  Never raises, and never goes on for
ever: an address that comes back on its own way is a loop, and the hops and a group's
recipients are bounded.

The rules, in their order, for ``local@domain``: an alias of a domain becomes the domain;
in a domain of ours, and in a server's own name, ``local%domain1`` becomes
``local@domain1``; a server's name is blanked, and a name without a domain is in the
default one; then aliases, forwarders and groups lead on, until there is an account or a
domain that is not ours.
"""

from __future__ import annotations

from typing import Final, Protocol, TypeAlias, TypeVar, assert_never

from attrs import define, evolve, field, frozen

from cgnode.names import Address, BadName, parse_address, parse_login

MOST_HOPS: Final = 50
MOST_RECIPIENTS: Final = 10_000


# --- what is asked ----------------------------------------------------------------------


@frozen
class DomainRecord:
    name: str


@frozen
class DomainAlias:
    """``target`` is a domain's name; None where the alias leads out of the domains."""

    name: str
    target: str | None


@frozen
class AccountRecord:
    dn: str
    address: Address
    host: str | None
    old_host: str | None = None


@frozen
class AliasRecord:
    """``target`` is the address of what the alias's DN names; None where that is none."""

    dn: str
    target: Address | None


@frozen
class GroupRecord:
    """``members`` are addresses as they were written."""

    dn: str
    address: Address
    members: tuple[str, ...]


@frozen
class ForwarderRecord:
    dn: str
    target: str


Record: TypeAlias = AccountRecord | AliasRecord | GroupRecord | ForwarderRecord


class Lookup(Protocol):
    """One state of what routing needs to know.  Names are in lower case."""

    def domain(self, name: str) -> DomainRecord | DomainAlias | None: ...

    def record(self, name: str, domain: str) -> Record | None:
        """What stands under a name in a domain of ours; None for any text that is no name."""
        ...

    def is_member(self, name: str) -> bool:
        """Whether a server of the cluster has this name."""
        ...


# --- what comes of it -------------------------------------------------------------------


@frozen
class Account:
    """An account here, on a server that is a member."""

    dn: str
    address: Address
    host: str


@frozen
class Remote:
    """An address in a domain that is not ours.  ``forwarded`` tells that a forwarder or
    group of ours leads there; otherwise it is the sender's wish, and relaying."""

    address: Address
    forwarded: bool = False


@frozen
class Unknown:
    """There is no such thing here: 550 for mail, a plain failure for a login."""

    address: str
    reason: str


@frozen
class NoHost:
    """An account whose server is missing or not a member: a temporary error and an alarm."""

    dn: str
    address: Address
    host: str | None

    @property
    def reason(self) -> str:
        return f"its server {self.host} is not a member" if self.host else "it has no server (hostServer)"


@frozen
class Loop:
    """The way comes back to itself, or goes too far."""

    address: str
    reason: str


Single: TypeAlias = Account | Remote | Unknown | NoHost | Loop


@frozen
class Group:
    """A group's recipients, each once; never empty."""

    dn: str
    address: Address
    recipients: tuple[Single, ...]


Outcome: TypeAlias = Single | Group


@frozen
class Step:
    """``address`` led to ``result`` by ``rule``."""

    address: str
    rule: str
    result: str

    def __str__(self) -> str:
        return f"{self.address}: {self.rule}: {self.result}"


@frozen
class Routed:
    outcome: Outcome
    steps: tuple[Step, ...]


# --- the way ----------------------------------------------------------------------------


@frozen
class Router:
    """``default_domain`` is where names without a domain are; ``own_names`` are names of
    this server besides those of members, blanked like these."""

    lookup: Lookup
    default_domain: str = ""
    own_names: frozenset[str] = frozenset()

    def route(self, text: str) -> Routed:
        """Where mail to an address goes."""
        steps: list[Step] = []
        try:
            address = parse_address(text)
        except BadName as error:
            return Routed(Unknown(text, str(error)), (Step(text, "address", str(error)),))
        return Routed(_Way(self, steps).outcome(address), tuple(steps))

    def login(self, text: str) -> Routed:
        """Whose account a client's user name means: Account, NoHost or Unknown."""
        steps: list[Step] = []
        try:
            address = parse_login(text)
        except BadName as error:
            return Routed(Unknown(text, str(error)), (Step(text, "login", str(error)),))
        way = _Way(self, steps)
        found = way.follow(address, forwarded=False)
        match found:
            case Account() | NoHost() | Unknown():
                outcome: Outcome = found
            case Loop(where, reason):
                outcome = Unknown(where, reason)
            case Remote():
                outcome = Unknown(text, "not an account here")
            case GroupRecord():
                outcome = Unknown(text, "a group, which nobody logs in to")
            case _:
                assert_never(found)
        if way.forwarded and not isinstance(outcome, Unknown):
            # Mail may be led to somebody's mailbox; who may open it is another matter.
            outcome = Unknown(text, "a forwarder, which nobody logs in to")
        return Routed(outcome, tuple(steps))


_S = TypeVar("_S", Account, Remote, Unknown, NoHost, Loop)


@define
class _Way:
    """One routing.  ``forwarded``: the last ``follow`` went through a forwarder."""

    router: Router
    steps: list[Step]
    forwarded: bool = False

    def outcome(self, address: Address) -> Outcome:
        found = self.follow(address, forwarded=False)
        return _Expansion(self).expand(found) if isinstance(found, GroupRecord) else found

    def follow(self, address: Address, *, forwarded: bool) -> Single | GroupRecord:
        """The end of an address's way, or the group that it leads to."""
        self.forwarded = forwarded
        seen: set[tuple[str, str]] = set()
        found: Address | Single | GroupRecord = address
        while isinstance(found, Address):
            if found.key in seen:
                return self._end(found, "loop", Loop(str(found), "the way comes back to it"))
            if len(seen) == MOST_HOPS:
                return self._end(found, "loop", Loop(str(address), f"more than {MOST_HOPS} hops"))
            seen.add(found.key)
            found = self._hop(found)
        return found

    def _hop(self, address: Address) -> Address | Single | GroupRecord:
        router = self.router
        if not address.domain:
            return self._without_domain(address)
        known = router.lookup.domain(address.domain)
        if isinstance(known, DomainAlias):
            if known.target is None:
                reason = f"the domain alias {known.name} leads nowhere"
                return self._end(address, "domain alias", Unknown(str(address), reason))
            return self._on(address, "domain alias", evolve(address, domain=known.target))
        if known is None:
            if address.domain not in router.own_names and not router.lookup.is_member(address.domain):
                return self._end(address, "not our domain", Remote(address, self.forwarded))
            if "%" not in address.local:
                return self._on(address, "own name blanked", evolve(address, domain=""))
        if "%" in address.local:
            return self._percent(address)
        return self._in_domain(address)

    def _percent(self, address: Address) -> Address | Unknown:
        local, _, domain = address.local.rpartition("%")
        try:
            # As text again, so that it is held to what an address may be.
            return self._on(address, "% notation", parse_address(f"{Address(local, '')}@{domain}"))
        except BadName:
            return self._end(address, "% notation", Unknown(str(address), "no address behind the %"))

    def _without_domain(self, address: Address) -> Address | Unknown:
        if "%" in address.local:
            return self._percent(address)
        default = self.router.default_domain
        if not default:
            return self._end(address, "no domain", Unknown(str(address), "a name without a domain"))
        return self._on(address, "default domain", evolve(address, domain=default))

    def _in_domain(self, address: Address) -> Address | Single | GroupRecord:
        found = self.router.lookup.record(address.local.lower(), address.domain)
        match found:
            case None:
                reason = f"there is no {address.local} in {address.domain}"
                return self._end(address, "our domain", Unknown(str(address), reason))
            case AccountRecord():
                return self._account(address, found)
            case AliasRecord():
                if found.target is None:
                    return self._end(address, "alias", Unknown(str(address), "an alias that leads nowhere"))
                return self._on(address, "alias", found.target)
            case ForwarderRecord():
                return self._forward(address, found)
            case GroupRecord():
                self._note(address, "group", f"{len(found.members)} members")
                return found
            case _:
                assert_never(found)

    def _account(self, address: Address, record: AccountRecord) -> Account | NoHost:
        host = record.host
        if host is None or not self.router.lookup.is_member(host):
            return self._end(address, "account", NoHost(record.dn, record.address, host))
        return self._end(address, "account", Account(record.dn, record.address, host.lower()))

    def _forward(self, address: Address, record: ForwarderRecord) -> Address | Unknown:
        self.forwarded = True
        try:
            return self._on(address, "forwarder", parse_address(record.target))
        except BadName as error:
            return self._end(address, "forwarder", Unknown(str(address), f"a forwarder to nowhere: {error}"))

    def _on(self, address: Address, rule: str, to: Address) -> Address:
        self._note(address, rule, str(to))
        return to

    def _end(self, address: Address, rule: str, outcome: _S) -> _S:
        self._note(address, rule, told(outcome))
        return outcome

    def _note(self, address: Address, rule: str, result: str) -> None:
        self.steps.append(Step(str(address), rule, result))


@define
class _Expansion:
    """A group's members, and those of groups in it, each once.  A group that is met again
    adds nothing; one whose only members are itself is a loop."""

    way: _Way
    groups: set[str] = field(factory=set)
    found: dict[object, Single] = field(factory=dict)
    met_again: bool = False

    def expand(self, group: GroupRecord) -> Group | Unknown | Loop:
        where = str(group.address)
        waiting = [group]
        while waiting:
            if not self._members(waiting.pop(), waiting):
                return Loop(where, f"a group of more than {MOST_RECIPIENTS:,} recipients")
        if self.found:
            return Group(group.dn, group.address, tuple(self.found.values()))
        if self.met_again:
            return Loop(where, "the group has no members but itself")
        return Unknown(where, "the group has no members")

    def _members(self, group: GroupRecord, waiting: list[GroupRecord]) -> bool:
        """False when there are too many."""
        key = group.dn.lower()
        if key in self.groups:
            self.met_again = True
            self.way.steps.append(Step(str(group.address), "group", "was expanded already"))
            return True
        self.groups.add(key)
        for text in group.members:
            if len(self.found) + len(self.groups) + len(waiting) > MOST_RECIPIENTS:
                return False
            single = self._member(text)
            if isinstance(single, GroupRecord):
                waiting.append(single)
            else:
                self.found.setdefault(_identity(single), single)
        return True

    def _member(self, text: str) -> Single | GroupRecord:
        try:
            address = parse_address(text)
        except BadName as error:
            return Unknown(text, str(error))
        return self.way.follow(address, forwarded=True)


def _identity(single: Single) -> object:
    """Equal for what is the same recipient."""
    match single:
        case Account(dn) | NoHost(dn):
            return dn
        case Remote(address):
            # Whether case matters in a local part that is not ours, its owner says.
            return (address.local, address.domain)
        case Unknown(address) | Loop(address):
            return ("", address)
        case _:
            assert_never(single)


def told(outcome: Outcome) -> str:
    """An outcome in a line."""
    match outcome:
        case Account(dn, _, host):
            return f"account {dn} on {host}"
        case Remote(address, forwarded):
            return f"{address}, elsewhere" + (", forwarded" if forwarded else "")
        case Group(dn, _, recipients):
            return f"group {dn}, {len(recipients)} recipients"
        case NoHost(dn):
            return f"account {dn}, unavailable: {outcome.reason}"
        case Unknown(_, reason):
            return f"unknown: {reason}"
        case Loop(_, reason):
            return f"loop: {reason}"
        case _:
            assert_never(outcome)
