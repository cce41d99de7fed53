"""SMTP's cores with anything that may come: answered, or the protocol's own error; and the
same wherever the input was cut."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address

from attrs import evolve
from hypothesis import example, given
from hypothesis import strategies as st

from cgnode.proto import proxy_protocol, sasl
from cgnode.proto.lines import (
    ChunkReader,
    DotReader,
    DotStuffer,
    LineFault,
    LineReader,
    Newlines,
    has_stray,
    normalised,
)
from cgnode.proto.smtp.address import Address, parse_address, take_path
from cgnode.proto.smtp.client import Client
from cgnode.proto.smtp.delivery import Outcome
from cgnode.proto.smtp.envelope import (
    BadParameter,
    Mail,
    MailParameters,
    Recipient,
    decode_unitext,
    decode_xtext,
    encode_unitext,
    encode_xtext,
    parse_mail_parameters,
    parse_recipient_parameters,
)
from cgnode.proto.smtp.opening import Dialect, Login, Profile, Step, Tls
from cgnode.proto.smtp.reply import MalformedReply, Reply, ReplyReader
from cgnode.proto.smtp.server import Server
from cgnode.proto.smtp.states import Limits, Service, State
from tests.cgnode.proto.smtp.shells import (
    LMTP,
    SMTP,
    SUBMISSION,
    Answers,
    ClientShell,
    Job,
    ServerShell,
    serve,
)

# --- strategies ------------------------------------------------------------------------

newlines = st.sampled_from(Newlines)

# Octets of which those that end things are common.
octets = st.lists(
    st.sampled_from([b"\r\n", b"\r", b"\n", b".", b"..", b"\r\n.\r\n", b"a", b"xyz", b"\x00", b"\xff", b" "]),
    max_size=30,
).map(b"".join)

cuts = st.lists(st.integers(0, 200), max_size=8)


def pieces(data: bytes, places: Sequence[int]) -> list[bytes]:
    ordered = sorted({place for place in places if place < len(data)})
    return [data[start:stop] for start, stop in zip([0, *ordered], [*ordered, len(data)], strict=True)]


# --- lines and texts -------------------------------------------------------------------


@given(octets, cuts, newlines, st.integers(2, 12))
def test_lines(data: bytes, places: list[int], policy: Newlines, most: int) -> None:
    """As a much simpler reader says that has the whole input."""
    ending = b"\r\n" if policy is Newlines.REFUSE else b"\n"
    expected: list[bytes | LineFault] = []
    for piece in data.split(ending)[:-1]:
        line = piece[:-1] if ending == b"\n" and piece.endswith(b"\r") else piece
        if len(piece) + len(ending) > most:
            expected.append(LineFault.TOO_LONG)
        else:
            expected.append(LineFault.STRAY if b"\r" in line or b"\n" in line else line)
    reader = LineReader(most, policy)
    found: list[bytes | LineFault] = []
    for piece in pieces(data, places):
        reader.feed(piece)
        while (next_line := reader.next_line()) is not None:
            found.append(next_line)
        assert reader.buffered <= most
    assert found == expected


@given(octets, cuts, newlines, st.integers(5, 40))
@example(b".\r\n", [1, 2], Newlines.REFUSE, 10)
@example(b"\n.\r\n\r\n.\r\n", [2], Newlines.NORMALISE, 10)
def test_texts(data: bytes, places: list[int], policy: Newlines, most: int) -> None:
    """The end is where CRLF "." CRLF is and nowhere else; no text has a stray CR or LF."""
    reader = DotReader(policy, most)
    text, rest = b"", None
    for piece in pieces(data, places):
        if rest is not None:
            rest += piece
        else:
            part, rest = reader.feed(piece)
            text += part
    end = (b"\r\n" + data).find(b"\r\n.\r\n")
    assert rest == (None if end < 0 else data[end + 3 :])
    if reader.fault is not None:
        return
    assert not has_stray(text)
    assert all(len(line) <= most for line in text.splitlines(keepends=True) if b"\x0b" not in line)
    if end >= 0:
        whole = normalised(b"\r\n" + data[:end]).replace(b"\r\n.", b"\r\n")[2:]
        assert text == whole


@given(octets, cuts, cuts, newlines)
def test_stuffed_and_unstuffed(
    text: bytes, out_places: list[int], in_places: list[int], policy: Newlines
) -> None:
    stuffer = DotStuffer()
    sent = b"".join(map(stuffer.feed, pieces(text, out_places))) + stuffer.finish()
    assert sent.endswith(b".\r\n")
    assert b"\r\n.\r\n" not in b"\r\n" + sent[:-3]
    reader = DotReader(policy, 10_000)
    back, rest = b"", None
    for piece in pieces(sent + b"NOOP\r\n", in_places):
        if rest is not None:
            rest += piece
        else:
            part, rest = reader.feed(piece)
            back += part
    expected = normalised(text)
    if expected and not expected.endswith(b"\r\n"):
        expected += b"\r\n"
    assert (back, rest, reader.fault) == (expected, b"NOOP\r\n", None)


@given(octets, cuts)
def test_chunks(data: bytes, places: list[int]) -> None:
    reader = ChunkReader(Newlines.NORMALISE, 10_000)
    assert b"".join(map(reader.feed, pieces(data, places))) + reader.finish() == normalised(data)


# --- values ----------------------------------------------------------------------------

local_characters = st.characters(
    min_codepoint=0x20, exclude_categories=("Cc", "Cs"), exclude_characters="\x7f"
)
labels = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,5}[a-z0-9])?", fullmatch=True)
domains = st.lists(labels, min_size=1, max_size=4).map(".".join) | st.sampled_from(
    ["[192.0.2.1]", "exämple.de"]
)
addresses = st.builds(Address, st.text(local_characters, max_size=20), domains)


@given(addresses)
def test_addresses(address: Address) -> None:
    text = str(address)
    assert parse_address(text) == address
    assert take_path(f"<{text}> x") == (address, " x")


@given(st.text(st.sampled_from('ab@<>.,:[]"\\ \r\n%-é') | st.characters(), max_size=30))
def test_any_text_as_an_address(text: str) -> None:
    for parse in (parse_address, take_path, lambda text: take_path(f"<{text}>")):
        try:
            parse(text)
        except ValueError:
            continue
    for known in (frozenset({"SIZE", "ENVID", "RET", "AUTH", "BODY", "ORCPT", "NOTIFY"}),):
        for name in sorted(known):
            try:
                parse_mail_parameters(f" {name}={text}", known)
                parse_recipient_parameters(f" {name}={text}", known)
            except BadParameter:
                continue


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E)), st.booleans())
def test_xtext(text: str, utf8: bool) -> None:
    assert decode_xtext(encode_xtext(text)) == text
    assert decode_unitext(encode_unitext(text + "ü\U0001f4e7", utf8)) == text + "ü\U0001f4e7"


@given(st.integers(200, 599), st.sampled_from(["", "2.1.0", "5.7.123", "9.9"]), st.text(max_size=600), cuts)
def test_replies(code: int, enhanced: str, text: str, places: list[int]) -> None:
    encoded = Reply(code, enhanced, text).encode()
    assert all(len(line) <= 512 for line in encoded.splitlines(keepends=True))
    reader = ReplyReader(most_lines=1000)
    for piece in pieces(encoded, places):
        reader.feed(piece)
    reply = reader.next_reply()
    assert reply is not None
    assert reply.code == code
    assert reader.next_reply() is None
    assert not reader.buffered


@given(st.binary(max_size=80) | st.binary(max_size=60).map(b"250-".__add__), cuts)
def test_any_octets_as_replies(data: bytes, places: list[int]) -> None:
    def read(parts: list[bytes]) -> list[Reply | str]:
        reader, found = ReplyReader(max_line=40, most_lines=3), list[Reply | str]()
        try:
            for part in parts:
                reader.feed(part)
                while (reply := reader.next_reply()) is not None:
                    found.append(reply)
        except MalformedReply as malformed:
            found.append(str(malformed))
        return found

    assert read(pieces(data, places)) == read([data])


@given(
    st.sampled_from(sasl.MECHANISMS),
    st.lists(st.binary(max_size=40).map(base64.b64encode) | st.binary(max_size=20)),
)
def test_any_lines_as_an_authentication(mechanism: str, lines: list[bytes]) -> None:
    exchange = sasl.Exchange(mechanism)
    step = exchange.begin(lines[0] if lines else None)
    for line in lines[1:]:
        match step:
            case sasl.Challenge():
                step = exchange.take(line)
            case sasl.KeysWanted(authcid):
                step = exchange.keys(sasl.decoy_keys(b"", authcid))
            case _:
                assert not isinstance(step, sasl.Proven)
                break


@given(st.text(max_size=60))
def test_saslprep_is_stable(text: str) -> None:
    try:
        prepared = sasl.saslprep(text, stored=False)
    except ValueError:
        return
    assert sasl.saslprep(prepared, stored=False) == prepared


ips = st.builds(IPv4Address, st.integers(0, 2**32 - 1)) | st.builds(IPv6Address, st.integers(0, 2**128 - 1))
ends = st.builds(proxy_protocol.Endpoint, ips, st.integers(0, 65535))


@given(ends, ends, st.binary(max_size=20), cuts)
def test_proxy_headers(
    source: proxy_protocol.Endpoint, destination: proxy_protocol.Endpoint, rest: bytes, places: list[int]
) -> None:
    header = proxy_protocol.ProxyHeader(source, destination)
    for encode in (proxy_protocol.encode_v1, proxy_protocol.encode_v2):
        decoder = proxy_protocol.ProxyDecoder()
        found: proxy_protocol.ProxyHeader | None = None
        behind = b""
        for piece in pieces(encode(header) + rest, places):
            if found is not None:
                behind += piece
            elif (found := decoder.feed(piece)) is not None:
                behind = decoder.rest
        assert found is not None
        assert behind == rest
        assert encode(found) == encode(header)
        if source.address.version == destination.address.version:
            assert found == header


@given(
    st.sampled_from(
        [b"", b"PROXY TCP4 ", b"\r\n\r\n\x00\r\nQUIT\n", b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x10"]
    ),
    st.binary(max_size=60),
)
def test_any_octets_as_a_proxy_header(beginning: bytes, data: bytes) -> None:
    try:
        proxy_protocol.ProxyDecoder().feed(beginning + data)
    except proxy_protocol.ProxyError:
        return


# --- the server ------------------------------------------------------------------------

SERVICES = (
    SMTP,
    SUBMISSION,
    LMTP,
    evolve(SMTP, xclient=True, mechanisms=sasl.MECHANISMS, clear_auth=True),
    evolve(
        LMTP,
        newlines=Newlines.REFUSE,
        start_tls=True,
        mechanisms=("PLAIN",),
        auth_required=True,
        clear_auth=True,
    ),
)
LIMITS = (
    Limits(),
    Limits(message_size=30, recipients=2, errors=5, idle_commands=5, transactions=3, text_line=20),
)

WORDS = (
    b"EHLO x\r\n", b"EHLO x\r\n", b"HELO x\r\n", b"LHLO x\r\n", b"LHLO x\r\n",
    b"MAIL FROM:<alice@example.com>\r\n", b"MAIL FROM:<>\r\n", b"MAIL FROM:<a@b> SIZE=40\r\n",
    b"RCPT TO:<bob@example.com>\r\n", b"RCPT TO:<bob@example.com>\r\n", b"RCPT TO:<nobody@example.com>\r\n",
    b"EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<bob@example.com>\r\n",
    b"LHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<bob@example.com>\r\nRCPT TO:<alice@example.com>\r\n",
    b"DATA\r\n", b"DATA\r\n", b".\r\n", b"\r\n.\r\n", b"text\r\n", b"\n.\n", b"..\r\n",
    b"BDAT 3\r\n", b"BDAT 4 LAST\r\n", b"BDAT 0 LAST\r\n", b"BDAT x\r\n", b"abc",
    b"RSET\r\n", b"NOOP\r\n", b"VRFY x\r\n", b"HELP\r\n", b"QUIT\r\n", b"STARTTLS\r\n",
    b"AUTH PLAIN AGFsaWNlAHNlY3JldA==\r\n", b"AUTH PLAIN\r\n", b"AUTH LOGIN\r\n", b"AUTH SCRAM-SHA-256\r\n",
    b"AGFsaWNlAHNlY3JldA==\r\n", b"YWxpY2U=\r\n", b"biwsbj1hbGljZSxyPXg=\r\n", b"*\r\n", b"=\r\n",
    b"XCLIENT ADDR=192.0.2.1\r\n", b"x" * 30 + b"\r\n", b"\x00\r\n", b"\xff\r\n", b"\r\n", b"\r", b"\n",
)  # fmt: skip
words = st.lists(st.sampled_from(WORDS) | st.binary(max_size=6), max_size=25).map(b"".join)
services = st.sampled_from(SERVICES)
limits = st.sampled_from(LIMITS)


def check_replies(said: bytes) -> None:
    reader = ReplyReader()
    reader.feed(said)
    while reader.next_reply() is not None:
        pass
    assert not reader.buffered


@given(services, limits, words, cuts, st.booleans())
def test_any_dialogue(service: Service, bounds: Limits, data: bytes, places: list[int], full: bool) -> None:
    """Every line has its answer, whole and in pieces; the shell's own checks hold."""
    # A server that waits for a handshake hears nothing, however its input was cut.
    answers = Answers(tls=False, begin=Reply(452, "4.3.1", "no room") if full else None)
    whole = serve(service, [data], bounds, answers)
    check_replies(whole.said)
    cut = serve(service, pieces(data, places), bounds, answers)
    assert (cut.said, cut.messages, cut.server.state) == (whole.said, whole.messages, whole.server.state)
    assert cut.events == whole.events
    assert (whole.server.state is State.CLOSED) is (whole.closed is not None)
    if not full and not whole.closed and whole.server.state not in (State.TLS, State.AUTH):
        whole.feed(b"\r\n.\r\nxxxx\r\n.\r\n\r\nNOOP\r\n")
        assert whole.closed or whole.codes[-1] in (250, 500)


@given(services, words, st.integers(0, 300))
def test_a_message_is_taken_only_by_its_end(service: Service, data: bytes, place: int) -> None:
    """Wherever the connection ends: what was taken has had its answer."""
    shell = serve(service, [data[:place]])
    shell.server.close()
    assert shell.server.next_event() is None
    assert len(shell.messages) <= data[:place].count(b".\r\n") + data[:place].count(b"LAST")


# --- the client ------------------------------------------------------------------------

HEARD = (
    b"220 mx\r\n", b"220 mx\r\n", b"250 ok\r\n", b"250 ok\r\n",
    b"250-mx\r\n250-PIPELINING\r\n250 SIZE 100\r\n",
    b"250-mx\r\n250-STARTTLS\r\n250-AUTH PLAIN\r\n250 XCLIENT ADDR\r\n",
    b"354 go\r\n", b"354 go\r\n", b"550 no\r\n", b"451 later\r\n", b"421 closing\r\n", b"221 bye\r\n",
    b"235 in\r\n", b"334 \r\n", b"503 no\r\n", b"250-", b"\r\n", b"what?\r\n",
)  # fmt: skip
heard = st.lists(st.sampled_from(HEARD) | st.binary(max_size=4), max_size=25).map(b"".join)
profiles = st.builds(
    Profile,
    st.sampled_from(Dialect),
    st.just("fe1"),
    st.sampled_from(Tls),
    st.sampled_from([None, Login("fe1", b"secret")]),
    st.booleans(),
)
recipients = st.lists(
    st.sampled_from([Recipient(Address(name, "example.com")) for name in ("alice", "bob", "nobody")]),
    min_size=1,
    max_size=4,
).map(tuple)
jobs = st.lists(
    st.builds(
        Job, st.sampled_from([Mail(None), Mail(Address("a", "b"), MailParameters(7))]), recipients, octets
    ),
    max_size=3,
)


@given(profiles, heard, cuts, jobs)
def test_any_answers(profile: Profile, data: bytes, places: list[int], sent: list[Job]) -> None:
    """A result for each recipient of each message that was begun, and an end."""

    def run(parts: list[bytes]) -> tuple[ClientShell, bytes]:
        shell = ClientShell(Client(profile), list(sent))
        said = shell.pump() + b"".join(map(shell.feed, parts))
        shell.disconnect()
        return shell, said

    shell, said = run(pieces(data, places))
    assert shell.closed is not None
    assert shell.client.step is Step.CLOSED
    begun = len(sent) - len(shell.jobs)
    assert [len(results) for results in shell.results] == [len(job.recipients) for job in sent[:begun]]
    if Step.HANDSHAKE not in shell.steps:
        # Otherwise what is behind STARTTLS in the same piece is an attack.
        whole, whole_said = run([data])
        assert (whole.results, whole.closed, whole_said) == (shell.results, shell.closed, said)


# --- back to back ----------------------------------------------------------------------


@given(st.sampled_from([SMTP, LMTP]), jobs, st.integers(0, 2000), st.integers(1, 50), st.booleans())
def test_results_are_true(service: Service, sent: list[Job], most: int, size: int, full: bool) -> None:
    """Delivered is what the server has, not sent what it has not: also when the
    connection ends after ``most`` octets, in either direction."""
    dialect = Dialect.LMTP if service is LMTP else Dialect.SMTP
    client = ClientShell(Client(Profile(dialect, "fe1")), list(sent))
    stored = {"bob@example.com": Reply(452, "4.2.2", "full")} if full else {}
    server = ServerShell(Server(service), Answers(stored=stored))
    to_server, to_client = client.pump(), server.begin().said
    while (to_server or to_client) and most > 0:
        piece, to_client = to_client[: min(size, most)], to_client[size:]
        most -= len(piece)
        to_server += client.feed(piece)
        piece, to_server = to_server[: min(size, max(most, 0))], to_server[size:]
        most -= len(piece)
        before = len(server.said)
        server.feed(piece)
        to_client += server.said[before:]
    client.disconnect()
    taken = [message.recipients for message in server.messages]
    for job, results in zip(sent, client.results, strict=False):
        outcomes = {result.outcome for result in results}
        if outcomes & {Outcome.DELIVERED, Outcome.TEMPORARY}:
            accepted = tuple(one for one in job.recipients if one.address.local != "nobody")
            assert taken.pop(0) == accepted
        elif Outcome.UNKNOWN in outcomes and taken:
            taken.pop(0)
    assert not taken
