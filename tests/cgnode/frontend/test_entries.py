from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cgnode.frontend.queue import entries
from cgnode.frontend.queue.errors import UnknownMessage
from cgnode.frontend.queue.log import Place
from cgnode.frontend.queue.message import Addressee, Message, Outcome, Stage, id_of, number_of
from cgnode.frontend.queue.values import Reason
from cgnode.proto.smtp.address import Address
from cgnode.proto.smtp.envelope import (
    Body,
    Mail,
    MailParameters,
    Notify,
    OriginalRecipient,
    Recipient,
    RecipientParameters,
    Return,
)
from cgnode.proto.smtp.reply import Reply

texts = st.text(max_size=20)
domains = st.sampled_from(["example.com", "[IPv6:::1]", "bücher.example", ""])
addresses = st.builds(Address, texts, domains)
recipients = st.builds(
    Recipient,
    addresses,
    st.builds(
        RecipientParameters,
        st.frozensets(st.sampled_from(Notify)),
        st.none() | st.builds(OriginalRecipient, texts, texts),
    ),
)
reasons = st.builds(Reason, st.builds(Reply, st.integers(400, 599), texts, texts), texts)
numbers = st.integers(0, 2**60)


def addressee(recipient: Recipient, outcome: Outcome, owed: bool, attempts: int, reason: Reason) -> Addressee:
    stage = Stage.DUE if outcome is Outcome.PENDING else Stage.DONE
    return Addressee(recipient, outcome, owed, attempts, reason, stage)


addressees = st.builds(
    addressee, recipients, st.sampled_from(Outcome), st.booleans(), st.integers(0, 99), st.none() | reasons
)
messages = st.builds(
    Message,
    number=numbers,
    mail=st.builds(
        Mail,
        st.none() | addresses,
        st.builds(
            MailParameters,
            body=st.none() | st.sampled_from(Body),
            utf8=st.booleans(),
            ret=st.none() | st.sampled_from(Return),
            envid=texts,
        ),
    ),
    addressees=st.lists(addressees, min_size=1, max_size=4).map(tuple),
    arrival=st.floats(0, 1e10),
    born=st.just(0.0),
    client=texts,
    session=texts,
    size=numbers,
    large=st.booleans(),
    place=st.just(Place(1, 2, 3)),
    hold=st.booleans(),
    warned=st.booleans(),
)


def fields(message: Message) -> list[object]:
    listed: list[object] = []
    for name in ("number", "mail", "arrival", "client", "session", "size", "large", "hold", "warned"):
        listed.append(getattr(message, name))
    listed += [state(one) for one in message.addressees]
    return listed


def state(value: Addressee) -> tuple[object, ...]:
    return value.recipient, value.outcome, value.owed, value.attempts, value.reason, value.stage


@settings(max_examples=40)
@given(messages, st.integers(0, 1000))
def test_a_message_comes_back(message: Message, offset: int) -> None:
    [entry] = entries.unpack(entries.pack([entries.message(message, offset)]))
    parsed = entries.parse_message(entry, 5, 100, 60, 0.0)
    assert fields(parsed) == fields(message)
    assert parsed.place == Place(5, 100 + offset, 60)


@settings(max_examples=40)
@given(messages, st.data())
def test_a_change_comes_back(message: Message, data: st.DataObject) -> None:
    [before] = entries.unpack(entries.pack([entries.message(message)]))
    copy = entries.parse_message(before, 1, 0, 0, 0.0)
    changed = data.draw(st.sets(st.sampled_from(range(len(message.addressees)))))
    for index in changed:
        other = data.draw(addressees)
        target = message.addressees[index]
        target.outcome, target.owed, target.stage = other.outcome, other.owed, other.stage
        target.attempts, target.reason = other.attempts, other.reason
    message.hold, message.warned = data.draw(st.booleans()), data.draw(st.booleans())
    [entry] = entries.unpack(entries.pack([entries.change(message, changed)]))
    entries.apply_change(copy, entry)
    assert fields(copy) == fields(message)


@settings(max_examples=40)
@given(messages)
def test_what_was_told_is_owed_no_more(message: Message) -> None:
    indexes = [index for index, one in enumerate(message.addressees) if one.owed]
    [entry] = entries.unpack(entries.pack([entries.told(message, indexes, True)]))
    entries.apply_change(message, entry)
    assert message.warned
    assert not any(one.owed for one in message.addressees)


@given(numbers)
def test_ids(number: int) -> None:
    assert number_of(id_of(number)) == number


@pytest.mark.parametrize("text", ["", "x", "-1", "0x10", "ABC", " 1", "01", "1_0", "٣"])
def test_what_is_no_id(text: str) -> None:
    with pytest.raises(UnknownMessage):
        number_of(text)
