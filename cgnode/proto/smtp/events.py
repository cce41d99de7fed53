"""What a server asks of its shell.

Next to each kind stands how it is answered.  What has no answer is only to be done.
Besides these, an authentication's steps are events: ``sasl.Credentials`` and
``sasl.Proven`` (``authenticated`` or ``refuse``), ``sasl.KeysWanted`` (``keys`` or
``refuse``).
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import TypeAlias

from attrs import field, frozen

from cgnode.proto.sasl import Credentials, KeysWanted, Proven
from cgnode.proto.smtp.envelope import Mail, Recipient
from cgnode.proto.smtp.states import Verb


@frozen
class Hello:
    """HELO, EHLO or LHLO: ``accept`` or ``refuse``."""

    verb: Verb
    name: str


@frozen
class XClient:
    """What a trusted proxy says of the real client (Postfix's XCLIENT_README): ``accept``
    or ``refuse``.  All that was said since the connection began; None and "" are for what
    was not said, or is not known."""

    name: str = ""
    address: IPv4Address | IPv6Address | None = None
    port: int | None = None
    protocol: str = ""
    helo: str = ""
    login: str = ""
    destination: IPv4Address | IPv6Address | None = None
    destination_port: int | None = None


@frozen
class MessageBegin:
    """A message's text is about to come for these recipients, who were accepted one by
    one: ``accept`` or ``refuse``."""

    mail: Mail
    recipients: tuple[Recipient, ...]


@frozen
class Chunk:
    """More of the text, which has CRLF at the ends of its lines.  No answer."""

    data: bytes = field(repr=False)


@frozen
class MessageEnd:
    """All of it has come: ``finish``."""

    size: int


@frozen
class MessageAbort:
    """The message that was begun will not be taken; forget it.  No answer, and no
    MessageEnd."""

    reason: str


@frozen
class StartTLS:
    """Send ``answer`` and begin the handshake: ``starttls_done``, or the end."""

    answer: bytes


@frozen
class Closed:
    """The end: send ``last_words`` and close.  ``reason`` is for the log; "" when the
    client said good-bye."""

    last_words: bytes
    reason: str


Question: TypeAlias = (
    Hello | XClient | Credentials | KeysWanted | Proven | Mail | Recipient | MessageBegin | MessageEnd
)
"""Events behind which everything waits until they are answered."""

Event: TypeAlias = Question | bytes | Chunk | MessageAbort | StartTLS | Closed
"""``bytes`` is an answer that is ready to be sent."""
