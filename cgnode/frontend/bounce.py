"""Delivery status notifications: what a sender is told of a message's fate (RFC 3464; when
and how much, RFC 3461; with addresses beyond ASCII, RFC 6533).

What lives here: from fates to reports, each a message of its own.  What must not: the
queue, files, clocks.

- Nothing is ever reported to the null sender, and every report comes from it (RFC 3461
  section 6.1, RFC 5321 section 4.5.5).  So no report leads to another.
- What comes back of a message is put in as it is.  Taking a stranger's text apart, to put
  it together again, could only fail.
- What others have said (addresses, replies, ids) stands on one line each, so that it says
  no more than it should.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from email.generator import BytesGenerator
from email.message import Message
from email.mime.multipart import MIMEMultipart
from email.policy import compat32
from email.utils import formatdate
from enum import Enum
from io import BytesIO
from random import Random
from typing import Final

from attrs import frozen

from cgnode.frontend.queue.values import Reason
from cgnode.proto.smtp.address import Address
from cgnode.proto.smtp.envelope import (
    Body,
    Mail,
    MailParameters,
    Notify,
    Recipient,
    RecipientParameters,
    Return,
)

_MAX_TEXT: Final = 500
_MAX_HEADER: Final = 64 << 10
_POLICY: Final = compat32.clone(linesep="\r\n", cte_type="8bit")


class Action(Enum):
    """RFC 3464 section 2.3.3."""

    FAILED = "failed"
    DELAYED = "delayed"
    DELIVERED = "delivered"
    RELAYED = "relayed"
    EXPANDED = "expanded"


@frozen
class Fate:
    """What became of a recipient, and why.  ``until``: how long a delayed one is tried."""

    recipient: Recipient
    action: Action
    reason: Reason | None = None
    until: float | None = None


@frozen
class Original:
    """The message that is reported on."""

    id: str
    mail: Mail
    arrival: float
    size: int
    fates: tuple[Fate, ...]


@frozen
class Reporter:
    """Who reports.  A message of up to ``full`` octets comes back whole, if its sender
    did not ask for the header only."""

    host: str
    full: int = 50 << 10


@frozen
class Report:
    """A message to be queued."""

    mail: Mail
    recipient: Recipient
    content: bytes


def wanted(sender: Address | None, fate: Fate) -> bool:
    """Whether the sender is to be told of it (RFC 3461 section 4.1)."""
    if sender is None:
        return False
    notify = fate.recipient.parameters.notify
    match fate.action:
        case Action.FAILED:
            return not notify or Notify.FAILURE in notify
        case Action.DELAYED:
            return not notify or Notify.DELAY in notify
        case Action.DELIVERED | Action.RELAYED | Action.EXPANDED:
            return Notify.SUCCESS in notify


def reports(
    original: Original, read: Callable[[int], bytes], reporter: Reporter, now: float, random: Random
) -> Iterator[Report]:
    """The reports to be sent, one for each kind of news; none, often.  ``read`` gives the
    first so many octets of the original's text."""
    kinds = ((Action.FAILED,), (Action.DELAYED,), (Action.DELIVERED, Action.RELAYED, Action.EXPANDED))
    for actions in kinds:
        fates = [f for f in original.fates if f.action in actions and wanted(original.mail.sender, f)]
        if fates:
            yield _Composer(original, tuple(fates), reporter, now, random).report(read)


class _Composer:
    """One report.  ``utf8``: the original had SMTPUTF8, so its sender can be told in it."""

    def __init__(
        self, original: Original, fates: tuple[Fate, ...], reporter: Reporter, now: float, random: Random
    ) -> None:
        assert original.mail.sender is not None
        self._original = original
        self._fates = fates
        self._reporter = reporter
        self._now = now
        self._token = f"{random.getrandbits(128):032x}"
        self._utf8 = original.mail.parameters.utf8
        self._sender = original.mail.sender
        self._failed = fates[0].action is Action.FAILED
        self._verbatim: dict[bytes, bytes] = {}

    def report(self, read: Callable[[int], bytes]) -> Report:
        returned, whole = self._returned(read)
        content = self._compose(returned, whole)
        body = None if content.isascii() else Body.EIGHT_BIT
        mail = Mail(None, MailParameters(body=body, utf8=self._utf8))
        never = RecipientParameters(frozenset({Notify.NEVER}))
        return Report(mail, Recipient(self._sender, never), content)

    def _returned(self, read: Callable[[int], bytes]) -> tuple[bytes, bool]:
        """What comes back, and whether that is all.  RET is about failures; otherwise the
        header says enough (RFC 3461 section 4.3)."""
        whole = (
            self._failed
            and self._original.mail.parameters.ret is not Return.HEADERS
            and self._original.size <= self._reporter.full
        )
        if whole:
            return read(self._original.size), True
        text = read(min(_MAX_HEADER, self._original.size))
        header, empty, _ = text.partition(b"\r\n\r\n")
        if not empty:  # all of it is header, or the last line is cut
            header = text[: text.rfind(b"\r\n")] if b"\r\n" in text else b""
        return header + b"\r\n", False

    def _compose(self, returned: bytes, whole: bool) -> bytes:
        message = MIMEMultipart("report", self._token, policy=_POLICY)
        message.set_param("report-type", "global-delivery-status" if self._utf8 else "delivery-status")
        message["From"] = f"Mail Delivery System <MAILER-DAEMON@{self._reporter.host}>"
        message["To"] = _raw(str(self._sender))
        message["Date"] = formatdate(self._now)
        message["Message-ID"] = f"<{self._original.id}.{self._token}@{self._reporter.host}>"
        message["Subject"] = self._subject()
        # RFC 3834 section 5
        message["Auto-Submitted"] = "auto-replied"
        parts = (self._words(), self._status(), self._original_part(returned, whole))
        if not all(part["Content-Transfer-Encoding"] == "7bit" for part in parts):
            message["Content-Transfer-Encoding"] = "8bit"
        for part in parts:
            message.attach(part)
        out = BytesIO()
        BytesGenerator(out, mangle_from_=False, maxheaderlen=0, policy=_POLICY).flatten(message)
        text = out.getvalue()
        for placeholder, octets in self._verbatim.items():
            text = text.replace(placeholder, octets, 1)
        return text

    def _put(self, kind: str, octets: bytes) -> Message:
        """A part with these octets, whatever the email package would make of them: it sees
        something else in their place."""
        part = _part(kind, octets.isascii())
        placeholder = f"part-{len(self._verbatim)}-{self._token}"
        self._verbatim[placeholder.encode()] = octets
        part.set_payload(placeholder)
        return part

    def _subject(self) -> str:
        match self._fates[0].action:
            case Action.FAILED:
                return "Undelivered mail returned to sender"
            case Action.DELAYED:
                return "Delayed mail (it is still being tried)"
            case Action.DELIVERED | Action.RELAYED | Action.EXPANDED:
                return "Successful mail delivery report"

    # --- the parts ---------------------------------------------------------------------

    def _words(self) -> Message:
        """For people."""
        lines = [f"This is the mail system at {self._reporter.host}.", "", *self._introduction(), ""]
        for fate in self._fates:
            lines.append(f"<{self._line(str(fate.recipient.address))}>{self._known_as(fate)}")
            lines += [f"    {line}" for line in self._because(fate)]
            lines.append("")
        text = "\n".join(lines)
        charset = "us-ascii" if text.isascii() else "utf-8"
        part = _part(f'text/plain; charset="{charset}"', text.isascii())
        part.set_payload(_raw(text))
        return part

    def _introduction(self) -> tuple[str, ...]:
        match self._fates[0].action:
            case Action.FAILED:
                return ("Your message could not be delivered to the recipients below.", "It is attached.")
            case Action.DELAYED:
                return (
                    "Your message has not been delivered to the recipients below yet.",
                    "It is still being tried; there is no need to send it again.",
                )
            case Action.DELIVERED | Action.RELAYED | Action.EXPANDED:
                return ("As you asked to be told: your message has been delivered, or passed on.",)

    def _known_as(self, fate: Fate) -> str:
        orcpt = fate.recipient.parameters.orcpt
        if orcpt is None or orcpt.address == str(fate.recipient.address):
            return ""
        return f" (sent to <{self._line(orcpt.address)}>)"

    def _because(self, fate: Fate) -> Iterator[str]:
        match fate.action:
            case Action.DELIVERED:
                yield "delivered"
            case Action.RELAYED:
                yield "passed on to a mail system that may report no more about it"
            case Action.EXPANDED:
                yield "passed on to the members of a group"
            case Action.FAILED | Action.DELAYED:
                if _gave_up(fate):
                    yield "it was tried for as long as messages are kept; the last time:"
                yield self._line(str(fate.reason)) if fate.reason is not None else "not known why"
        if fate.until is not None:
            yield f"it is tried until {formatdate(fate.until)}"

    def _status(self) -> Message:
        """For programs: a block of fields about the message, and one for each recipient."""
        blocks = [self._about_message(), *(self._about(fate) for fate in self._fates)]
        if self._utf8:
            lines = ((*(f"{name}: {value}" for name, value in block), "") for block in blocks)
            text = "\r\n".join(line for block in lines for line in block)
            return self._put("message/global-delivery-status", text.encode())
        part = _part("message/delivery-status", True)
        for block in blocks:
            fields = Message(policy=_POLICY)
            for name, value in block:
                fields[name] = value
            part.attach(fields)
        return part

    def _about_message(self) -> list[tuple[str, str]]:
        fields = [("Reporting-MTA", f"dns; {self._reporter.host}")]
        if self._original.mail.parameters.envid:
            fields.append(("Original-Envelope-Id", self._line(self._original.mail.parameters.envid)))
        fields.append(("X-Queue-Id", self._original.id))
        fields.append(("Arrival-Date", formatdate(self._original.arrival)))
        return fields

    def _about(self, fate: Fate) -> list[tuple[str, str]]:
        fields: list[tuple[str, str]] = []
        parameters, address = fate.recipient.parameters, str(fate.recipient.address)
        if parameters.orcpt is not None:
            original = f"{parameters.orcpt.type}; {parameters.orcpt.address}"
            fields.append(("Original-Recipient", self._line(original)))
        kind = "rfc822" if address.isascii() else "utf-8"
        fields.append(("Final-Recipient", self._line(f"{kind}; {address}")))
        fields.append(("Action", fate.action.value))
        fields.append(("Status", _status_code(fate)))
        if fate.reason is not None:
            if fate.reason.host:
                fields.append(("Remote-MTA", self._line(f"dns; {fate.reason.host}")))
                fields.append(("Diagnostic-Code", self._line(f"smtp; {fate.reason.reply}")))
            else:
                fields.append(("Diagnostic-Code", self._line(f"x-cgnode; {fate.reason.reply}")))
        if fate.until is not None:
            fields.append(("Will-Retry-Until", formatdate(fate.until)))
        return fields

    def _original_part(self, returned: bytes, whole: bool) -> Message:
        if self._utf8:
            kind = "message/global" if whole else "message/global-headers"
        else:
            kind = "message/rfc822" if whole else "text/rfc822-headers"
        return self._put(kind, returned)

    def _line(self, text: str) -> str:
        """On one line, of bounded length, in ASCII unless the sender knows UTF-8."""
        text = " ".join(_CONTROL.sub(" ", text).split())[:_MAX_TEXT]
        return text if self._utf8 else text.encode("ascii", "replace").decode("ascii")


_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_ENHANCED: Final = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}")


def _gave_up(fate: Fate) -> bool:
    """It failed although the last reason was none to fail for good: its time was over."""
    return fate.action is Action.FAILED and fate.reason is not None and fate.reason.reply.temporary


def _status_code(fate: Fate) -> str:
    """RFC 3463."""
    match fate.action:
        case Action.DELIVERED | Action.RELAYED | Action.EXPANDED:
            return "2.0.0"
        case Action.DELAYED:
            category = "4"
        case Action.FAILED:
            if _gave_up(fate):
                return "4.4.7"
            category = "5"
    enhanced = "" if fate.reason is None else fate.reason.reply.enhanced
    good = _ENHANCED.fullmatch(enhanced) is not None and enhanced[0] == category
    return enhanced if good else f"{category}.0.0"


def _part(kind: str, ascii_only: bool) -> Message:
    part = Message(policy=_POLICY)
    part["Content-Type"] = kind
    part["Content-Transfer-Encoding"] = "7bit" if ascii_only else "8bit"
    return part


def _raw(text: str) -> str:
    """As the email package takes octets that it is to leave alone."""
    return text.encode().decode("ascii", "surrogateescape")
