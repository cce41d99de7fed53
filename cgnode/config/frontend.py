"""The section [frontend]: where clients come in, what they may do, and the queue's habits."""

from __future__ import annotations

from pathlib import Path

from attrs import field, frozen

from cgnode.config.common import Network, endpoint, network, path_in, read_listeners
from cgnode.frontend.queue.policy import Limits, Policy
from cgnode.listeners import MailListener, mail_listener
from cgnode.members import Endpoint
from cgnode.tables import Table, above_zero, boolean, duration, size, text, whole_number

SCHEMES = ("imap", "imaps", "pop3", "pop3s", "smtp", "submission", "submissions")


@frozen
class LoginLimits:
    """Of IMAP and POP3: seconds until a client is logged in (``time``) and without a word
    (``idle``); for one step of the log-in at a backend (``connect``) and all of them
    (``proxy``); numbers of connections; and how long a wrong password waits.  ``scram``:
    SCRAM-SHA-256 is offered, here and for submission."""

    time: float = 60.0
    idle: float = 1860.0
    connect: float = 3.0
    proxy: float = 30.0
    per_user_and_address: int = 10
    per_address: int = 100
    connections: int = 10_000
    failure_delay: float = 2.0
    scram: bool = True


@frozen
class SmtpConfig:
    """Of SMTP and submission: octets, numbers, messages per minute from one address (0: any
    number), seconds.  Without a ``smart_host`` mail for others goes by their MX."""

    max_size: int = 10_240_000
    max_recipients: int = 1000
    max_errors: int = 20
    rate: int = 0
    connections: int = 1000
    per_address: int = 50
    sender_check: bool = True
    timeout: float = 300.0
    smart_host: Endpoint | None = None
    smart_host_user: str = ""
    smart_host_password_file: Path | None = None


def _default_listen() -> tuple[MailListener, ...]:
    ports = {"imap": 1143, "pop3": 1110, "smtp": 1025, "submission": 1587}
    return tuple(MailListener(scheme, "127.0.0.1", port) for scheme, port in ports.items())


@frozen
class FrontendConfig:
    """The section.  ``proxy_networks`` send a PROXY header, ``xclient_networks`` may say
    XCLIENT; ``clear_text``: passwords may come without TLS, beyond this machine."""

    listen: tuple[MailListener, ...] = field(factory=_default_listen)
    proxy_networks: tuple[Network, ...] = ()
    xclient_networks: tuple[Network, ...] = ()
    clear_text: bool = False
    login: LoginLimits = LoginLimits()
    smtp: SmtpConfig = SmtpConfig()
    queue_policy: Policy = Policy()
    queue_limits: Limits = Limits()


def read_frontend(table: Table, folder: Path) -> FrontendConfig:
    queue = table.take_table("queue")
    frontend = FrontendConfig(
        listen=read_listeners(table, mail_listener(SCHEMES), _default_listen()),
        proxy_networks=table.take_list("proxy_networks", network, ()),
        xclient_networks=table.take_list("xclient_networks", network, ()),
        clear_text=table.take("clear_text", boolean, False),
        login=_login(table.take_table("login")),
        smtp=_smtp(table.take_table("smtp"), folder),
        queue_policy=_policy(queue),
        queue_limits=_limits(queue),
    )
    queue.done()
    table.done()
    return frontend


def _login(table: Table) -> LoginLimits:
    default = LoginLimits()
    login = LoginLimits(
        time=table.take("time", above_zero(duration), default.time),
        idle=table.take("idle", above_zero(duration), default.idle),
        connect=table.take("connect", above_zero(duration), default.connect),
        proxy=table.take("proxy", above_zero(duration), default.proxy),
        per_user_and_address=table.take("per_user_and_address", whole_number, default.per_user_and_address),
        per_address=table.take("per_address", above_zero(whole_number), default.per_address),
        connections=table.take("connections", above_zero(whole_number), default.connections),
        failure_delay=table.take("failure_delay", duration, default.failure_delay),
        scram=table.take("scram", boolean, default.scram),
    )
    table.done()
    return login


def _smtp(table: Table, folder: Path) -> SmtpConfig:
    default = SmtpConfig()
    smtp = SmtpConfig(
        max_size=table.take("max_size", size, default.max_size),
        max_recipients=table.take("max_recipients", whole_number, default.max_recipients),
        max_errors=table.take("max_errors", whole_number, default.max_errors),
        rate=table.take("rate", whole_number, default.rate),
        connections=table.take("connections", above_zero(whole_number), default.connections),
        per_address=table.take("per_address", above_zero(whole_number), default.per_address),
        sender_check=table.take("sender_check", boolean, True),
        timeout=table.take("timeout", above_zero(duration), default.timeout),
        smart_host=table.take("smart_host", endpoint, None),
        smart_host_user=table.take("smart_host_user", text, ""),
        smart_host_password_file=table.take("smart_host_password_file", path_in(folder), None),
    )
    table.done()
    if smtp.max_recipients < 100:
        raise table.error("max_recipients", "fewer than 100 is not allowed (RFC 5321 section 4.5.3.1.8)")
    if bool(smtp.smart_host_user) is not (smtp.smart_host_password_file is not None):
        raise table.error("smart_host_user", "goes with smart_host_password_file; give both or neither")
    if smtp.smart_host_user and smtp.smart_host is None:
        raise table.error("smart_host_user", "needs smart_host")
    return smtp


def _policy(table: Table) -> Policy:
    default = Policy()
    concurrency = table.take("concurrency", above_zero(whole_number), default.concurrency)
    policy = Policy(
        minimum_delay=table.take("minimum_delay", above_zero(duration), default.minimum_delay),
        maximum_delay=table.take("maximum_delay", above_zero(duration), default.maximum_delay),
        lifetime=table.take("lifetime", above_zero(duration), default.lifetime),
        warn_after=table.take("warn_after", duration, default.warn_after),
        concurrency=concurrency,
        first_concurrency=min(default.first_concurrency, concurrency),
        pace=table.take("pace", above_zero(whole_number), default.pace),
    )
    if policy.minimum_delay > policy.maximum_delay:
        raise table.error("minimum_delay", "is more than maximum_delay; make it less")
    if policy.warn_after is not None and policy.warn_after >= policy.lifetime:
        raise table.error("warn_after", "is not before the end of lifetime; make it less")
    return policy


def _limits(table: Table) -> Limits:
    default = Limits()
    return Limits(
        free=table.take("free", size, default.free),
        messages=table.take("messages", above_zero(whole_number), default.messages),
        recipients=table.take("recipients", above_zero(whole_number), default.recipients),
    )
