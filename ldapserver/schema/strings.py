"""String preparation for matching (RFC 4518): octets in, normal form out.

What lives here: the six steps, for values and for parts of substring assertions, with a
short cut for ASCII.  Which rule prepares how is ``rules``'s table.

The normal form has insignificant spaces removed where the RFC has a fixed number of
them: words with one space between, none around; a string of spaces only is one space.
So equality, ordering and substring rules share one form and one index.  One difference
follows: a part with a space at its open end needs that space in the value, so ``foo *``
does not find ``foo`` itself (in RFC 4518 it does; OpenLDAP does as we do).
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final, assert_never

from ldapserver.schema.model import Normaliser, Part

# Section 2.2: controls map to nothing, TAB, LF, VT, FF, CR to SPACE.
_SPACES: Final = range(0x09, 0x0E)
_CONTROLS: Final = bytes(code for code in range(0x20) if code not in _SPACES) + b"\x7f"
_EXACT: Final = bytes(0x20 if code in _SPACES else code for code in range(256))
_LOWER: Final = _EXACT.translate(bytes(code + 0x20 if 0x41 <= code <= 0x5A else code for code in range(256)))
_WITHOUT_SPACES: Final = _CONTROLS + b" "
_WITHOUT_HYPHENS: Final = _CONTROLS + b" -"


def case_ignore(value: bytes) -> bytes:
    """A Directory String, case folded; raises ValueError."""
    if value.isascii():
        if not value:
            raise ValueError("an empty string is no Directory String")
        value = value.translate(_LOWER, _CONTROLS)
        return b" ".join(value.split()) or b" " if 0x20 in value else value or b" "
    return " ".join(_words(value, fold=True)).encode() or b" "


def case_exact(value: bytes) -> bytes:
    """A Directory String, case kept; raises ValueError."""
    if value.isascii():
        if not value:
            raise ValueError("an empty string is no Directory String")
        value = value.translate(_EXACT, _CONTROLS)
        return b" ".join(value.split()) or b" " if 0x20 in value else value or b" "
    return " ".join(_words(value, fold=False)).encode() or b" "


def ia5_ignore(value: bytes) -> bytes:
    """An IA5 String, case folded; raises ValueError."""
    if not value.isascii():
        raise ValueError("not an IA5 String")
    value = value.translate(_LOWER, _CONTROLS)
    return b" ".join(value.split()) or b" " if 0x20 in value else value or b" "


def ia5_exact(value: bytes) -> bytes:
    """An IA5 String, case kept; raises ValueError."""
    if not value.isascii():
        raise ValueError("not an IA5 String")
    value = value.translate(_EXACT, _CONTROLS)
    return b" ".join(value.split()) or b" " if 0x20 in value else value or b" "


def numeric(value: bytes) -> bytes:
    """A Numeric String, spaces removed (section 2.6.2); raises ValueError."""
    found = value.translate(_EXACT, _WITHOUT_SPACES)
    if found.strip(b"0123456789"):
        raise ValueError("not a Numeric String")
    return found


def telephone(value: bytes) -> bytes:
    """A Telephone Number, spaces and hyphens removed (section 2.6.3); raises ValueError.

    The syntax is of ASCII characters only, which leaves one hyphen of the RFC's seven.
    """
    if not value.isascii():
        raise ValueError("not a Telephone Number")
    return value.translate(_LOWER, _WITHOUT_HYPHENS)


# --- parts of substring assertions (section 2.6.1) -----------------------------------


def case_ignore_part(value: bytes, part: Part) -> bytes:
    return _part(case_ignore, value, part)


def case_exact_part(value: bytes, part: Part) -> bytes:
    return _part(case_exact, value, part)


def ia5_ignore_part(value: bytes, part: Part) -> bytes:
    return _part(ia5_ignore, value, part)


def ia5_exact_part(value: bytes, part: Part) -> bytes:
    return _part(ia5_exact, value, part)


def numeric_part(value: bytes, part: Part) -> bytes:
    return numeric(value)


def telephone_part(value: bytes, part: Part) -> bytes:
    return telephone(value)


def _part(prepare: Normaliser, value: bytes, part: Part) -> bytes:
    """Where the value goes on, a space is an inner one: a digit, which no other character
    joins with, stands for the rest while the part is prepared."""
    match part:
        case "initial":
            return prepare(value + b"0")[:-1]
        case "any":
            return prepare(b"0" + value + b"0")[1:-1]
        case "final":
            return prepare(b"0" + value)[1:]
        case _:
            assert_never(part)


# --- beyond ASCII ---------------------------------------------------------------------


def _points(*ranges: tuple[int, int]) -> list[int]:
    return [point for first, last in ranges for point in range(first, last + 1)]


# Section 2.2.  Separators that are not listed become SPACE by compatibility (NFKC) or
# are listed here (Zl, Zp, U+1680).
_NOTHING: Final = _points(
    (0x00, 0x08), (0x0E, 0x1F), (0x7F, 0x84), (0x86, 0x9F), (0xAD, 0xAD), (0x34F, 0x34F), (0x6DD, 0x6DD),
    (0x70F, 0x70F), (0x1806, 0x1806), (0x180B, 0x180E), (0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x2063),
    (0x206A, 0x206F), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF), (0xFFF9, 0xFFFC), (0x1D173, 0x1D17A),
    (0xE0001, 0xE0001), (0xE0020, 0xE007F), (0xE0100, 0xE01EF),
)  # fmt: skip
_SPACE: Final = _points((0x09, 0x0D), (0x85, 0x85), (0x1680, 0x1680), (0x2028, 0x2029))
_MAP: Final = {**dict.fromkeys(_NOTHING, ""), **dict.fromkeys(_SPACE, " ")}

# Section 2.4: unassigned, private use and surrogate code points, U+FFFD.
_PROHIBITED: Final = frozenset(("Cn", "Co", "Cs"))
# What of both is printable (not of the categories "other" and "separator").
_SPECIAL: Final = re.compile("[\u034f\u1806\u180b-\u180d\ufe00-\ufe0f\ufffc\ufffd\U000e0100-\U000e01ef]")

_LONG: Final = 500
_MARKS: Final = 30


def _words(value: bytes, *, fold: bool) -> list[str]:
    """Steps 2.1 to 2.6 for a string that is not ASCII: its words."""
    text = value.decode()
    special = not text.isprintable() or _SPECIAL.search(text) is not None
    if special:
        text = text.translate(_MAP)
    if len(text) > _LONG:
        _check_marks(text)
    text = unicodedata.normalize("NFKC", text)
    if fold:
        text = _folded(text)
    if special:
        _check_prohibited(text)
    return _significant(text)


def _check_marks(text: str) -> None:
    """Sorting the marks of one character takes Python's ``normalize`` quadratic time: a
    long text has to be "stream-safe" (Unicode Standard Annex 15, section 13)."""
    run = 0
    for character in text:
        run = run + 1 if unicodedata.combining(character) else 0
        if run > _MARKS:
            raise ValueError(f"more than {_MARKS} combining marks on a character")


def _check_prohibited(text: str) -> None:
    for character in text:
        if character == "\ufffd" or unicodedata.category(character) in _PROHIBITED:
            raise ValueError(f"U+{ord(character):04X} can't be compared")


def _folded(text: str) -> str:
    """Case folded and in form KC: folding can leave that form, composing can undo it."""
    while True:
        folded = unicodedata.normalize("NFKC", text.casefold())
        if folded == text:
            return text
        text = folded


def _significant(text: str) -> list[str]:
    """The words between spaces; a space that carries a combining mark is none."""
    if " " not in text:
        return [text] if text else []
    words: list[str] = []
    parts = text.split(" ")
    for place, word in enumerate(parts):
        if place and word and not word[0].isascii() and unicodedata.category(word[0])[0] == "M":
            carried = words.pop() if parts[place - 1] else ""
            word = f"{carried} {word}"
        if word:
            words.append(word)
    return words
