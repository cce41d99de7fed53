"""Normal forms: applied twice they change nothing, they sort as values do, and substring
parts are found where the RFC says so."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ldapserver.schema import MatchingRule, standard_schema

SCHEMA = standard_schema()


def rule(name: str) -> MatchingRule:
    found = SCHEMA.matching_rule(name)
    assert found is not None
    return found


TEXT = st.text(st.characters(exclude_categories=["Cs", "Cn", "Co"], exclude_characters="\ufffd"), min_size=1)
ASCII = st.text(st.characters(max_codepoint=0x7F), min_size=1)
STRINGS = {
    "caseIgnoreMatch": TEXT | ASCII,
    "caseExactMatch": TEXT | ASCII,
    "caseIgnoreIA5Match": ASCII,
    "caseExactIA5Match": ASCII,
    "numericStringMatch": st.text("0123456789 ", min_size=1),
    "telephoneNumberMatch": st.text("0123456789+-() ext", min_size=1),
}


@pytest.mark.parametrize("name", STRINGS)
def test_normal_forms_are_their_own(name: str) -> None:
    normalise = rule(name).normalise

    @given(STRINGS[name])
    def check(text: str) -> None:
        normal = normalise(text.encode())
        assert not normal or normalise(normal) == normal

    check()


@given(TEXT | ASCII)
def test_case_and_form_do_not_matter(text: str) -> None:
    normalise = rule("caseIgnoreMatch").normalise
    wanted = normalise(text.encode())
    for spelt in (text.casefold(), unicodedata.normalize("NFD", text), f"{text} "):
        assert normalise(spelt.encode()) == wanted
    if unicodedata.category(wanted.decode()[0])[0] != "M":  # a space before a mark carries it
        assert normalise(f"  {text}".encode()) == wanted


@given(TEXT)
def test_ascii_is_prepared_as_everything_else(text: str) -> None:
    """The short cut for ASCII: a letter beyond it joined on takes the long way."""
    ascii_only = "".join(character for character in text if character.isascii())
    for name in ("caseIgnoreMatch", "caseExactMatch"):
        normalise = rule(name).normalise
        assert normalise(f"x{ascii_only}x é".encode()).removesuffix(" é".encode()) == normalise(
            f"x{ascii_only}x".encode()
        )


NUMBERS = st.integers() | st.integers(-(10**300), 10**300)


@given(NUMBERS, NUMBERS)
def test_integers_sort(one: int, other: int) -> None:
    normalise = rule("integerOrderingMatch").normalise
    left, right = normalise(b"%d" % one), normalise(b"%d" % other)
    assert (left < right) == (one < other)
    assert (left == right) == (one == other)


TIMES = st.datetimes(datetime(1000, 1, 1), datetime(9000, 1, 1))
OFFSETS = st.integers(-1439, 1439)


@given(TIMES, OFFSETS, TIMES, OFFSETS)
def test_times_sort(one: datetime, one_offset: int, other: datetime, other_offset: int) -> None:
    def text(time: datetime, minutes: int) -> bytes:
        sign, minutes = ("-", -minutes) if minutes < 0 else ("+", minutes)
        zone = f"{sign}{minutes // 60:02}{minutes % 60:02}"
        return f"{time:%Y%m%d%H%M%S}.{time.microsecond:06}{zone}".encode()

    normalise = rule("generalizedTimeOrderingMatch").normalise
    left, right = normalise(text(one, one_offset)), normalise(text(other, other_offset))
    moments = [
        time.replace(tzinfo=timezone(timedelta(minutes=minutes)))
        for time, minutes in ((one, one_offset), (other, other_offset))
    ]
    assert (left < right) == (moments[0] < moments[1])
    assert (left == right) == (moments[0] == moments[1])


@given(TIMES, st.decimals(0, 1, places=7).filter(lambda found: found < 1), st.sampled_from([1, 60, 3600]))
def test_fractions_of_times(time: datetime, fraction: Decimal, unit: int) -> None:
    """A fraction is of the smallest unit that is given (RFC 4517 section 3.3.13)."""
    format_, base = {
        1: ("%Y%m%d%H%M%S", time.replace(microsecond=0)),
        60: ("%Y%m%d%H%M", time.replace(second=0, microsecond=0)),
        3600: ("%Y%m%d%H", time.replace(minute=0, second=0, microsecond=0)),
    }[unit]
    seconds = fraction * unit
    whole = base.replace(tzinfo=UTC) + timedelta(seconds=int(seconds))
    rest = f"{seconds % 1:f}".partition(".")[2].rstrip("0")
    expected = f"{whole:%Y%m%d%H%M%S}" + (f".{rest}" if rest else "")
    value = f"{time:{format_}}.{f'{fraction:f}'.partition('.')[2] or '0'}Z"
    assert rule("generalizedTimeMatch").normalise(value.encode()) == expected.encode()


@given(st.uuids(), st.uuids())
def test_uuids_sort_as_their_text(one: object, other: object) -> None:
    normalise = rule("uuidOrderingMatch").normalise
    left, right = str(one).encode(), str(other).encode()
    assert (normalise(left) < normalise(right)) == (left < right)
    assert normalise(left.upper()) == normalise(left)


@given(st.text("ab Ü\u00a0é", min_size=1).filter(str.strip), st.data())
def test_pieces_of_a_value_are_found_in_it(text: str, data: st.DataObject) -> None:
    """Cut between two characters that are no spaces, the pieces match in order."""
    found = rule("caseIgnoreSubstringsMatch")
    text = text.strip()
    cuts = [at for at in range(1, len(text)) if not text[at].isspace() and not text[at - 1].isspace()]
    first = data.draw(st.sampled_from(cuts)) if cuts else 0
    last = data.draw(st.sampled_from([at for at in cuts if at >= first])) if cuts else len(text)
    value = found.normalise(text.encode())
    pieces = b""
    if first:
        initial = found.normalise_part(text[:first].upper().encode(), "initial")
        assert value.startswith(initial)
        pieces += initial
    if last > first:
        middle = found.normalise_part(text[first:last].encode(), "any")
        assert value.find(middle, len(pieces)) == len(pieces)
        pieces += middle
    if last < len(text):
        final = found.normalise_part(text[last:].encode(), "final")
        assert value.endswith(final)
        pieces += final
    assert pieces == value


@given(st.text("abÄ ", min_size=1), st.sampled_from(["initial", "any", "final"]))
def test_parts_keep_a_space_only_where_they_are_open(text: str, part: str) -> None:
    found = rule("caseIgnoreSubstringsMatch")
    normal = found.normalise_part(text.encode(), part)  # type: ignore[arg-type]
    words = " ".join(text.casefold().split())
    opening = " " if text[0] == " " and part != "initial" else ""
    closing = " " if text[-1] == " " and part != "final" else ""
    expected = f"{opening}{words}{closing}" if words else " " if part == "any" else ""
    assert normal == expected.encode()
