"""Commands read: each form, and what is said to what is none."""

from __future__ import annotations

import datetime

import pytest

from cgnode.proto.imap import commands as c
from cgnode.proto.imap import search as s
from cgnode.proto.imap.faults import Fault
from cgnode.proto.imap.parse import (
    NAMES,
    can_take_literal,
    parse,
    parse_append,
    parse_append_more,
    parse_head,
    tag_of,
)
from cgnode.proto.imap.parse_search import UnknownCharset
from cgnode.proto.imap.sets import NumberSet, Saved

ONE = NumberSet(((1, 1),))


def parsed(text: bytes, *literals: bytes) -> c.Command:
    whole = b"a " + text
    return parse(parse_head(whole), whole, literals)


def refused(text: bytes, *literals: bytes) -> Fault:
    with pytest.raises(Fault) as caught:
        parsed(text, *literals)
    return caught.value


def key(text: bytes, *literals: bytes) -> s.Key:
    command = parsed(b"SEARCH " + text, *literals)
    assert isinstance(command, c.Search)
    return command.key


def items(text: bytes) -> tuple[c.FetchItem, ...]:
    command = parsed(b"FETCH 1 " + text)
    assert isinstance(command, c.Fetch)
    return command.items


COMMANDS: list[tuple[bytes, c.Command]] = [
    (b"capability", c.Capability()),
    (b"NOOP ", c.Noop()),
    (b"logout", c.Logout()),
    (b"ID NIL", c.Id(None)),
    (b'ID ("name" "x" "os" NIL)', c.Id(((b"name", b"x"), (b"os", None)))),
    (b"ID ()", c.Id(())),
    (b"STARTTLS", c.StartTLS()),
    (b"AUTHENTICATE plain", c.Authenticate("PLAIN", None)),
    (b"AUTHENTICATE PLAIN =", c.Authenticate("PLAIN", b"=")),
    (b"AUTHENTICATE PLAIN AGE=", c.Authenticate("PLAIN", b"AGE=")),
    (b'LOGIN alice "se\\"cr\\\\et"', c.Login(b"alice", b'se"cr\\et')),
    (b'LOGIN alice "\xc3\xa4"', c.Login(b"alice", b"\xc3\xa4")),
    (b"LOGIN a]b }", c.Login(b"a]b", b"}")),
    (b"ENABLE condstore X-Y", c.Enable(("CONDSTORE", "X-Y"))),
    (b"SELECT inBox", c.Select("INBOX", False)),
    (b'EXAMINE "a b" (condstore)', c.Select("a b", True, True)),
    (b"CREATE &AOQ-", c.Create("ä")),
    (b'DELETE "x\\"y"', c.Delete('x"y')),
    (b'RENAME a "b c"', c.Rename("a", "b c")),
    (b"SUBSCRIBE a", c.Subscribe("a")),
    (b"UNSUBSCRIBE a", c.Unsubscribe("a")),
    (b'LIST "" *', c.List("", ("*",))),
    (b'LIST "" ""', c.List("", ("",))),
    (b'LIST a/ "%"', c.List("a/", ("%",))),
    (
        b'LIST (subscribed RECURSIVEMATCH) "" (a "b c" %) RETURN (CHILDREN STATUS (MESSAGES SIZE))',
        c.List(
            "",
            ("a", "b c", "%"),
            frozenset((c.Selection.SUBSCRIBED, c.Selection.RECURSIVE_MATCH)),
            frozenset((c.Return.CHILDREN,)),
            (c.StatusItem.MESSAGES, c.StatusItem.SIZE),
            True,
        ),
    ),
    (b'LIST () "" "" RETURN ()', c.List("", ("",), extended=True)),
    (b'LIST "" ("&AOQ-" "&&&")', c.List("", ("ä",), extended=True)),
    (b'LSUB "" "%"', c.Lsub("", ("%",))),
    (b"NAMESPACE", c.Namespace()),
    (b"STATUS a (messages Unseen)", c.Status("a", (c.StatusItem.MESSAGES, c.StatusItem.UNSEEN))),
    (b"IDLE", c.Idle()),
    (b'GETQUOTA ""', c.GetQuota(b"")),
    (b"GETQUOTAROOT inbox", c.GetQuotaRoot("INBOX")),
    (b"CHECK", c.Check()),
    (b"CLOSE", c.Close()),
    (b"UNSELECT", c.Unselect()),
    (b"EXPUNGE", c.Expunge()),
    (b"UID EXPUNGE 1", c.Expunge(ONE)),
    (b"COPY 1 a", c.Copy(ONE, "a", False)),
    (b"uid copy $ a", c.Copy(Saved(), "a", True)),
    (b"MOVE 1 a", c.Move(ONE, "a", False)),
    (b"UID MOVE 1 a", c.Move(ONE, "a", True)),
    (b"STORE 1 FLAGS \\seen", c.Store(ONE, c.Change.REPLACE, ("\\Seen",), False, False)),
    (b"STORE 1 +flags.silent ($A b)", c.Store(ONE, c.Change.ADD, ("$A", "b"), True, False)),
    (b"UID STORE 1 -FLAGS a b", c.Store(ONE, c.Change.REMOVE, ("a", "b"), False, True)),
    (b"STORE 1 FLAGS ()", c.Store(ONE, c.Change.REPLACE, (), False, False)),
    (b"STORE 1 (UNCHANGEDSINCE 0) FLAGS ()", c.Store(ONE, c.Change.REPLACE, (), False, False, 0)),
    (b"FETCH 1 fast", c.Fetch(ONE, c.FAST, False)),
    (b"FETCH 1 ALL", c.Fetch(ONE, c.ALL, False)),
    (b"FETCH 1 FULL", c.Fetch(ONE, c.FULL, False)),
    (b"UID FETCH 1 FLAGS", c.Fetch(ONE, (c.Item.UID, c.Item.FLAGS), True)),
    (
        b"UID FETCH 1 (UID FLAGS FLAGS) (changedsince 9)",
        c.Fetch(ONE, (c.Item.UID, c.Item.FLAGS, c.Item.MODSEQ), True, 9),
    ),
]


@pytest.mark.parametrize(("text", "command"), COMMANDS)
def test_commands(text: bytes, command: c.Command) -> None:
    assert parsed(text) == command


def test_every_command_is_among_these() -> None:
    tested = {parse_head(b"a " + text).name for text, _ in COMMANDS} | {"APPEND", "SEARCH", "UID SEARCH"}
    assert tested == NAMES


BAD = [
    b"NOOP x",
    b"LOGIN a",
    b"LOGIN a  b",
    b"LOGIN  a b",
    b'LOGIN a "b',
    b'LOGIN a "b\\c"',
    b"LOGIN a b c",
    b"LOGIN \xc3\xa4 b",
    b"SELECT",
    b"SELECT a (QRESYNC (1 2))",
    b"SELECT a*",
    b"AUTHENTICATE PLAIN !",
    b"AUTHENTICATE",
    b"ID (a b)",
    b'ID ("a")',
    b"ID (" + b" ".join([b'"a" "b"'] * 31) + b")",
    b"ENABLE",
    b"LIST",
    b'LIST "" () RETURN ()',
    b'LIST (RECURSIVEMATCH) "" *',
    b'LIST (NOSUCH) "" *',
    b'LIST "" * RETURN (NOSUCH)',
    b'LIST "" * RETURN (STATUS ())',
    b"STATUS a ()",
    b"STATUS a (NOSUCH)",
    b"UID",
    b"UID EXPUNGE",
    b"EXPUNGE 1",
    b"COPY 0 a",
    b"COPY 4294967296 a",
    b"COPY 1: a",
    b"COPY 1,,2 a",
    b"COPY a a",
    b"COPY 1:2:3 a",
    b"STORE 1 FLAGS",
    b"STORE 1 FLAGS \\Recent",
    b"STORE 1 FLAGS \\*",
    b"STORE 1 XFLAGS a",
    b"STORE 1 (UNCHANGEDSINCE 9223372036854775808) FLAGS a",
    b"FETCH 1 ()",
    b"FETCH 1 NOSUCH",
    b"FETCH 1 (FLAGS",
    b"FETCH 1 (FLAGS ) x",
    b"FETCH 1 BODY[",
    b"FETCH 1 BODY[MIME]",
    b"FETCH 1 BODY[1.]",
    b"FETCH 1 BODY[0]",
    b"FETCH 1 BODY[X]",
    b"FETCH 1 BODY[HEADER.FIELDS]",
    b"FETCH 1 BODY[HEADER.FIELDS ()]",
    b"FETCH 1 BODY[]<1>",
    b"FETCH 1 BODY[]<1.0>",
    b"FETCH 1 FLAGS (CHANGEDSINCE 0)",
    b"FETCH 1 FLAGS (VANISHED)",
    b"FETCH 1 (ALL FLAGS)",
    b"SEARCH",
    b"SEARCH NOSUCH",
    b"SEARCH FROM",
    b"SEARCH (ALL",
    b"SEARCH ()",
    b"SEARCH OR ALL",
    b"SEARCH ON 31-Feb-2024",
    b"SEARCH ON 1-Xxx-2024",
    b"SEARCH LARGER x",
    b"SEARCH OLDER 0",
    b"SEARCH RETURN (NOSUCH) ALL",
    b"SEARCH RETURN MIN ALL",
    b'SEARCH MODSEQ "/flags/x" other 1',
    b"SEARCH " + b"(" * 101 + b"ALL" + b")" * 101,
    b"SEARCH " + b"NOT " * 5000 + b"ALL",
    b"SEARCH " + b" ".join([b"1:*"] * 1001),
    b"FETCH 1 (" + b" ".join(b"BODY[]<%d.1>" % place for place in range(257)) + b")",
    b"SEARCH FROM \0",
    b"APPEND a hello",
]


@pytest.mark.parametrize("text", BAD)
def test_bad_commands(text: bytes) -> None:
    assert refused(text, b"\xff").bad


@pytest.mark.parametrize(
    "name", [b"&", b"&AOQ", b"&AGE-", b"&AOQ-&AOQ-", b'"\xc3\xa4"', b'"a\tb"', b"&AAA=-"]
)
def test_names_that_are_none(name: bytes) -> None:
    fault = refused(b"CREATE " + name)
    assert (fault.code, fault.bad) == (b"CANNOT", False)


def test_heads() -> None:
    assert parse_head(b"A.1 uid fetch 1").name == "UID FETCH"
    assert tag_of(b"A.1 x") == "A.1"
    assert tag_of(b"A+1 x") == "*"
    assert tag_of(b"") == tag_of(b"\xc3\xa4 x") == tag_of(b"noop") == "*"
    for text in (b"", b"a", b"a ", b"+ NOOP", b" NOOP", b"a  NOOP", b"a 1"):
        with pytest.raises(Fault):
            parse_head(text)


def test_where_a_literal_can_stand() -> None:
    assert can_take_literal(b'a LOGIN "x\\"y" ')
    assert can_take_literal(b"a FETCH 1 BODY[HEADER.FIELDS (")
    assert not can_take_literal(b'a LOGIN "x ')
    assert not can_take_literal(b"a LOGIN x")
    assert not can_take_literal(b'a LOGIN "' + b"\\" * 60_001 + b'" ')


# --- SEARCH ------------------------------------------------------------------------------

DAY = datetime.date(2024, 2, 1)
SEEN = s.HasFlag("\\Seen")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"ALL", s.And(())),
        (b"unseen flagged", s.And((s.Not(SEEN), s.HasFlag("\\Flagged")))),
        (b"NEW", s.And((s.Recent(), s.Not(SEEN)))),
        (b"OLD", s.Not(s.Recent())),
        (b"1", s.Sequence(ONE)),
        (b"*", s.Sequence(NumberSet(((0, 0),)))),
        (b"$", s.Sequence(Saved())),
        (b"UID $", s.Uids(Saved())),
        (b"UID 1", s.Uids(ONE)),
        (b"OR SEEN NOT DRAFT", s.Or(SEEN, s.Not(s.HasFlag("\\Draft")))),
        (b"(SEEN (DELETED))", s.And((SEEN, s.HasFlag("\\Deleted")))),
        (b"KEYWORD $Junk UNKEYWORD b", s.And((s.HasFlag("$Junk"), s.Not(s.HasFlag("b"))))),
        (b'FROM "a b" TO c', s.And((s.Header("From", "a b"), s.Header("To", "c")))),
        (b'HEADER X-Y ""', s.Header("X-Y", "")),
        (b"SUBJECT \xc3", s.And(())),
        (b'BODY "\xc3\xa4" TEXT x', s.And((s.BodyText("ä"), s.AnyText("x")))),
        (
            b'BEFORE 1-Feb-2024 ON "1-feb-2024"',
            s.And((s.Received(s.When.BEFORE, DAY), s.Received(s.When.ON, DAY))),
        ),
        (b"SENTSINCE 01-Feb-2024", s.Sent(s.When.SINCE, DAY)),
        (b"LARGER 0 SMALLER 5", s.And((s.Larger(0), s.Smaller(5)))),
        (b"OLDER 5 YOUNGER 6", s.And((s.Within(True, 5), s.Within(False, 6)))),
        (b"MODSEQ 5", s.ModifiedSince(5)),
        (b'MODSEQ "/flags/\\\\draft" all 620162338', s.ModifiedSince(620162338)),
    ],
)
def test_search_keys(text: bytes, expected: s.Key) -> None:
    if text == b"SUBJECT \xc3":
        assert refused(b"SEARCH " + text).bad
    else:
        assert key(text) == expected


def test_search_options() -> None:
    both = frozenset((c.Result.MIN, c.Result.SAVE))
    assert parsed(b"SEARCH RETURN (MIN SAVE) SEEN") == c.Search(SEEN, both, False)
    assert parsed(b"UID SEARCH RETURN () SEEN") == c.Search(SEEN, frozenset((c.Result.ALL,)), True)
    assert parsed(b"SEARCH CHARSET utf-8 TEXT \0", b"\xc3\xa4") == c.Search(s.AnyText("ä"), None, False)
    assert parsed(b'SEARCH RETURN (MAX) CHARSET "US-ASCII" SEEN').key == SEEN  # type: ignore[union-attr]


def test_unknown_charsets() -> None:
    fault = refused(b"SEARCH CHARSET KOI8-R TEXT x")
    assert isinstance(fault, UnknownCharset)
    assert (fault.code, fault.bad, fault.saves) == (b"BADCHARSET (US-ASCII UTF-8)", False, False)
    fault = refused(b"SEARCH RETURN (SAVE) CHARSET KOI8-R TEXT x")
    assert isinstance(fault, UnknownCharset)
    assert fault.saves


# --- FETCH -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "item"),
    [
        (b"BODY[]", c.BodySection(c.Section(), b"BODY[]")),
        (b"body.peek[]<0.4>", c.BodySection(c.Section(), b"BODY[]", True, (0, 4))),
        (b"BODY[1.2.MIME]", c.BodySection(c.Section((1, 2), c.Text.MIME), b"BODY[1.2.MIME]")),
        (b"BODY[text]", c.BodySection(c.Section((), c.Text.TEXT), b"BODY[TEXT]")),
        (
            b'BODY[2.HEADER.FIELDS (date "X Y")]',
            c.BodySection(
                c.Section((2,), c.Text.FIELDS, (b"date", b"X Y")), b'BODY[2.HEADER.FIELDS (date "X Y")]'
            ),
        ),
        (
            b"BODY[HEADER.FIELDS.NOT (a)]",
            c.BodySection(c.Section((), c.Text.NOT_FIELDS, (b"a",)), b"BODY[HEADER.FIELDS.NOT (a)]"),
        ),
        (b"RFC822", c.BodySection(c.Section(), b"RFC822")),
        (b"RFC822.HEADER", c.BodySection(c.Section((), c.Text.HEADER), b"RFC822.HEADER", True)),
        (b"RFC822.TEXT", c.BodySection(c.Section((), c.Text.TEXT), b"RFC822.TEXT")),
        (b"RFC822.SIZE", c.Item.SIZE),
        (b"BODY", c.Item.BODY),
        (b"BODYSTRUCTURE", c.Item.BODYSTRUCTURE),
        (b"MODSEQ", c.Item.MODSEQ),
        (b"BINARY[1.2]<3.4>", c.Binary((1, 2), False, (3, 4))),
        (b"BINARY.PEEK[]", c.Binary((), True)),
        (b"BINARY.SIZE[1]", c.BinarySize((1,))),
    ],
)
def test_fetch_items(text: bytes, item: c.FetchItem) -> None:
    assert items(text) == (item,)
    assert items(b"(FLAGS %b %b)" % (text, text)) == (c.Item.FLAGS, item)


# --- APPEND ------------------------------------------------------------------------------


def appended(text: bytes, *literals: bytes) -> c.Append | None:
    whole = b"a APPEND" + text
    return parse_append(parse_head(whole), whole, literals)


def test_append() -> None:
    assert appended(b" ") is None
    assert appended(b" INBOX ") == c.Append("INBOX", (), None)
    assert appended(b" \0 ", b"a b") == c.Append("a b", (), None)
    assert appended(b" a (\\Seen $x) ") == c.Append("a", ("\\Seen", "$x"), None)
    assert appended(b' a " 1-Jan-1970 01:00:05 +0100" ') == c.Append("a", (), 5)
    assert appended(b' a () "01-Jan-1970 00:00:05 -0030" ') == c.Append("a", (), 1805)
    assert parse_append_more(b' (\\Draft) "17-Jul-2024 02:44:25 -0700" ', "a") == c.Append(
        "a", ("\\Draft",), 1721209465
    )


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b" a",
        b" a (\\Seen)",
        b" a x ",
        b" a (x) (y) ",
        b' a "1-Jan-1970 00:00:00 +0000" ',
        b' a "32-Jan-1970 00:00:00 +0000" ',
        b' a "01-Jan-1970 00:00:00 +9900" ',
        b' a "01-Jan-0000 00:00:00 +0000" ',
        b" a (\\Recent) ",
    ],
)
def test_bad_appends(text: bytes) -> None:
    with pytest.raises(Fault):
        appended(text)
