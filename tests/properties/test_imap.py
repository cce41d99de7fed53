"""The laws of the IMAP and POP3 cores: what is written reads back, what arrives is parsed or
answered with the protocol's own error however it arrives, and a client that believes what
it is told knows the mailbox."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from cgnode.proto.imap import commands as c
from cgnode.proto.imap import encode, fetching, names, structure
from cgnode.proto.imap import search as s
from cgnode.proto.imap.addresses import parse_addresses
from cgnode.proto.imap.client import Plan, Preamble
from cgnode.proto.imap.commands import Section
from cgnode.proto.imap.faults import Fault
from cgnode.proto.imap.fetching import Needs
from cgnode.proto.imap.listing import Folder, choose
from cgnode.proto.imap.matching import matches
from cgnode.proto.imap.mime import Part
from cgnode.proto.imap.parse import parse, parse_head
from cgnode.proto.imap.parse_fetch import section_name
from cgnode.proto.imap.sets import MOST, NumberSet, Saved, format_numbers, parse_numbers
from cgnode.proto.imap.view import Arrived, Flagged, Gone, View
from cgnode.proto.pop3 import client as pop3_client
from cgnode.proto.preamble import Account
from tests.cgnode.proto import imap_shell, pop3_shell

# --- what commands are made of -----------------------------------------------------------

octets = st.binary(max_size=12)
strings = st.binary(max_size=8).filter(lambda value: b"\0" not in value)
mailboxes = st.text(max_size=6).filter(lambda name: name.upper() != "INBOX") | st.just("INBOX")
numbers = st.integers(1, MOST) | st.integers(1, 9)
ends = st.just(0) | numbers
sets = st.builds(NumberSet, st.lists(st.tuples(ends, ends), min_size=1, max_size=4).map(tuple)) | st.just(
    Saved()
)
flags = st.sampled_from(("\\Seen", "\\Deleted", "$Forwarded", "x"))
flag_lists = st.lists(flags, max_size=3, unique=True).map(tuple)
modseqs = st.integers(1, 2**63 - 1)
parts = st.lists(st.integers(1, MOST), max_size=3).map(tuple)
partials = st.none() | st.tuples(st.integers(0, 2**40), st.integers(1, 2**40))
dates = st.dates(datetime.date(1970, 1, 1), datetime.date(2100, 1, 1))
words = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6)

sections = st.one_of(
    st.builds(Section, parts),
    st.builds(Section, parts, st.sampled_from((c.Text.HEADER, c.Text.TEXT))),
    st.builds(Section, parts.filter(bool), st.just(c.Text.MIME)),
    st.builds(
        Section,
        parts,
        st.sampled_from((c.Text.FIELDS, c.Text.NOT_FIELDS)),
        st.lists(st.from_regex(rb"\A[A-Za-z -]{1,6}\Z"), min_size=1, max_size=2).map(tuple),
    ),
)
items = st.one_of(
    st.sampled_from(c.Item),
    st.builds(
        lambda section, peek, partial: c.BodySection(section, section_name(section), peek, partial),
        sections,
        st.booleans(),
        partials,
    ),
    st.builds(c.Binary, parts, st.booleans(), partials),
    st.builds(c.BinarySize, parts),
)

leaves = st.one_of(
    st.builds(s.Header, st.sampled_from(("X-A", "List-Id")), words),
    st.builds(s.BodyText, words),
    st.builds(s.AnyText, words),
    st.builds(s.HasFlag, st.sampled_from(("a", "$b"))),
    st.builds(s.Received, st.sampled_from(s.When), dates),
    st.builds(s.Sent, st.sampled_from(s.When), dates),
    st.builds(s.Within, st.booleans(), numbers),
    st.builds(s.Larger, st.integers(0, 2**63 - 1)),
    st.builds(s.Smaller, st.integers(0, 2**63 - 1)),
    st.builds(s.Uids, sets),
    st.builds(s.Sequence, sets),
    st.builds(s.ModifiedSince, st.integers(0, 2**63 - 1)),
)
keys = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(s.Not, inner),
        st.builds(s.Or, inner, inner),
        st.lists(inner, min_size=2, max_size=3).map(lambda several: s.And(tuple(several))),
    ),
    max_leaves=8,
)


def written(value: bytes) -> bytes:
    """A string as a client writes it, literals in the synchronizing form."""
    return encode.astring(value)


def set_text(value: NumberSet | Saved) -> bytes:
    return b"$" if isinstance(value, Saved) else str(value).encode()


def item_text(item: c.FetchItem) -> bytes:
    match item:
        case c.Item():
            return item.value.encode()
        case c.BodySection(_, name, peek, partial):
            text = name.replace(b"BODY", b"BODY.PEEK", 1) if peek else name
        case c.Binary(part, peek, partial):
            text = b"BINARY%b[%b]" % (b".PEEK" * peek, ".".join(map(str, part)).encode())
        case c.BinarySize(part):
            return b"BINARY.SIZE[%b]" % ".".join(map(str, part)).encode()
    return text + (b"<%d.%d>" % partial if partial else b"")


def date_text(date: datetime.date) -> bytes:
    month = "JanFebMarAprMayJunJulAugSepOctNovDec"[date.month * 3 - 3 : date.month * 3]
    return f"{date.day}-{month}-{date.year:04}".encode()


def key_text(key: s.Key) -> bytes:
    match key:
        case s.And(several):
            return b"(%b)" % b" ".join(map(key_text, several))
        case s.Or(left, right):
            return b"OR %b %b" % (key_text(left), key_text(right))
        case s.Not(inner):
            return b"NOT " + key_text(inner)
        case s.Header(field, text):
            return b"HEADER %b %b" % (field.encode(), written(text.encode()))
        case s.BodyText(text):
            return b"BODY " + written(text.encode())
        case s.AnyText(text):
            return b"TEXT " + written(text.encode())
        case s.HasFlag(flag):
            return b"KEYWORD " + flag.encode()
        case s.Received(when, date):
            return b"%b %b" % (when.value.encode(), date_text(date))
        case s.Sent(when, date):
            return b'SENT%b "%b"' % (when.value.encode(), date_text(date))
        case s.Within(older, seconds):
            return b"%b %d" % (b"OLDER" if older else b"YOUNGER", seconds)
        case s.Larger(size):
            return b"LARGER %d" % size
        case s.Smaller(size):
            return b"SMALLER %d" % size
        case s.Uids(several):
            return b"UID " + set_text(several)
        case s.Sequence(several):
            return set_text(several)
        case s.ModifiedSince(modseq):
            return b"MODSEQ %d" % modseq
        case _:
            raise AssertionError(key)


_LITERAL = re.compile(rb"\{(\d+)\}\r\n")


def read_back(text: bytes) -> c.Command:
    """What the parser makes of a command with literals in it."""
    whole, literals = bytearray(b"a "), []
    while (found := _LITERAL.search(text)) is not None:
        size, end = int(found[1]), found.end()
        whole += text[: found.start()] + b"\0"
        literals.append(text[end : end + size])
        text = text[end + size :]
    whole += text
    return parse(parse_head(bytes(whole)), bytes(whole), tuple(literals))


# --- what is written reads back ----------------------------------------------------------


@given(strings, strings)
def test_log_in_reads_back(user: bytes, password: bytes) -> None:
    assert read_back(b"LOGIN %b %b" % (written(user), written(password))) == c.Login(user, password)


@given(mailboxes, mailboxes)
def test_mailbox_names_read_back(name: str, to: str) -> None:
    assert names.decode(names.encode(name)) == name
    text = b"RENAME %b %b" % (encode.mailbox(name), encode.mailbox(to))
    assert read_back(text) == c.Rename(name, to)


@given(st.binary(max_size=20) | st.from_regex(rb"\A[a&-]{0,3}&[A-P]{2,8}-[a&-]{0,3}\Z"))
def test_a_name_has_one_form(data: bytes) -> None:
    try:
        name = names.decode(data)
    except ValueError:
        return
    assert names.encode(name) == data


@given(sets, st.lists(items, min_size=1, max_size=4, unique=True), st.booleans(), st.none() | modseqs)
def test_fetch_reads_back(
    several: NumberSet | Saved, wanted: list[c.FetchItem], uid: bool, since: int | None
) -> None:
    text = b"FETCH %b (%b)" % (set_text(several), b" ".join(map(item_text, wanted)))
    expected = list(wanted)
    if since is not None:
        text += b" (CHANGEDSINCE %d)" % since
        expected.append(c.Item.MODSEQ)
    if uid:
        text = b"UID " + text
        expected.insert(0, c.Item.UID)
    assert read_back(text) == c.Fetch(several, tuple(dict.fromkeys(expected)), uid, since)


@given(sets, st.sampled_from(c.Change), flag_lists, st.booleans(), st.none() | modseqs)
def test_store_reads_back(
    several: NumberSet | Saved, change: c.Change, named: tuple[str, ...], silent: bool, since: int | None
) -> None:
    condition = b"" if since is None else b"(UNCHANGEDSINCE %d) " % since
    arguments = (set_text(several), condition, change.value.encode(), b".SILENT" * silent)
    text = b"STORE %b %b%b%b (%b)" % (*arguments, " ".join(named).encode())
    assert read_back(text) == c.Store(several, change, named, silent, False, since)


@given(keys, st.none() | st.frozensets(st.sampled_from(c.Result), min_size=1), st.booleans())
def test_search_reads_back(key: s.Key, results: frozenset[c.Result] | None, uid: bool) -> None:
    options = b"" if results is None else b"RETURN (%b) " % " ".join(r.value for r in results).encode()
    text = b"UID " * uid + b"SEARCH %bCHARSET UTF-8 %b" % (options, key_text(key))
    assert read_back(text) == c.Search(key, results, uid)


@given(st.frozensets(st.integers(1, 60)))
def test_sets_read_back(members: frozenset[int]) -> None:
    text = format_numbers(sorted(members))
    if members:
        several = parse_numbers(text)
        assert isinstance(several, NumberSet)
        assert {n for low, high in several.bounds(1) for n in range(low, high + 1)} == members


@given(
    st.builds(NumberSet, st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=1).map(tuple)),
    st.frozensets(st.integers(1, 20)),
)
def test_sets_name_what_they_say(several: NumberSet, there: frozenset[int]) -> None:
    uids = sorted(there)
    view = View("x", False, uids, (), None)
    last = uids[-1] if uids else 0
    ranges = [sorted((a or last, b or last)) for a, b in several.ranges]
    expected = [uid for uid in uids if any(low <= uid <= high for low, high in ranges)]
    assert list(view.resolve(several, uid=True)) == expected
    count = len(uids) or 1
    ranges = [sorted((a or count, b or count)) for a, b in several.ranges]
    try:
        named = list(view.resolve(several, uid=False))
    except Fault:
        assert any(low > count for low, _ in ranges)
    else:
        assert named == [u for n, u in enumerate(uids, 1) if any(low <= n <= high for low, high in ranges)]


# --- any octets --------------------------------------------------------------------------

WORDS = (
    b"a LOGIN alice secret\r\n",
    b"SELECT INBOX\r\n",
    b"a ",
    b"FETCH 1:* ",
    b"(FLAGS BODY[1]<0.3>)",
    b"STORE ",
    b"\r\n",
    b"UID ",
    b"SEARCH ",
    b"OR ",
    b"NOT ",
    b"(",
    b")",
    b'"',
    b"\\",
    b"{3}\r\n",
    b"{3+}\r\nabc",
    b"~{1+}\r\n\0",
    b"APPEND INBOX ",
    b"(\\Seen) ",
    b"{1+}\r\nx",
    b"IDLE\r\n",
    b"DONE\r\n",
    b'LIST "" *',
    b"RETURN (STATUS (SIZE))",
    b"EXPUNGE\r\n",
    b"1,3:*",
    b"$",
    b" ",
    b"\0",
    b"\xff",
    b"+FLAGS ",
    b"AUTHENTICATE PLAIN",
    b"*\r\n",
    b"=",
    b"STARTTLS\r\n",
    b"{99999999999999999999+}\r\n",
    b"COPY ",
    b"MOVE ",
    b"Sent",
    b"ENVELOPE",
    b"BODYSTRUCTURE",
    b"CLOSE\r\n",
)

streams = st.lists(st.sampled_from(WORDS) | octets, max_size=12).map(b"".join)
_SAID = re.compile(
    rb"(?:\* (?:OK|NO|BAD|BYE|CAPABILITY|FLAGS|LIST|LSUB|STATUS|E?SEARCH|ID|ENABLED|NAMESPACE|QUOTA(?:ROOT)?"
    rb"|\d+ (?:EXISTS|RECENT|EXPUNGE|FETCH))\b|\+ |[^ \r\n]+ (?:OK|NO|BAD) )"
)


def converse(pieces: Sequence[bytes], inside: bool) -> tuple[bytes, bool]:
    shell = imap_shell.with_messages() if inside else imap_shell.Shell()
    return shell.feed(*pieces), shell.closed is not None


def cut(data: bytes, places: list[int]) -> list[bytes]:
    bounds = [0, *sorted(place for place in places if place < len(data)), len(data)]
    return [data[start:end] for start, end in pairwise(bounds)]


@given(streams, st.lists(st.integers(0, 120), max_size=4), st.booleans())
def test_whatever_a_client_sends_has_imap_for_an_answer(data: bytes, places: list[int], inside: bool) -> None:
    sent, closed = converse([data], inside)
    assert converse(cut(data, places), inside) == (sent, closed)
    if b"FETCH (" not in sent:  # what is fetched may have any lines
        for line in sent.split(b"\r\n")[:-1]:
            assert _SAID.match(line), line


@given(streams)
def test_whatever_a_client_sends_to_a_pop3_server(data: bytes) -> None:
    for prefix in (b"", b"USER alice\r\nPASS secret\r\nTOP 1 1\r\n"):
        whole = pop3_shell.Shell([b"A: b\r\n\r\n.c\r\n"]).feed(prefix + data)
        assert pop3_shell.Shell([b"A: b\r\n\r\n.c\r\n"]).feed(*[bytes((o,)) for o in prefix + data]) == whole


@given(
    st.lists(
        st.sampled_from((b"* ", b"OK ", b"[CAPABILITY AUTH=PLAIN] ", b"L ", b"NO ", b"+", b"\r\n")) | octets
    )
)
def test_whatever_a_server_says(said: list[bytes]) -> None:
    account = Account("a", b"b")
    for made in (Preamble(Plan(account)), pop3_client.Preamble(pop3_client.Plan(account))):
        made.receive(b"".join(said))
        for _ in range(500):
            if made.next_event() is None:
                break
        else:
            raise AssertionError("there is no end to it")


# --- messages ----------------------------------------------------------------------------

PIECES = (
    b"From: a <b@c>\r\n",
    b"Subject: =?utf-8?q?x?=\r\n",
    b"Content-Type: multipart/mixed; boundary=b\r\n",
    b"Content-Type: message/rfc822\r\n",
    b"Content-Transfer-Encoding: base64\r\n",
    b"\r\n",
    b"\n",
    b"--b\r\n",
    b"--b--\r\n",
    b"--b",
    b" folded\r\n",
    b"text",
    b"YWJj",
    b":",
    b";",
    b'"',
    b"(",
    b"<",
    b"Date: 1 Jan 2024 00:00:00 +0000\r\n",
    b"\0",
    b"Content-Type: text/plain; charset=",
    b"Content-Disposition: x; y=z\r\n",
    b"To: g: a@b, c;\r\n",
    b"=?punycode?b?",
)
messages = st.lists(st.sampled_from(PIECES) | octets, max_size=25).map(b"".join)
_STRING = re.compile(rb'\{(\d+)\}\r\n|"(?:[^"\\]|\\.)*"|NIL|\d+|[() ]')


def balanced(data: bytes) -> None:
    """It is an S-expression."""
    depth = at = 0
    while at < len(data):
        token = _STRING.match(data, at)
        assert token is not None, data[at:]
        depth += {b"(": 1, b")": -1}.get(token[0], 0)
        assert depth >= 0
        at = token.end() + int(token[1] or 0)
    assert depth == 0


@given(messages)
def test_any_octets_are_a_message(message: bytes) -> None:
    part = Part(message)
    balanced(fetching.envelope(structure.envelope(part)))
    for extended in (False, True):
        balanced(fetching.body(structure.body(part), extended))
    header, text = (
        structure.section(part, Section(text=c.Text.HEADER)),
        structure.section(part, Section(text=c.Text.TEXT)),
    )
    assert header is not None
    assert text is not None
    assert bytes(header) + bytes(text) == message


@given(messages, sections)
def test_sections_are_in_the_message(message: bytes, wanted: Section) -> None:
    small = Section(tuple(number % 3 + 1 for number in wanted.part), wanted.text, wanted.fields)
    found = structure.section(Part(message), small)
    if found is not None and not small.fields:
        assert bytes(found) in message


@given(st.binary(max_size=60) | messages)
def test_any_octets_are_an_address_list(value: bytes) -> None:
    assert isinstance(parse_addresses(value), tuple)


@given(messages, leaves)
def test_any_message_can_be_searched(message: bytes, key: s.Key) -> None:
    stored = imap_shell.Stored(1, frozenset(), 0, 1, message)
    resolved = View("x", False, (1,), (), 1)
    try:
        answer = matches(resolved.key(key), stored, 0)
    except Fault:
        return  # a number that there isn't
    assert matches(s.Not(resolved.key(key)), stored, 0) is not answer
    assert stored.part(Needs.WHOLE).data is message


@given(st.binary(max_size=40) | messages, st.integers(1, 5))
def test_a_message_comes_out_of_pop3_as_it_went_in(message: bytes, piece: int) -> None:
    content = re.sub(rb"\r\n?|\n", b"\r\n", message).removesuffix(b"\r\n") + b"\r\n"
    sent = pop3_shell.logged_in(content, piece=piece).feed(b"RETR 1\r\n")
    body = sent.partition(b"\r\n")[2]
    lines = body.split(b"\r\n")
    assert lines.index(b".") == len(lines) - 2
    assert b"".join(line.removeprefix(b".") + b"\r\n" for line in lines[:-2]) == content.replace(b"\0", b" ")


# --- LIST --------------------------------------------------------------------------------


@given(st.text("a/*%", max_size=6), st.lists(st.text("a/", min_size=1, max_size=5), max_size=4))
def test_patterns_match_as_a_regular_expression_does(pattern: str, folders: list[str]) -> None:
    expression = "".join({"*": ".*", "%": "[^/]*"}.get(one, one) for one in pattern)
    rows = choose(c.List("", (pattern,)), map(Folder, folders), (), "/")
    listed = {row.name for row in rows if "\\Noselect" not in row.attributes}
    assert listed == {name for name in folders if pattern and re.fullmatch(expression, name)}


# --- what a client knows -----------------------------------------------------------------

changes = st.one_of(
    st.builds(lambda count: ("arrive", count), st.integers(1, 3)),
    st.builds(lambda place: ("go", place), st.integers(0, 9)),
    st.builds(lambda place: ("flag", place), st.integers(0, 9)),
    st.sampled_from((("tell", 0), ("tell", 1))),
)


@given(st.lists(changes, max_size=30))
def test_a_client_that_believes_what_it_is_told_knows_the_mailbox(steps: list[tuple[str, int]]) -> None:
    view = View("x", False, (1, 2), (1,), 1)
    there = {1: frozenset[str](), 2: frozenset[str]()}
    client: list[tuple[int, frozenset[str]]] = [(1, frozenset()), (2, frozenset())]
    last = 2

    def hear(said: bytes) -> None:
        for line in said.split(b"\r\n")[:-1]:
            number, what = int(line.split()[1]), line.split()[2]
            if what == b"EXPUNGE":
                del client[number - 1]
            elif what == b"EXISTS":
                assert number >= len(client)
                client.extend((0, frozenset()) for _ in range(number - len(client)))
            elif what == b"FETCH":
                told = line.partition(b"FLAGS (")[2].partition(b")")[0].decode().split()
                client[number - 1] = (int(line.split()[4]), frozenset(told) - {"\\Recent"})

    for step, value in [*steps, ("tell", 1)]:
        uids = sorted(there)
        if step == "arrive":
            fresh = tuple(range(last + 1, last + 1 + value))
            last += value
            there |= dict.fromkeys(fresh, frozenset[str]())
            view.note(Arrived(fresh, frozenset(fresh)))
        elif step == "tell":
            hear(view.tell(expunge=bool(value), modseq=False))
            assert len(view) == len(client)
        elif uids:
            uid = uids[value % len(uids)]
            if step == "go":
                del there[uid]
                view.note(Gone((uid,)))
            else:
                there[uid] = frozenset(("\\Seen",)) ^ there[uid]
                view.note(Flagged(uid, there[uid]))
    assert view.uids == tuple(sorted(there))
    assert [known for _, known in client] == [there[uid] for uid in view.uids]
