"""Entries as a provider tells them, made into records of a copy.

What was told is kept as it is: no schema is asked whether it should be so.  Only what this
schema has no name for, or could not index, is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum, auto
from uuid import UUID

from attrs import frozen

from ldapserver.core import Core
from ldapserver.indexing import Indexes
from ldapserver.messages import Attribute
from ldapserver.results import LDAPError
from ldapserver.schema import AttributeDescription
from ldapserver.views import OPERATIONAL, PLACED
from ldapserver.wire.encode import partial_attribute
from storage import csn as csns
from storage import keys
from storage.csn import NO_CSN, Csn
from storage.keys import Term
from storage.loader import Text
from storage.placements import Host
from storage.txn import WriteTransaction


@frozen(eq=False)
class Told:
    """An entry but for its name and its place.  ``terms`` and ``texts`` are its index rows."""

    created: int
    csn: Csn
    creator: bytes
    modifier: bytes
    attributes: tuple[tuple[int, bytes], ...]
    host: Host | None
    old_host: Host | None
    terms: list[Term]
    texts: list[Text]


class _Use(Enum):
    STORED = auto()
    INDEXED = auto()
    HOST = auto()
    PAST = auto()
    IGNORED = auto()


@frozen(eq=False)
class _Known:
    use: _Use
    description: AttributeDescription
    name: bytes


class Recorder:
    """For one transaction at a time.  ``notice`` hears once of each attribute that is left out."""

    def __init__(self, core: Core, notice: Callable[[str], None]) -> None:
        self._core = core
        self._notice = notice
        self._known: dict[str, _Known | None] = {}
        self._indexes_of = b""

    def record(
        self, txn: WriteTransaction, indexes: Indexes, uuid: bytes, attributes: Iterable[Attribute]
    ) -> Told:
        if indexes.raw != self._indexes_of:
            self._known.clear()
            self._indexes_of = indexes.raw
        stored: list[tuple[int, bytes]] = []
        terms: list[Term] = [keys.equality(indexes.uuid, uuid)]
        texts: list[Text] = []
        past: dict[str, bytes] = {}
        hosts: dict[str, Host] = {}
        for attribute in attributes:
            known = self._know(attribute.type, indexes)
            if known is None or not attribute.values:
                continue
            name = known.description.type.name
            match known.use:
                case _Use.PAST:
                    past[name] = attribute.values[0]
                    continue
                case _Use.HOST:
                    host = self._host(known, attribute.values[0])
                    if host is not None:
                        hosts[name] = host
                    continue
                case _Use.IGNORED:
                    continue
                case _Use.INDEXED:
                    try:
                        more = indexes.rows_of_values(known.description, attribute.values)
                    except ValueError:
                        self._leave_out(attribute.type, "values that can't be compared")
                        continue
                    terms += more[0]
                    texts += more[1]
                case _Use.STORED:
                    pass
            number = self._core.catalogue.number(known.description, txn)
            stored.append((number, partial_attribute(known.name, attribute.values)))
        return Told(
            *_times(past),
            past.get("creatorsName", b""),
            past.get("modifiersName", past.get("creatorsName", b"")),
            tuple(stored),
            hosts.get("hostServer"),
            hosts.get("oldHostServer"),
            terms,
            texts,
        )

    def host(self, name: str) -> Host:
        """A host's name as it was told."""
        rule = self._core.schema.description("hostServer").type.equality
        value = name.encode()
        try:
            return Host(value, value if rule is None else rule.normalise(value))
        except ValueError:
            return Host(value, value)

    def _host(self, known: _Known, value: bytes) -> Host | None:
        if len(value) > 255:
            self._leave_out(known.description.text, "a name that is too long")
            return None
        return self.host(value.decode("utf-8", "replace"))

    def _know(self, text: str, indexes: Indexes) -> _Known | None:
        if text in self._known:
            return self._known[text]
        try:
            description = self._core.schema.find_description(text)
        except LDAPError:
            description = None
        known = None
        if description is None:
            self._leave_out(text, "not in this schema")
        else:
            use = _use(description, indexes)
            known = _Known(use, description, description.text.encode())
        self._known[text] = known
        return known

    def _leave_out(self, text: str, why: str) -> None:
        self._notice(f"attribute {text[:80]!r} of the directory is left out: {why}")


def _use(description: AttributeDescription, indexes: Indexes) -> _Use:
    kind = description.type
    if kind.name in _PAST:
        return _Use.PAST
    if kind.name in PLACED:
        return _Use.HOST
    if kind.name in OPERATIONAL or kind.name == "contextCSN":
        return _Use.IGNORED
    return _Use.INDEXED if kind in indexes.equality or kind in indexes.substrings else _Use.STORED


_PAST = {"creatorsName", "createTimestamp", "entryCSN", "modifiersName", "modifyTimestamp"}


def _times(past: dict[str, bytes]) -> tuple[int, Csn]:
    """When it was created, and its last change."""
    csn = NO_CSN
    try:
        if "entryCSN" in past:
            csn = csns.parse(past["entryCSN"].decode())
        elif "modifyTimestamp" in past:
            csn = csns.following(NO_CSN, csns.parse_time(past["modifyTimestamp"].decode()))
    except ValueError:
        pass
    created = csns.micros_of(csn)
    try:
        if "createTimestamp" in past:
            created = max(0, csns.parse_time(past["createTimestamp"].decode()))
    except ValueError:
        pass
    return created, csn


def uuid_text(uuid: bytes) -> str:
    return str(UUID(bytes=uuid))
