"""Who the client is to a server, and what it may therefore say (RFC 3207, RFC 4954,
RFC 6409 section 4.3, Postfix's XCLIENT_README).

What lives here: what is offered and what is refused by TLS, identity and trust.  What
must not: what is in turn.
"""

from __future__ import annotations

from typing import Final

from cgnode.proto.smtp import answers
from cgnode.proto.smtp.commands import XCLIENT_ATTRIBUTES
from cgnode.proto.smtp.events import XClient
from cgnode.proto.smtp.reply import Reply
from cgnode.proto.smtp.states import Limits, Service, Verb

# Who may not say MAIL does not come to these, or they tell nothing.
_FREE: Final = frozenset({Verb.RCPT, Verb.DATA, Verb.BDAT, Verb.RSET, Verb.NOOP, Verb.HELP, Verb.QUIT})

_MAIL_PARAMETERS: Final = frozenset({"SIZE", "BODY", "SMTPUTF8"})
_DSN_MAIL_PARAMETERS: Final = frozenset({"RET", "ENVID"})
_DSN_RECIPIENT_PARAMETERS: Final = frozenset({"NOTIFY", "ORCPT"})


class Standing:
    """``identity`` is who the client has shown to be, "" for nobody; the shell may set it
    where it knows better.  ``hello`` is what the client calls itself, ``extended`` that
    it did so by EHLO or LHLO, ``proxied`` what XCLIENT said."""

    def __init__(self, service: Service, limits: Limits, secure: bool, identity: str) -> None:
        self.secure = secure
        self.identity = identity
        self.hello = ""
        self.extended = False
        self.proxied = XClient()
        self._service = service
        self._limits = limits
        self._rules = service.rules
        self._connected_as = identity
        self._xclient = service.xclient
        dsn = "DSN" in self._rules.extensions
        auth = frozenset({"AUTH"}) if service.mechanisms else frozenset()
        self.mail_parameters = _MAIL_PARAMETERS | auth | (_DSN_MAIL_PARAMETERS if dsn else frozenset())
        self.recipient_parameters = _DSN_RECIPIENT_PARAMETERS if dsn else frozenset()

    def now_secure(self, identity: str, xclient: bool | None) -> None:
        """The handshake is done: nothing that was said before it counts."""
        self.secure = True
        self._connected_as = identity
        if xclient is not None:
            self._xclient = xclient
        self.now_proxying(XClient())

    def now_proxying(self, client: XClient) -> None:
        """The client speaks for another: only what the connection itself shows is kept."""
        self.proxied = client
        self.identity = self._connected_as
        self.hello, self.extended = "", False

    def refusal(self, verb: Verb) -> Reply | None:
        """Why the client may not say this, at any turn; None when it may."""
        if verb in _FREE:
            return None
        match verb:
            case Verb.HELO | Verb.EHLO | Verb.LHLO:
                return None if verb in self._rules.hellos else answers.UNKNOWN
            case Verb.STARTTLS:
                if self.secure:
                    return answers.TLS_ACTIVE
                return None if self._service.start_tls else answers.NOT_HERE
            case Verb.XCLIENT:
                return None if self._xclient else answers.NOT_TRUSTED
            case Verb.AUTH:
                return self._auth_refusal()
            case _:
                if self._service.tls_required and not self.secure:
                    return answers.TLS_FIRST
                required = self._rules.auth_required or self._service.auth_required
                return answers.AUTH_FIRST if required and not self.identity else None

    def _auth_refusal(self) -> Reply | None:
        if not self._service.mechanisms:
            return answers.NOT_HERE
        if self.identity:
            return answers.AUTH_TWICE
        return None if self._auth_allowed else answers.AUTH_NEEDS_TLS

    @property
    def _auth_allowed(self) -> bool:
        return self.secure or (self._service.clear_auth and not self._service.tls_required)

    def greeting(self) -> Reply:
        return Reply(220, "", f"{self._service.hostname} {self._rules.protocol}")

    def answer_to_hello(self) -> Reply:
        """What can be had now, or to HELO only who answers.  Without enhanced codes
        (RFC 2034 section 4)."""
        service = self._service
        if not self.extended:
            return Reply(250, "", service.hostname)
        lines = [service.hostname, *self._rules.extensions, f"SIZE {self._limits.message_size}"]
        if service.start_tls and not self.secure:
            lines.append("STARTTLS")
        if self._auth_refusal() is None:
            lines.append(" ".join(("AUTH", *service.mechanisms)))
        if self._xclient:
            lines.append(" ".join(("XCLIENT", *XCLIENT_ATTRIBUTES)))
        return Reply(250, "", "\n".join(lines))
