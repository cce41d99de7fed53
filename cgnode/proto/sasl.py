"""SASL for mail protocols (RFC 4422): PLAIN (RFC 4616), LOGIN (draft-murchison-sasl-login),
SCRAM-SHA-256 (RFC 5802, RFC 7677) on the server's side, PLAIN's message for clients;
SASLprep (RFC 4013).

What lives here: the mechanisms' messages, the base64 around them, the keys that SCRAM
stores.  What must not: who has which password, which the shell answers; how a protocol
writes a challenge.

An ``Exchange`` gives a step for each line.  ``Credentials`` and ``Proven`` are answered by
``accept``, or by dropping the exchange; ``KeysWanted`` by ``keys``.  Channel binding is
not offered.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import stringprep
import unicodedata
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Final, Protocol, TypeAlias

from attrs import field, frozen

PLAIN: Final = "PLAIN"
LOGIN: Final = "LOGIN"
SCRAM_SHA_256: Final = "SCRAM-SHA-256"

MAX_LINE: Final = 12288 + 2
"""What a line of an exchange may have (RFC 4954 section 4.1.1), with CRLF."""

Randomness: TypeAlias = Callable[[int], bytes]


class Failure(Enum):
    CANCELLED = "cancelled by the client"
    MALFORMED = "not a message of the mechanism"
    UNSUPPORTED = "needs what is not offered here"
    WRONG = "wrong proof"


@frozen
class Challenge:
    """To be sent, in base64 (``text``), and answered by the client's next line."""

    data: bytes = field(repr=False)

    @property
    def text(self) -> bytes:
        return binascii.b2a_base64(self.data, newline=False)


@frozen
class Credentials:
    """A name and a password to verify, as they came: PLAIN and LOGIN."""

    authcid: str
    password: bytes = field(repr=False)
    authzid: str = ""


@frozen
class KeysWanted:
    """The SCRAM keys of ``authcid`` are needed; of somebody unknown, ``decoy_keys``."""

    authcid: str
    authzid: str = ""


@frozen
class Proven:
    """The client has shown that it knows the password of ``authcid``."""

    authcid: str
    authzid: str = ""


@frozen
class Failed:
    """The end: nothing was proven."""

    failure: Failure


@frozen
class Succeeded:
    """The end, after ``accept``."""


Step: TypeAlias = Challenge | Credentials | KeysWanted | Proven | Failed | Succeeded


class Mechanism(Protocol):
    """One mechanism's messages, of which the client's is the first: ``b""`` and None are
    not the same to ``start`` (RFC 4422 section 4.3)."""

    def start(self, initial: bytes | None) -> Step: ...

    def respond(self, message: bytes) -> Step: ...


class PlainMechanism:
    """RFC 4616."""

    __slots__ = ()

    def start(self, initial: bytes | None) -> Step:
        return Challenge(b"") if initial is None else self.respond(initial)

    def respond(self, message: bytes) -> Step:
        parts = message.split(b"\0")
        if len(parts) != 3 or not parts[1] or not parts[2]:
            return Failed(Failure.MALFORMED)
        try:
            return Credentials(parts[1].decode(), parts[2], parts[0].decode())
        except UnicodeDecodeError:
            return Failed(Failure.MALFORMED)


class LoginMechanism:
    """Two questions.  Clients send the name as an initial response too."""

    __slots__ = ("_name",)

    def __init__(self) -> None:
        self._name: str | None = None

    def start(self, initial: bytes | None) -> Step:
        return Challenge(b"Username:") if initial is None else self.respond(initial)

    def respond(self, message: bytes) -> Step:
        if not message or b"\0" in message:
            return Failed(Failure.MALFORMED)
        if self._name is not None:
            return Credentials(self._name, message)
        try:
            self._name = message.decode()
        except UnicodeDecodeError:
            return Failed(Failure.MALFORMED)
        return Challenge(b"Password:")


# --- SCRAM -----------------------------------------------------------------------------

ITERATIONS: Final = 65_536
"""For new keys: 20 ms for who has the password, as often as guesses for who has not.  No more,
since clients with Cyrus SASL (mbsync, mutt) refuse it."""

_MIN_ITERATIONS: Final = 4096  # RFC 7677 section 4
_MAX_ITERATIONS: Final = 10_000_000
_KEY_SIZE: Final = 32
_MAX_SALT: Final = 1024
_NONCE_SIZE: Final = 18
_FORM: Final = b"{SCRAM-SHA-256}"


@frozen
class ScramKeys:
    """What a server keeps of a password for SCRAM-SHA-256: enough to verify it, not to
    use it."""

    salt: bytes
    iterations: int
    stored_key: bytes = field(repr=False)
    server_key: bytes = field(repr=False)


def scram_keys(password: str, salt: bytes, iterations: int = ITERATIONS) -> ScramKeys:
    """The keys of a password; ValueError if it is none that SCRAM can take.  Costs the
    milliseconds that ``iterations`` say, and lets other threads run meanwhile."""
    prepared = saslprep(password)
    if not prepared:
        raise ValueError("an empty password")
    salted = hashlib.pbkdf2_hmac("sha256", prepared.encode(), salt, iterations)
    client_key = _hmac(salted, b"Client Key")
    return ScramKeys(salt, iterations, _sha256(client_key), _hmac(salted, b"Server Key"))


def verify_scram(keys: ScramKeys, password: str) -> bool:
    """Whether the keys are this password's: for PLAIN, where no other hash is stored."""
    try:
        made = scram_keys(password, keys.salt, keys.iterations)
    except ValueError:
        return False
    return hmac.compare_digest(made.stored_key, keys.stored_key)


def decoy_keys(secret: bytes, authcid: str, iterations: int = ITERATIONS) -> ScramKeys:
    """Keys that no password has, for a name that has none: always the same ones, so that
    asking tells nobody which names there are.  ``secret`` is the server's own."""
    made = [_hmac(secret, purpose + authcid.encode()) for purpose in (b"salt ", b"stored ", b"server ")]
    return ScramKeys(made[0][:16], iterations, made[1], made[2])


def format_scram(keys: ScramKeys) -> bytes:
    """The keys as a value of userPassword, in the form that Dovecot reads too."""
    parts = (keys.salt, keys.stored_key, keys.server_key)
    return b",".join((_FORM + b"%d" % keys.iterations, *map(base64.b64encode, parts)))


def parse_scram(value: bytes) -> ScramKeys | None:
    """The keys in a value of userPassword; None when it has another form."""
    if value[: len(_FORM)].upper() != _FORM:
        return None
    parts = value[len(_FORM) :].split(b",")
    if len(parts) != 4 or not parts[0].isdigit() or len(parts[0]) > 8:
        return None
    iterations = int(parts[0])
    try:
        salt, stored_key, server_key = (binascii.a2b_base64(part, strict_mode=True) for part in parts[1:])
    except binascii.Error:
        return None
    if len(stored_key) != _KEY_SIZE or len(server_key) != _KEY_SIZE or not 0 < len(salt) <= _MAX_SALT:
        return None
    if not _MIN_ITERATIONS <= iterations <= _MAX_ITERATIONS:
        return None
    return ScramKeys(salt, iterations, stored_key, server_key)


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


class _Malformed(Exception):
    def __init__(self, failure: Failure = Failure.MALFORMED) -> None:
        self.failure = failure


class ScramMechanism:
    """RFC 5802 with SHA-256."""

    __slots__ = (
        "_authcid",
        "_authzid",
        "_bare",
        "_header",
        "_keys",
        "_nonce",
        "_randomness",
        "_server_first",
        "signature",
    )

    def __init__(self, randomness: Randomness) -> None:
        self._randomness = randomness
        self._header = b""
        self._bare = b""
        self._nonce = b""
        self._authcid = self._authzid = ""
        self._server_first = b""
        self._keys: ScramKeys | None = None
        self.signature = b""
        """The server's final message: its own proof that it has the keys."""

    def start(self, initial: bytes | None) -> Step:
        return Challenge(b"") if initial is None else self.respond(initial)

    def respond(self, message: bytes) -> Step:
        try:
            if self._keys is not None:
                return self._final(message, self._keys)
            if self._nonce:
                return Failed(Failure.MALFORMED)  # its keys have not been given
            return self._first(message)
        except _Malformed as malformed:
            return Failed(malformed.failure)

    def keys(self, keys: ScramKeys) -> Challenge:
        """The server's first message, for a client with these keys."""
        self._keys = keys
        salt = base64.b64encode(keys.salt)
        self._server_first = b"r=%b,s=%b,i=%d" % (self._nonce, salt, keys.iterations)
        return Challenge(self._server_first)

    def _first(self, message: bytes) -> Step:
        flag, comma, rest = message.partition(b",")
        authzid, second, bare = rest.partition(b",")
        if not comma or not second:
            raise _Malformed
        if flag.startswith(b"p="):
            raise _Malformed(Failure.UNSUPPORTED)
        if flag not in (b"n", b"y"):
            raise _Malformed
        self._header = flag + b"," + authzid + b","
        self._authzid = _name(authzid, b"a=") if authzid else ""
        parts = bare.split(b",")
        if parts[0].startswith(b"m="):
            raise _Malformed(Failure.UNSUPPORTED)
        if len(parts) < 2:
            raise _Malformed
        self._authcid = _name(parts[0], b"n=")
        nonce = _value(parts[1], b"r=")
        if not nonce or not all(0x21 <= octet <= 0x7E for octet in nonce):
            raise _Malformed
        self._bare = bare
        self._nonce = nonce + base64.b64encode(self._randomness(_NONCE_SIZE))
        return KeysWanted(self._authcid, self._authzid)

    def _final(self, message: bytes, keys: ScramKeys) -> Step:
        unproven, comma, proof_part = message.rpartition(b",")
        parts = unproven.split(b",")
        if not comma or len(parts) < 2:
            raise _Malformed
        proof = _decoded(_value(proof_part, b"p="))
        if _decoded(_value(parts[0], b"c=")) != self._header or _value(parts[1], b"r=") != self._nonce:
            raise _Malformed
        if len(proof) != _KEY_SIZE:
            raise _Malformed
        signed = b",".join((self._bare, self._server_first, unproven))
        client_signature = _hmac(keys.stored_key, signed)
        client_key = bytes(a ^ b for a, b in zip(proof, client_signature, strict=True))
        if not hmac.compare_digest(_sha256(client_key), keys.stored_key):
            raise _Malformed(Failure.WRONG)
        self.signature = b"v=" + base64.b64encode(_hmac(keys.server_key, signed))
        return Proven(self._authcid, self._authzid)


def _value(part: bytes, name: bytes) -> bytes:
    if not part.startswith(name):
        raise _Malformed
    return part[len(name) :]


def _name(part: bytes, name: bytes) -> str:
    """A saslname (RFC 5802 section 5.1)."""
    raw = _value(part, name)
    if not raw or b"\0" in raw or raw.count(b"=") != raw.count(b"=2C") + raw.count(b"=3D"):
        raise _Malformed
    try:
        return raw.replace(b"=2C", b",").replace(b"=3D", b"=").decode()
    except UnicodeDecodeError:
        raise _Malformed from None


def _decoded(text: bytes) -> bytes:
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except binascii.Error:
        raise _Malformed from None


# --- the exchange ----------------------------------------------------------------------

_MECHANISMS: Final[Mapping[str, Callable[[Randomness], Mechanism]]] = {
    PLAIN: lambda randomness: PlainMechanism(),
    LOGIN: lambda randomness: LoginMechanism(),
    SCRAM_SHA_256: ScramMechanism,
}
MECHANISMS: Final = tuple(_MECHANISMS)


class Exchange:
    """One authentication: lines in base64 from the client, a step for each.

    ``mechanism`` is one of MECHANISMS.
    """

    __slots__ = ("_closing", "_mechanism")

    def __init__(self, mechanism: str, randomness: Randomness = secrets.token_bytes) -> None:
        self._mechanism = _MECHANISMS[mechanism](randomness)
        self._closing = False

    def begin(self, initial: bytes | None) -> Step:
        """``initial`` is the initial response as it stood in the command: ``=`` is an
        empty one, None is none."""
        if initial is None:
            return self._mechanism.start(None)
        message = b"" if initial == b"=" else _base64(initial)
        return Failed(Failure.MALFORMED) if message is None else self._mechanism.start(message)

    def take(self, line: bytes) -> Step:
        """The client's answer to a challenge."""
        if line == b"*":
            return Failed(Failure.CANCELLED)
        message = _base64(line)
        if message is None:
            return Failed(Failure.MALFORMED)
        if self._closing:
            return Failed(Failure.MALFORMED) if message else Succeeded()
        return self._mechanism.respond(message)

    def keys(self, keys: ScramKeys) -> Step:
        """The answer to KeysWanted."""
        assert isinstance(self._mechanism, ScramMechanism), "no keys were wanted"
        return self._mechanism.keys(keys)

    def accept(self) -> Challenge | Succeeded:
        """The answer to Credentials and Proven, if that is who may be here.  A last
        challenge, where the mechanism has one, is answered by an empty line: none of the
        mail protocols has a place for it in its final answer."""
        if isinstance(self._mechanism, ScramMechanism):
            self._closing = True
            return Challenge(self._mechanism.signature)
        return Succeeded()


def _base64(line: bytes) -> bytes | None:
    try:
        return binascii.a2b_base64(line, strict_mode=True)
    except binascii.Error:
        return None


def plain_message(authcid: str, password: bytes, authzid: str = "") -> bytes:
    """A client's message of PLAIN, before base64: ``authcid`` has the password, and means
    to act as ``authzid``.  ValueError for what the message can't carry."""
    parts = (authzid.encode(), authcid.encode(), password)
    if any(b"\0" in part for part in parts) or not authcid or not password:
        raise ValueError("a name or password that is empty or has a NUL")
    return b"\0".join(parts)


# --- SASLprep --------------------------------------------------------------------------

_UNICODE: Final = unicodedata.ucd_3_2_0  # the version of RFC 3454
_MOST: Final = 1024
_MOST_MARKS: Final = 30

_PROHIBITED: Final = (
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)


def saslprep(text: str, *, stored: bool = True) -> str:
    """A user name or password in the form that is compared (RFC 4013); ValueError when
    there is none.  ``stored`` strings have no characters that Unicode 3.2 had not."""
    if text.isascii():
        if not text.isprintable():
            raise ValueError("control characters")
        return text
    if len(text) > _MOST:
        raise ValueError(f"more than {_MOST} characters")
    mapped = "".join(map(_mapped, text))
    _check_marks(mapped)
    prepared = _UNICODE.normalize("NFKC", mapped)
    for character in prepared:
        if any(prohibited(character) for prohibited in _PROHIBITED):
            raise ValueError("prohibited characters")
        if stored and stringprep.in_table_a1(character):
            raise ValueError("unassigned characters")
    _check_direction(prepared)
    return prepared


def _mapped(character: str) -> str:
    if stringprep.in_table_c12(character):
        return " "
    return "" if stringprep.in_table_b1(character) else character


def _check_marks(text: str) -> None:
    """Sorting the marks of one character takes ``normalize`` quadratic time: a text must
    be "stream-safe" (Unicode Standard Annex 15, section 13)."""
    run = 0
    for character in text:
        run = run + 1 if unicodedata.combining(character) else 0
        if run > _MOST_MARKS:
            raise ValueError(f"more than {_MOST_MARKS} combining marks on a character")


def _check_direction(text: str) -> None:
    """RFC 3454 section 6."""
    if not any(map(stringprep.in_table_d1, text)):
        return
    if any(map(stringprep.in_table_d2, text)):
        raise ValueError("left-to-right and right-to-left characters")
    if not (stringprep.in_table_d1(text[0]) and stringprep.in_table_d1(text[-1])):
        raise ValueError("right-to-left characters that do not begin and end the text")
