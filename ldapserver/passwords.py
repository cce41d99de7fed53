"""Stored passwords: ``{SCHEME}text`` values of userPassword (RFC 2307, RFC 3112).

New ones are Argon2id in the form of OpenLDAP's argon2 module.  What other servers wrote
verifies: salted and plain digests, crypt(3), PBKDF2, and text without a scheme.  A value
that is malformed, of an unknown scheme, or that asks for more work than a bind may cost
matches nothing.  Keys of SCRAM-SHA-256 (RFC 5802 section 3) verify a password too, so that
an account that has nothing else can bind.

What must not live here: who may bind, and when.  Nothing is logged.

``verify`` and ``hash_password`` take milliseconds, and megabytes, for the schemes that
are not ``is_fast``: a server calls them in a thread.  All of these let other threads run
meanwhile, which is why crypt(3) is called in the C library (``crypt_r``) and not through
a module that holds the interpreter's lock.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import hmac
import re
import secrets
import stringprep
import unicodedata
from collections.abc import Callable
from enum import Enum
from functools import cache

from attrs import frozen

# OWASP's first choice for Argon2id: 19 MiB, two passes, one lane.
_ARGON2_MEMORY = 19 * 1024
_ARGON2_PASSES = 2
_ARGON2_LANES = 1
_SALT_SIZE = 16
_TAG_SIZE = 32

# A stored value names its own cost, and may have been written by the account's owner.
_MAX_ARGON2_MEMORY = 1024 * 1024  # KiB
_MAX_ARGON2_WORK = 4 * 1024 * 1024  # KiB times passes
_MAX_PBKDF2_ROUNDS = 10_000_000
# glibc's SHA-crypt takes time that grows with the square of the password's length.
_MAX_CRYPT_PASSWORD = 512

DUMMY = (
    b"{ARGON2}$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA"
    b"$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
)
"""Matches no password, in the time that one of ours takes: verify against it when there
is no such account, or none with a password, and the answer's time tells nothing."""


class _Kind(Enum):
    PLAIN = "plain"
    DIGEST = "digest"
    PBKDF2 = "pbkdf2"
    CRYPT = "crypt"
    ARGON2 = "argon2"
    SCRAM = "scram"


@frozen
class _Scheme:
    """``hash`` is hashlib's name, where there is one to know."""

    kind: _Kind
    hash: str = ""


# By the name in upper case.  The last ones of a kind are Dovecot's names for it.
_SCHEMES = {
    b"CLEARTEXT": _Scheme(_Kind.PLAIN),
    b"PLAIN": _Scheme(_Kind.PLAIN),
    b"MD5": _Scheme(_Kind.DIGEST, "md5"),
    b"SMD5": _Scheme(_Kind.DIGEST, "md5"),
    b"SHA": _Scheme(_Kind.DIGEST, "sha1"),
    b"SSHA": _Scheme(_Kind.DIGEST, "sha1"),
    b"SHA256": _Scheme(_Kind.DIGEST, "sha256"),
    b"SSHA256": _Scheme(_Kind.DIGEST, "sha256"),
    b"SHA384": _Scheme(_Kind.DIGEST, "sha384"),
    b"SSHA384": _Scheme(_Kind.DIGEST, "sha384"),
    b"SHA512": _Scheme(_Kind.DIGEST, "sha512"),
    b"SSHA512": _Scheme(_Kind.DIGEST, "sha512"),
    b"PBKDF2": _Scheme(_Kind.PBKDF2, "sha1"),
    b"PBKDF2-SHA1": _Scheme(_Kind.PBKDF2, "sha1"),
    b"PBKDF2-SHA256": _Scheme(_Kind.PBKDF2, "sha256"),
    b"PBKDF2-SHA512": _Scheme(_Kind.PBKDF2, "sha512"),
    b"CRYPT": _Scheme(_Kind.CRYPT),
    b"MD5-CRYPT": _Scheme(_Kind.CRYPT),
    b"BLF-CRYPT": _Scheme(_Kind.CRYPT),
    b"SHA256-CRYPT": _Scheme(_Kind.CRYPT),
    b"SHA512-CRYPT": _Scheme(_Kind.CRYPT),
    b"ARGON2": _Scheme(_Kind.ARGON2),
    b"ARGON2I": _Scheme(_Kind.ARGON2),
    b"ARGON2ID": _Scheme(_Kind.ARGON2),
    b"SCRAM-SHA-256": _Scheme(_Kind.SCRAM, "sha256"),
}

_SCHEME = re.compile(rb"\{([A-Za-z0-9./_-]+)\}")
_NONE = _Scheme(_Kind.PLAIN)

_ARGON2 = re.compile(rb"\$argon2(id|i|d)(?:\$v=\d{1,3})?\$m=(\d{1,10}),t=(\d{1,10}),p=\d{1,2}\$[^$]+\$[^$]+")

# Methods of crypt(3), as far as their cost is bounded by their form: traditional DES;
# MD5; bcrypt up to cost 16; SHA-256 and SHA-512 up to 9,999,999 rounds; scrypt and
# yescrypt up to 512 MiB.
_CRYPT = re.compile(
    rb"""
    [./0-9A-Za-z]{13}
    | \$1\$ [^$]{0,8} \$ .+
    | \$2[abxy]\$ (?: 0[4-9] | 1[0-6] ) \$ .{53}
    | \$[56]\$ (?: rounds=\d{1,7}\$ )? (?!rounds=) [^$]{0,16} \$ .+
    | \$7\$ [./0-9A-E] [./0-9A-U] \.{4} /\.{4} .+
    | \$g?y\$ j [./0-9A-E] [./0-9A-T] \$ .+
    """,
    re.VERBOSE | re.DOTALL,
)


def hash_password(password: bytes, randomness: Callable[[int], bytes] = secrets.token_bytes) -> bytes:
    """``password`` as it is stored; about 20 ms of one core and 19 MiB."""
    # Imported at first use: it costs a server's start 20 ms and some memory.
    from argon2.low_level import Type, hash_secret

    hashed = hash_secret(
        password,
        randomness(_SALT_SIZE),
        time_cost=_ARGON2_PASSES,
        memory_cost=_ARGON2_MEMORY,
        parallelism=_ARGON2_LANES,
        hash_len=_TAG_SIZE,
        type=Type.ID,
    )
    return b"{ARGON2}" + hashed


def generate_password(randomness: Callable[[int], bytes] = secrets.token_bytes) -> str:
    """120 bits in 24 characters that can be read out: a to z, 2 to 7."""
    return base64.b32encode(randomness(15)).decode("ascii").lower()


def plain_text(value: bytes) -> bytes | None:
    """The password itself, when ``value`` is not hashed (no known scheme, or a scheme
    that says so); None when it is.  What comes back is what to hash before storing."""
    prefix = _SCHEME.match(value)
    scheme = _SCHEMES.get(prefix[1].upper()) if prefix else None
    if prefix is None or scheme is None:
        return value
    return value[prefix.end() :] if scheme.kind is _Kind.PLAIN else None


def is_hashed(value: bytes) -> bool:
    """``value`` begins with the name of a known hashing scheme."""
    return plain_text(value) is None


def is_fast(stored: bytes) -> bool:
    """``verify`` takes microseconds."""
    scheme, _ = _split(stored)
    return scheme is None or scheme.kind in (_Kind.PLAIN, _Kind.DIGEST)


def verify(stored: bytes, password: bytes) -> bool:
    """Whether ``password`` is the one that ``stored`` was made of; never raises."""
    scheme, text = _split(stored)
    if scheme is None or not text:
        return False
    match scheme.kind:
        case _Kind.PLAIN:
            return hmac.compare_digest(text, password)
        case _Kind.DIGEST:
            return _verify_digest(scheme.hash, text, password)
        case _Kind.PBKDF2:
            return _verify_pbkdf2(scheme.hash, text, password)
        case _Kind.CRYPT:
            return _verify_crypt(text, password)
        case _Kind.ARGON2:
            return _verify_argon2(text, password)
        case _Kind.SCRAM:
            return _verify_scram(scheme.hash, text, password)


def _split(stored: bytes) -> tuple[_Scheme | None, bytes]:
    """The scheme and what follows it.  What looks like a scheme and is not known is no
    plain text: None, as OpenLDAP decides too."""
    prefix = _SCHEME.match(stored)
    if prefix is None:
        return _NONE, stored
    return _SCHEMES.get(prefix[1].upper()), stored[prefix.end() :]


def _verify_digest(hash_name: str, text: bytes, password: bytes) -> bool:
    """Base64 of the digest, followed by the salt if there is one."""
    try:
        decoded = binascii.a2b_base64(text, strict_mode=True)
    except binascii.Error:
        return False
    digest = hashlib.new(hash_name, password, usedforsecurity=False)
    stored, salt = decoded[: digest.digest_size], decoded[digest.digest_size :]
    digest.update(salt)
    return hmac.compare_digest(digest.digest(), stored)


def _verify_pbkdf2(hash_name: str, text: bytes, password: bytes) -> bool:
    """``rounds$salt$key`` as OpenLDAP's module and passlib write it."""
    rounds, _, rest = text.partition(b"$")
    salt, _, key = rest.partition(b"$")
    if not (rounds.isdigit() and len(rounds) <= 8 and 1 <= int(rounds) <= _MAX_PBKDF2_ROUNDS):
        return False
    try:
        raw_salt, raw_key = _adapted_base64(salt), _adapted_base64(key)
    except binascii.Error:
        return False
    # A shorter key would be a prefix of the right one, and match.
    if len(raw_key) != hashlib.new(hash_name, usedforsecurity=False).digest_size:
        return False
    made = hashlib.pbkdf2_hmac(hash_name, password, raw_salt, int(rounds), len(raw_key))
    return hmac.compare_digest(made, raw_key)


def _adapted_base64(text: bytes) -> bytes:
    """Base64 with ``.`` for ``+`` and no padding."""
    return binascii.a2b_base64(text.replace(b".", b"+") + b"=" * (-len(text) % 4), strict_mode=True)


def _verify_scram(hash_name: str, text: bytes, password: bytes) -> bool:
    """``rounds,salt,stored key,server key``, the last three in base64, as Dovecot writes it."""
    rounds, *rest = text.split(b",")
    if not (rounds.isdigit() and len(rounds) <= 8 and 1 <= int(rounds) <= _MAX_PBKDF2_ROUNDS):
        return False
    try:
        salt, stored_key, server_key = (binascii.a2b_base64(part, strict_mode=True) for part in rest)
        prepared = _prepared(password)
    except ValueError:  # not base64, not three parts, not UTF-8
        return False
    if not salt or not prepared or len(server_key) != len(stored_key):
        return False
    salted = hashlib.pbkdf2_hmac(hash_name, prepared, salt, int(rounds))
    client_key = hmac.digest(salted, b"Client Key", hash_name)
    return hmac.compare_digest(hashlib.new(hash_name, client_key).digest(), stored_key)


def _prepared(password: bytes) -> bytes:
    """As SASLprep changes it (RFC 4013 sections 2.1 and 2.2).  What it would refuse has no
    keys that could match."""
    if password.isascii():
        return password
    mapped = (
        " " if stringprep.in_table_c12(character) else character
        for character in password.decode()
        if not stringprep.in_table_b1(character)
    )
    return unicodedata.ucd_3_2_0.normalize("NFKC", "".join(mapped)).encode()


def _verify_argon2(text: bytes, password: bytes) -> bool:
    form = _ARGON2.fullmatch(text)
    if form is None:
        return False
    memory, passes = int(form[2]), int(form[3])
    if memory > _MAX_ARGON2_MEMORY or memory * passes > _MAX_ARGON2_WORK:
        return False
    from argon2.exceptions import Argon2Error
    from argon2.low_level import Type, verify_secret

    variant = {b"id": Type.ID, b"i": Type.I, b"d": Type.D}[form[1]]
    try:
        return verify_secret(text, password, variant)
    except Argon2Error:
        return False


def _verify_crypt(text: bytes, password: bytes) -> bool:
    if _CRYPT.fullmatch(text) is None or len(password) > _MAX_CRYPT_PASSWORD:
        return False
    if b"\0" in password or b"\0" in text:  # the end, for C
        return False
    crypt_r = _crypt_r()
    made = None if crypt_r is None else crypt_r(password, text)
    return made is not None and hmac.compare_digest(made, text)


def crypt_available() -> bool:
    """``{CRYPT}`` values can be verified on this machine."""
    return _crypt_r() is not None


@cache
def _crypt_r() -> Callable[[bytes, bytes], bytes | None] | None:
    """The C library's re-entrant crypt(3), in libcrypt or in the C library itself."""
    import ctypes  # not before it is needed, like argon2

    prototype = ctypes.CFUNCTYPE(ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p)
    functions = []
    for library in ("libcrypt.so.1", "libcrypt.so.2", None):
        with contextlib.suppress(OSError, AttributeError):
            functions.append(prototype(("crypt_r", ctypes.CDLL(library))))
            break

    def crypt_r(password: bytes, setting: bytes) -> bytes | None:
        # struct crypt_data has 32 KiB in libxcrypt, 128 KiB in old glibc; zeros at first.
        made: bytes | None = functions[0](password, setting, ctypes.create_string_buffer(256 * 1024))
        return made

    return crypt_r if functions else None
