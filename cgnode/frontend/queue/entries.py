"""What the log's frames say: a list of entries in JSON.

    {"k": "message", "n": number, ...}  a message as it is; whatever was said before is void
    {"k": "change", "n": number, ...}   recipients, by index, and flags that have changed;
                                        recipients that have come to it, from an index on
    {"k": "end", "n": number}           the message is gone
    {"k": "last", "n": number}          numbers up to this one have been given

What lives here: these to values and back.  What must not: where they are kept.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import lru_cache
from sys import intern
from typing import Any, Final

from cgnode.frontend.queue.log import Place
from cgnode.frontend.queue.message import NO_PARAMETERS, Addressee, Message, Outcome, Stage
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

Entry = dict[str, Any]

_encode: Final = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode
_decode: Final = json.JSONDecoder().decode


def pack(entries: Iterable[Entry]) -> bytes:
    return _encode(list(entries)).encode()


def unpack(meta: bytes) -> list[Entry]:
    entries: list[Entry] = _decode(meta.decode())
    return entries


def end(number: int) -> Entry:
    return {"k": "end", "n": number}


def last(number: int) -> Entry:
    return {"k": "last", "n": number}


# --- messages --------------------------------------------------------------------------


def message(value: Message, offset: int = 0) -> Entry:
    """``offset``: where in the frame's body the content begins, unless it is large."""
    entry: Entry = {"k": "message", "n": value.number, "at": value.arrival, "size": value.size}
    parameters = value.mail.parameters
    optional = {
        "from": None if value.mail.sender is None else _address(value.mail.sender),
        "offset": offset,
        "large": value.large,
        "client": value.client,
        "session": value.session,
        "hold": value.hold,
        "warned": value.warned,
        "body": None if parameters.body is None else parameters.body.value,
        "utf8": parameters.utf8,
        "ret": None if parameters.ret is None else parameters.ret.value,
        "envid": parameters.envid,
    }
    entry.update((key, field) for key, field in optional.items() if field)
    entry["to"] = [_addressee(addressee) for addressee in value.addressees]
    return entry


def parse_message(entry: Entry, segment: int, body: int, octets: int, born: float) -> Message:
    """``body``: where in the segment the frame's body begins."""
    sender = entry.get("from")
    place = Place(segment, body + entry.get("offset", 0), octets)
    return Message(
        number=entry["n"],
        mail=Mail(None if sender is None else _parse_address(sender), _parse_parameters(entry)),
        addressees=tuple(_parse_addressee(fields) for fields in entry["to"]),
        arrival=entry["at"],
        born=born,
        client=intern(entry.get("client", "")),
        session=entry.get("session", ""),
        size=entry["size"],
        large=entry.get("large", False),
        place=place,
        hold=entry.get("hold", False),
        warned=entry.get("warned", False),
    )


def _parse_parameters(entry: Entry) -> MailParameters:
    body, ret = entry.get("body"), entry.get("ret")
    return _parameters(body, entry.get("utf8", False), ret, entry.get("envid", ""))


@lru_cache(256)
def _parameters(body: str | None, utf8: bool, ret: str | None, envid: str) -> MailParameters:
    return MailParameters(
        body=None if body is None else Body(body),
        utf8=utf8,
        ret=None if ret is None else Return(ret),
        envid=envid,
    )


# --- recipients ------------------------------------------------------------------------


def _addressee(value: Addressee) -> Any:
    """The address alone, where there is no more to say."""
    address, parameters = _address(value.address), value.recipient.parameters
    state = _state(value)
    if parameters == NO_PARAMETERS and not state:
        return address
    fields: Entry = {"to": address}
    if parameters.notify:
        fields["notify"] = sorted(notify.value for notify in parameters.notify)
    if parameters.orcpt is not None:
        fields["orcpt"] = [parameters.orcpt.type, parameters.orcpt.address]
    fields.update(state)
    return fields


def _parse_addressee(fields: Any) -> Addressee:
    if isinstance(fields, str):
        return Addressee(Recipient(_parse_address(fields), NO_PARAMETERS))
    orcpt = fields.get("orcpt")
    parameters = RecipientParameters(
        frozenset(map(Notify, fields.get("notify", ()))),
        None if orcpt is None else OriginalRecipient(*orcpt),
    )
    addressee = Addressee(
        Recipient(_parse_address(fields["to"]), NO_PARAMETERS if parameters == NO_PARAMETERS else parameters)
    )
    _set_state(addressee, fields)
    return addressee


def _state(value: Addressee) -> Entry:
    fields: Entry = {}
    if value.outcome is not Outcome.PENDING:
        fields["outcome"] = int(value.outcome)
    if value.owed:
        fields["owed"] = 1
    if value.attempts:
        fields["attempts"] = value.attempts
    if value.reason is not None:
        reply = value.reason.reply
        fields["reason"] = [reply.code, reply.enhanced, reply.text, value.reason.host]
    return fields


def _set_state(value: Addressee, fields: Entry) -> None:
    value.outcome = Outcome(fields.get("outcome", 0))
    value.owed = bool(fields.get("owed"))
    value.attempts = fields.get("attempts", 0)
    reason = fields.get("reason")
    value.reason = None if reason is None else _reason(*reason)
    value.stage = Stage.DUE if value.outcome is Outcome.PENDING else Stage.DONE


@lru_cache(1024)
def _reason(code: int, enhanced: str, text: str, host: str) -> Reason:
    """What thousands wait for is kept once."""
    return Reason(Reply(code, enhanced, text), host)


def change(value: Message, indexes: Iterable[int]) -> Entry:
    entry: Entry = {
        "k": "change",
        "n": value.number,
        "hold": int(value.hold),
        "warned": int(value.warned),
        "to": {index: _state(value.addressees[index]) for index in indexes},
    }
    if len(value.addressees) > value.kept:
        entry["from"] = value.kept
        entry["more"] = [_addressee(addressee) for addressee in value.addressees[value.kept :]]
    return entry


def told(value: Message, indexes: Iterable[int], warned: bool) -> Entry:
    """The change that it will be to have told the sender of these."""
    entry = change(value, indexes)
    entry["warned"] = int(value.warned or warned)
    for state in entry["to"].values():
        state.pop("owed", None)
    return entry


def apply_change(value: Message, entry: Entry) -> None:
    value.hold = bool(entry["hold"])
    value.warned = bool(entry["warned"])
    if "more" in entry:
        more = tuple(_parse_addressee(fields) for fields in entry["more"])
        value.addressees = value.addressees[: entry["from"]] + more
        value.kept = len(value.addressees)
    for index, fields in entry["to"].items():
        _set_state(value.addressees[int(index)], fields)


# --- addresses -------------------------------------------------------------------------


def _address(value: Address) -> str:
    """Without quotes: a domain has no "@", so the last one divides."""
    return f"{value.local}@{value.domain}"


def _parse_address(text: str) -> Address:
    local, _, domain = text.rpartition("@")
    return Address(local, intern(domain))
