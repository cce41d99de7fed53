"""Reading a TOML table key by key, typed, with errors that name the key and the fix.

A reader is a function from what the file holds to the wanted value; it raises ``Wrong``
with the rest of a sentence that begins with the value ("is not a whole number").
A section reads its keys with ``Table.take`` and ends with ``Table.done``, which refuses
what nobody took.  What must not live here: any key's name.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from attrs import field, frozen

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T")
N = TypeVar("N", int, float)
Reader = Callable[[object], T]


class ConfigError(Exception):
    """One line for the operator: where, what, and what to do about it."""


class Wrong(ValueError):
    """A value that a reader refuses; the text goes on from the value."""


def did_you_mean(word: str, known: list[str]) -> str:
    """The known word that was meant, or all of them."""
    close = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {close[0]}?" if close else f"known are {', '.join(sorted(known))}"


@frozen
class Table:
    """A table of ``source`` (a file's name), at ``path`` ("" is the top)."""

    source: str
    path: str
    values: Mapping[str, object]
    _taken: list[str] = field(factory=list)

    def take(self, key: str, read: Reader[T], default: T) -> T:
        """What ``key`` holds, read; ``default`` where the file does not give it."""
        self._taken.append(key)
        if key not in self.values:
            return default
        with self._named(key):
            return read(self.values[key])

    def take_list(self, key: str, read: Reader[T], default: tuple[T, ...]) -> tuple[T, ...]:
        """A list's elements, each read by ``read`` and each with its place in errors."""
        self._taken.append(key)
        if key not in self.values:
            return default
        value = self.values[key]
        if not isinstance(value, list):
            raise self.error(key, f"{show(value)} is not a list")
        return tuple(self._element(f"{key}[{i}]", read, element) for i, element in enumerate(value))

    def take_table(self, key: str) -> Table:
        """The table under ``key``; an empty one where the file has none."""
        self._taken.append(key)
        value = self.values.get(key, {})
        if not isinstance(value, Mapping):
            raise self.error(
                key, f"{show(value)} is not a table; write [{self.name(key)}] and its keys below"
            )
        return Table(self.source, self.name(key), value)

    def has(self, key: str) -> bool:
        return key in self.values

    def done(self) -> None:
        """Refuse a key that was not taken: an unknown one."""
        for key in self.values:
            if key not in self._taken:
                raise self.error(key, f"no such key; {did_you_mean(key, self._taken)}")

    def name(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key

    def error(self, key: str, reason: str) -> ConfigError:
        return ConfigError(f"{self.source}: {self.name(key)}: {reason}")

    def _element(self, key: str, read: Reader[T], value: object) -> T:
        with self._named(key):
            return read(value)

    @contextmanager
    def _named(self, key: str) -> Iterator[None]:
        try:
            yield
        except Wrong as wrong:
            raise self.error(key, str(wrong)) from None


def show(value: object) -> str:
    """A TOML value as an error cites it; a long one is cut."""
    match value:
        case bool():
            text = str(value).lower()
        case dict():
            text = "a table"
        case list():
            text = "a list"
        case _:
            text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise Wrong(f'{show(value)} is not a text, as in "text"')
    return value


def boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise Wrong(f"{show(value)} is neither true nor false")
    return value


def whole_number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise Wrong(f"{show(value)} is not a whole number, 0 or more")
    return value


def above_zero(read: Reader[N]) -> Reader[N]:
    """A reader of a number for which 0 makes no sense."""

    def checked(value: object) -> N:
        number = read(value)
        if not number:
            raise Wrong(f"with {show(value)} nothing would ever work; give more")
        return number

    return checked


TIMES = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


def duration(value: object) -> float:
    """Seconds: a number, or a text such as "90 s", "5 min", "12 h", "5 d"."""
    if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
        return float(value)
    if isinstance(value, str):
        number, _, unit = value.strip().rpartition(" ")
        if unit in TIMES and re.fullmatch(r"[0-9]+(\.[0-9]+)?", number.strip()):
            return float(number) * TIMES[unit]
    raise Wrong(f'{show(value)} is not a time, as in 90, "90 s", "5 min", "12 h" or "5 d"')


UNITS = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}


def size(value: object) -> int:
    """A number of octets, or a text such as "64 GiB"."""
    if isinstance(value, str):
        digits, unit = value[:-3].strip(), value[-3:]
        if digits.isascii() and digits.isdigit() and unit in UNITS:
            return int(digits) * UNITS[unit]
    elif isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    raise Wrong(f'{show(value)} is not a size, as in "64 GiB" or 68719476736')


def one_of(known: tuple[str, ...]) -> Reader[str]:
    """A reader of a text that must be one of ``known``."""

    def read(value: object) -> str:
        word = text(value)
        if word not in known:
            raise Wrong(f"{show(word)} is unknown; {did_you_mean(word, list(known))}")
        return word

    return read
