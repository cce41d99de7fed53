"""SASL: messages, wrong messages, the keys of SCRAM; SASLprep."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Mapping

import pytest

from cgnode.proto.sasl import (
    LOGIN,
    MECHANISMS,
    PLAIN,
    SCRAM_SHA_256,
    Challenge,
    Credentials,
    Exchange,
    Failed,
    Failure,
    KeysWanted,
    Proven,
    ScramKeys,
    Step,
    Succeeded,
    decoy_keys,
    format_scram,
    parse_scram,
    plain_message,
    saslprep,
    scram_keys,
    verify_scram,
)

MALFORMED = Failed(Failure.MALFORMED)
NOTHING: Mapping[str, bytes] = {}


def b64(data: bytes) -> bytes:
    return base64.b64encode(data)


# --- PLAIN and LOGIN -------------------------------------------------------------------


def test_plain_with_an_initial_response() -> None:
    exchange = Exchange(PLAIN)
    step = exchange.begin(b64(b"root\0alice\0secret"))
    assert step == Credentials("alice", b"secret", "root")
    assert "secret" not in repr(step)
    assert exchange.accept() == Succeeded()


def test_plain_without_one() -> None:
    exchange = Exchange(PLAIN)
    challenge = exchange.begin(None)
    assert challenge == Challenge(b"")
    assert isinstance(challenge, Challenge)
    assert challenge.text == b""
    assert exchange.take(b64("\0käthe\0pässwörd".encode())) == Credentials("käthe", "pässwörd".encode())


@pytest.mark.parametrize(
    "line",
    [
        b"=",
        b"",
        b"no base64!",
        b64(b"alice"),
        b64(b"\0alice"),
        b64(b"\0alice\0"),
        b64(b"\0\0secret"),
        b64(b"\0alice\0secret\0more"),
        b64(b"\0\xff\0secret"),
        b64(b"\xff\0alice\0secret"),
        b64(b"\0alice\0secret") + b"=",
        b64(b"\0alice\0secret") + b" ",
        b"*" + b64(b"\0alice\0secret"),
    ],
)
def test_plain_malformed(line: bytes) -> None:
    assert Exchange(PLAIN).begin(line) == MALFORMED
    exchange = Exchange(PLAIN)
    exchange.begin(None)
    assert exchange.take(line) == MALFORMED


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_cancelled(mechanism: str) -> None:
    exchange = Exchange(mechanism)
    assert isinstance(exchange.begin(None), Challenge)
    assert exchange.take(b"*") == Failed(Failure.CANCELLED)


def test_login() -> None:
    exchange = Exchange(LOGIN)
    assert exchange.begin(None) == Challenge(b"Username:")
    assert exchange.take(b64(b"alice")) == Challenge(b"Password:")
    assert exchange.take(b64(b"secret")) == Credentials("alice", b"secret")
    assert exchange.accept() == Succeeded()


def test_login_with_the_name_at_once() -> None:
    exchange = Exchange(LOGIN)
    assert exchange.begin(b64(b"alice")) == Challenge(b"Password:")
    assert exchange.take(b64(b"\xff")) == Credentials("alice", b"\xff")


@pytest.mark.parametrize("line", [b"", b"=", b64(b"a\0b"), b64(b"\xff"), b"?"])
def test_login_malformed(line: bytes) -> None:
    assert Exchange(LOGIN).begin(line) == MALFORMED
    exchange = Exchange(LOGIN)
    exchange.begin(None)
    assert exchange.take(line) == MALFORMED


def test_plain_message() -> None:
    assert plain_message("be1", b"secret", "alice") == b"alice\0be1\0secret"
    assert plain_message("alice", b"secret") == b"\0alice\0secret"
    for authcid, password, authzid in [("", b"p", ""), ("a", b"", ""), ("a\0b", b"p", ""), ("a", b"p\0", "")]:
        with pytest.raises(ValueError, match="empty or has a NUL"):
            plain_message(authcid, password, authzid)


# --- SCRAM -----------------------------------------------------------------------------

# RFC 7677 section 3.
RFC_SALT = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
RFC_NONCE = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
RFC_FIRST = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
RFC_SERVER_FIRST = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
RFC_FINAL = (
    b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
    b"p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
)
RFC_SERVER_FINAL = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="

KEYS = scram_keys("pencil", RFC_SALT, 4096)


def test_scram_as_in_the_rfc(monkeypatch: pytest.MonkeyPatch) -> None:
    # The RFC's nonce is not base64 of anything.
    monkeypatch.setattr("cgnode.proto.sasl.base64.b64encode", _keep_nonce)
    exchange = Exchange(SCRAM_SHA_256, lambda size: RFC_NONCE.encode())
    assert exchange.begin(b64(RFC_FIRST)) == KeysWanted("user")
    assert exchange.keys(KEYS) == Challenge(RFC_SERVER_FIRST)
    assert exchange.take(b64(RFC_FINAL)) == Proven("user")
    assert exchange.accept() == Challenge(RFC_SERVER_FINAL)
    assert exchange.take(b"") == Succeeded()


real_b64encode = base64.b64encode


def _keep_nonce(data: bytes) -> bytes:
    return data if data == RFC_NONCE.encode() else real_b64encode(data)


class ScramClient:
    """A client's side, from RFC 5802 section 3."""

    def __init__(self, name: str, password: str, header: bytes = b"n,,") -> None:
        self.header = header
        self.bare = b"n=" + name.encode() + b",r=clientnonce"
        self.password = password

    def first(self) -> bytes:
        return self.header + self.bare

    def final(self, server_first: bytes, wrong: Mapping[str, bytes] = NOTHING) -> bytes:
        fields = dict(part.split(b"=", 1) for part in server_first.split(b","))
        binding = wrong.get("binding", base64.b64encode(self.header))
        nonce = wrong.get("nonce", fields[b"r"])
        unproven = b"c=" + binding + b",r=" + nonce
        salt, iterations = base64.b64decode(fields[b"s"]), int(fields[b"i"])
        salted = hashlib.pbkdf2_hmac("sha256", self.password.encode(), salt, iterations)
        client_key = hmac.digest(salted, b"Client Key", "sha256")
        self.signed = b",".join((self.bare, server_first, unproven))
        signature = hmac.digest(hashlib.sha256(client_key).digest(), self.signed, "sha256")
        proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
        self.server_key = hmac.digest(salted, b"Server Key", "sha256")
        return unproven + b",p=" + base64.b64encode(wrong.get("proof", proof))

    def verified(self, server_final: bytes) -> bool:
        signature = hmac.digest(self.server_key, self.signed, "sha256")
        return server_final == b"v=" + base64.b64encode(signature)


def prove(
    client: ScramClient, keys: ScramKeys = KEYS, wrong: Mapping[str, bytes] = NOTHING
) -> tuple[Exchange, Step]:
    exchange = Exchange(SCRAM_SHA_256)
    assert isinstance(exchange.begin(b64(client.first())), KeysWanted)
    challenge = exchange.keys(keys)
    assert isinstance(challenge, Challenge)
    return exchange, exchange.take(b64(client.final(challenge.data, wrong)))


def test_scram_both_sides() -> None:
    client = ScramClient("user", "pencil", b"y,a=other=2Cone,")
    exchange, step = prove(client)
    assert step == Proven("user", "other,one")
    last = exchange.accept()
    assert isinstance(last, Challenge)
    assert client.verified(last.data)
    assert exchange.take(b64(b"something")) == MALFORMED


@pytest.mark.parametrize(
    ("client", "wrong", "failure"),
    [
        (ScramClient("user", "pencils"), {}, Failure.WRONG),
        (ScramClient("user", "pencil"), {"proof": bytes(32)}, Failure.WRONG),
        (ScramClient("user", "pencil"), {"proof": bytes(31)}, Failure.MALFORMED),
        (ScramClient("user", "pencil"), {"nonce": b"clientnonce"}, Failure.MALFORMED),
        (ScramClient("user", "pencil"), {"binding": b64(b"y,,")}, Failure.MALFORMED),
        (ScramClient("user", "pencil"), {"binding": b"?"}, Failure.MALFORMED),
    ],
)
def test_scram_wrong(client: ScramClient, wrong: dict[str, bytes], failure: Failure) -> None:
    assert prove(client, wrong=wrong)[1] == Failed(failure)


@pytest.mark.parametrize(
    ("message", "failure"),
    [
        (b"", Failure.MALFORMED),
        (b"n", Failure.MALFORMED),
        (b"n,,", Failure.MALFORMED),
        (b"n,,n=user", Failure.MALFORMED),
        (b"n,,n=user,r=", Failure.MALFORMED),
        (b"n,,n=,r=nonce", Failure.MALFORMED),
        (b"n,,n=us\0er,r=nonce", Failure.MALFORMED),
        (b"n,,n=\xff,r=nonce", Failure.MALFORMED),
        (b"n,,n=a=b,r=nonce", Failure.MALFORMED),
        (b"n,,n=user,r=no\x7fnce", Failure.MALFORMED),
        (b"n,,r=nonce,n=user", Failure.MALFORMED),
        (b"n,b=user,n=user,r=nonce", Failure.MALFORMED),
        (b"x,,n=user,r=nonce", Failure.MALFORMED),
        (b"p=tls-unique,,n=user,r=nonce", Failure.UNSUPPORTED),
        (b"n,,m=ext,n=user,r=nonce", Failure.UNSUPPORTED),
    ],
)
def test_scram_first_message(message: bytes, failure: Failure) -> None:
    assert Exchange(SCRAM_SHA_256).begin(b64(message) or b"=") == Failed(failure)


@pytest.mark.parametrize(
    "message", [b"", b"p=", b"c=biws", b"c=biws,p=AAAA", b"r=x,c=biws,p=AAAA", b"c=biws,r=x,q=A"]
)
def test_scram_final_message(message: bytes) -> None:
    exchange = Exchange(SCRAM_SHA_256)
    exchange.begin(b64(b"n,,n=user,r=nonce"))
    exchange.keys(KEYS)
    assert exchange.take(b64(message)) == MALFORMED


def test_a_message_before_the_keys() -> None:
    exchange = Exchange(SCRAM_SHA_256)
    exchange.begin(b64(b"n,,n=user,r=nonce"))
    assert exchange.take(b64(b"c=biws,r=nonce,p=AAAA")) == MALFORMED


def test_names_with_commas() -> None:
    assert Exchange(SCRAM_SHA_256).begin(b64(b"n,,n=a=2Cb=3Dc,r=x")) == KeysWanted("a,b=c")


def test_nonces_differ() -> None:
    challenges = set()
    for _ in range(2):
        exchange = Exchange(SCRAM_SHA_256)
        exchange.begin(b64(b"n,,n=user,r=nonce"))
        challenges.add(exchange.keys(KEYS))
    assert len(challenges) == 2


# --- keys ------------------------------------------------------------------------------


def test_keys_as_text() -> None:
    text = format_scram(KEYS)
    assert text.startswith(b"{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==,")
    assert parse_scram(text) == KEYS
    assert parse_scram(text.replace(b"{SCRAM-SHA", b"{scram-sha")) == KEYS
    assert repr(KEYS.stored_key) not in repr(KEYS)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"secret",
        b"{ARGON2}4096,AAAA,AAAA,AAAA",
        b"{SCRAM-SHA-256}",
        b"{SCRAM-SHA-256}4096,AAAA,AAAA",
        b"{SCRAM-SHA-256}4096,AAAA,AAAA,AAAA",
        b"{SCRAM-SHA-256}x,W22ZaJ0SNY7soEsUEjb6gQ==,%b,%b" % (b64(bytes(32)), b64(bytes(32))),
        b"{SCRAM-SHA-256}4095,W22ZaJ0SNY7soEsUEjb6gQ==,%b,%b" % (b64(bytes(32)), b64(bytes(32))),
        b"{SCRAM-SHA-256}99999999,W22ZaJ0SNY7soEsUEjb6gQ==,%b,%b" % (b64(bytes(32)), b64(bytes(32))),
        b"{SCRAM-SHA-256}4096,,%b,%b" % (b64(bytes(32)), b64(bytes(32))),
        b"{SCRAM-SHA-256}4096,?,%b,%b" % (b64(bytes(32)), b64(bytes(32))),
        b"{SCRAM-SHA-256}4096,AAAA,%b,%b" % (b64(bytes(31)), b64(bytes(32))),
        b"{SCRAM-SHA-256}4096,AAAA,%b,%b,more" % (b64(bytes(32)), b64(bytes(32))),
    ],
)
def test_other_texts_are_no_keys(text: bytes) -> None:
    assert parse_scram(text) is None


def test_verify() -> None:
    assert verify_scram(KEYS, "pencil")
    assert not verify_scram(KEYS, "pencils")
    assert not verify_scram(KEYS, "")
    assert not verify_scram(KEYS, "\x07")


def test_decoys() -> None:
    decoy = decoy_keys(b"secret", "nobody")
    assert decoy == decoy_keys(b"secret", "nobody")
    assert decoy.salt != decoy_keys(b"secret", "somebody").salt
    assert decoy.salt != decoy_keys(b"another", "nobody").salt
    assert len(decoy.salt) == 16
    assert parse_scram(format_scram(decoy)) == decoy
    assert prove(ScramClient("nobody", "pencil"), decoy_keys(b"s", "nobody", 4096))[1] == Failed(
        Failure.WRONG
    )


# --- SASLprep --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "prepared"),
    [  # RFC 4013 section 3, and more
        ("I\u00adX", "IX"),
        ("user", "user"),
        ("USER", "USER"),
        ("\u00aa", "a"),
        ("\u2168", "IX"),
        ("a\u00a0b", "a b"),
        ("p\u0061\u0308ss", "p\u00e4ss"),
        ("\u0627\u0628", "\u0627\u0628"),
        ("", ""),
    ],
)
def test_saslprep(text: str, prepared: str) -> None:
    assert saslprep(text) == prepared


@pytest.mark.parametrize(
    "text", ["\x07", "a\nb", "\u0627\u0031", "\u0627a\u0627", "\ue000", "\u200e", "\ufffd", "\U000e0041"]
)
def test_saslprep_refuses(text: str) -> None:
    with pytest.raises(ValueError, match=r"characters"):
        saslprep(text)


def test_unassigned_characters() -> None:
    assert saslprep("\u0221", stored=False) == "\u0221"
    with pytest.raises(ValueError, match="unassigned"):
        saslprep("\u0221")


@pytest.mark.parametrize(
    "text",
    [
        "a" + "\u0301\u0323" * 500,
        "a" + "\u0301\u200c\u0323" * 300,
        "\u00e4" * 1025,
        "\uff9e\u0301" * 5000,
    ],
)
def test_marks_without_end_cost_nothing(text: str) -> None:
    began = time.perf_counter()
    with pytest.raises(ValueError, match="more than"):
        saslprep(text)
    assert time.perf_counter() - began < 0.5


def test_an_empty_password_has_no_keys() -> None:
    for password in ("", "\u00ad"):
        with pytest.raises(ValueError, match="empty"):
            scram_keys(password, b"salt")
