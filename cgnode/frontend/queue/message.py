"""A queued message in memory: what was accepted, and how far each recipient is.

What lives here: state, and what follows from it alone.  What must not: when anything is
tried (``schedule``), where it is kept (``spool``).

There may be hundreds of thousands of these, so they are small; contents stay on the disk.
"""

from __future__ import annotations

from enum import IntEnum
from functools import lru_cache
from math import inf
from sys import intern
from typing import TYPE_CHECKING, Final

from attrs import define, field

from cgnode.frontend.queue.errors import UnknownMessage
from cgnode.frontend.queue.log import Place
from cgnode.frontend.queue.values import Clock, Envelope, Reason
from cgnode.proto.smtp.address import Address
from cgnode.proto.smtp.envelope import Mail, MailParameters, Recipient, RecipientParameters

if TYPE_CHECKING:
    from cgnode.frontend.queue.lane import Lane


class Stage(IntEnum):
    """Where a recipient is on its way; not kept on disk: a start begins with DUE."""

    DUE = 0
    """to be routed"""
    ROUTING = 1
    """the shell is asked"""
    READY = 2
    """in line for its destination"""
    ACTIVE = 3
    """in an attempt"""
    DELAYED = 4
    """until ``next_try``; for ever, when the destination has to come back first"""
    HELD = 5
    """until an operator releases the message"""
    DONE = 6


NO_PARAMETERS: Final = RecipientParameters()
_NO_PLACE: Final = Place(0, 0, 0)

BUSY: Final = frozenset({Stage.DUE, Stage.ROUTING, Stage.READY, Stage.ACTIVE})


class Outcome(IntEnum):
    """As kept on disk."""

    PENDING = 0
    DELIVERED = 1
    RELAYED = 2
    FAILED = 3
    EXPANDED = 4


@define(eq=False, weakref_slot=False)
class Addressee:
    """A recipient and its state.  ``owed``: its outcome is still to be reported.
    ``goal``: as whom it was last routed; None: as itself.  ``next_try`` is monotonic."""

    recipient: Recipient
    outcome: Outcome = Outcome.PENDING
    owed: bool = False
    attempts: int = 0
    reason: Reason | None = None
    stage: Stage = Stage.DUE
    lane: Lane | None = None
    goal: Address | None = None
    next_try: float = inf

    @property
    def address(self) -> Address:
        return self.recipient.address


@define(eq=False, weakref_slot=False)
class Message:
    """``arrival`` is wall time, ``born`` the same moment on the monotonic clock; ``large``
    has its content in a file of its own.  ``timer``: when the schedule looks at it again.
    ``warn``: its sender is to be told of the delay now; ``warned``: was told.
    ``telling``: what its sender is told is being written.  ``kept``: how many of its
    recipients the log knows."""

    number: int
    mail: Mail
    addressees: tuple[Addressee, ...]
    arrival: float
    born: float
    client: str
    session: str
    size: int
    large: bool
    place: Place
    hold: bool = False
    warned: bool = False
    warn: bool = False
    telling: bool = False
    timer: float = inf
    kept: int = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.kept = len(self.addressees)

    @property
    def id(self) -> str:
        return id_of(self.number)

    @property
    def done(self) -> bool:
        return all(addressee.stage is Stage.DONE for addressee in self.addressees)

    @property
    def busy(self) -> bool:
        return any(addressee.stage in BUSY for addressee in self.addressees)

    @property
    def owing(self) -> bool:
        """Its sender is to be told something."""
        return self.warn or any(addressee.owed for addressee in self.addressees)


def new_message(number: int, size: int, large: bool, envelope: Envelope, clock: Clock) -> Message:
    """It is given its place when it is kept."""
    parameters = envelope.mail.parameters
    # Not a size that was announced, nor who vouched: neither is of use any more.
    kept = _shared(
        MailParameters(body=parameters.body, utf8=parameters.utf8, ret=parameters.ret, envid=parameters.envid)
    )
    return Message(
        number=number,
        mail=Mail(envelope.mail.sender, kept),
        addressees=tuple(Addressee(_compact(recipient)) for recipient in envelope.recipients),
        arrival=clock.wall(),
        born=clock.monotonic(),
        client=intern(envelope.client),
        session=envelope.session,
        size=size,
        large=large,
        place=_NO_PLACE,
        hold=envelope.hold,
    )


def _compact(recipient: Recipient) -> Recipient:
    """The same, with parts that many have in common."""
    address, parameters = recipient.address, recipient.parameters
    return Recipient(
        Address(address.local, intern(address.domain)),
        NO_PARAMETERS if parameters == NO_PARAMETERS else parameters,
    )


@lru_cache(256)
def _shared(parameters: MailParameters) -> MailParameters:
    return parameters


def id_of(number: int) -> str:
    return f"{number:x}"


def number_of(text: str) -> int:
    """The number behind an id; raises UnknownMessage if the text is none."""
    try:
        number = int(text, 16)
    except ValueError:
        number = -1
    if number < 0 or id_of(number) != text:
        raise UnknownMessage(f"{text}: not a message's id")
    return number
