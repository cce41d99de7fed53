"""Values that slappasswd, passlib and the C library made of the password "secret"."""

from __future__ import annotations

import string
import subprocess
import sys
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ldapserver.passwords import (
    DUMMY,
    crypt_available,
    generate_password,
    hash_password,
    is_fast,
    is_hashed,
    plain_text,
    verify,
)

DIGESTS = [
    b"{SSHA}44j3h0OGx8KHYFuoJ8BumzPFQ/QAgRPC",
    b"{SMD5}vxcv/xW2pk9k8h+aKhCsotKh0qA=",
    b"{MD5}Xr4ilOzQ4PCOq3aQ0qbuaQ==",
    b"{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=",
    b"{sha}5en6G6MezRroT3XKqkdPOmY/BfQ=",
    b"{SSHA256}Zwbd0qlGkl6OIGJyk4WWEdTABIuk2ABKOBwhCcfZI5ZoPkYvHOCSrA==",
    b"{SSHA384}1+IvZaPPsH/RE+yi+dbFUcjoJVq5GMxZ1sj6ULNOSh4W9gpXcSx68Z2a2Ng+mTXWy/f3onyp680=",
    b"{SSHA512}RoT0grGYyD2WdHHISXNmMpPD0dKS+KsX1kgHbQoD63bk6WoeTd+SG1TMJP7uYvBrFxXm7FRhGnIO9ZbHYaf7NRCsm4Jq"
    b"+5px",
    b"{SHA256}K7gNU3sdo+OL0wNhqoVWhr3g6s1xYv72ol/pe/Unols=",
    b"{SHA384}WKd1ukESvjAFrkQHznV9iP2nHUBJe7gCbsrFTU4//HIyzo3jq1rLMK45dg/ufFPt",
    b"{SHA512}vSsar3708Jvp9Szi2NWZZ02Bqp1qRCFpbcTZPdBhnWgs5WtNZKnvCXdhztmeD2cmW192CF5bDufKRpayrW/isg==",
]
PLAIN = [b"secret", b"{CLEARTEXT}secret", b"{cleartext}secret", b"{PLAIN}secret"]
PBKDF2 = [
    b"{PBKDF2-SHA256}1000$itF6r1VqTck5Z0zJGYPwXg$if2jiWApdX2x8cmx1xNltOWVkdz/d3USruTW/3pOfm0",
    b"{PBKDF2-SHA512}1000$DeGcM8bYOwcAoFRqDQEAoA$nwzG9G.DrdkPTRu2zV660RmuTYkqOg3F5IHN3blC2qn.aG21bihui1YqURkk"
    b"j/3cVV7T9Jm0tJ6Cpcz94v1F5w",
    b"{PBKDF2}1000$grA2JsRY6x2jNEZoTUlJ6Q$Y7VipNbIBaIoPoulNu9aagNqxQ4",
    b"{PBKDF2-SHA1}1000$grA2JsRY6x2jNEZoTUlJ6Q$Y7VipNbIBaIoPoulNu9aagNqxQ4",
]
CRYPT = [
    b"{CRYPT}3oQ9725Uksmys",
    b"{CRYPT}$1$36rFVJig$dA5AMk2uUNHt.j5zdAqjc/",
    b"{MD5-CRYPT}$1$36rFVJig$dA5AMk2uUNHt.j5zdAqjc/",
    b"{CRYPT}$5$rounds=1000$O3sT0Nk/RngCv/NG$DQqh5bp8OQM0BY2ZOYnsFrep.U9xa//LqO9/89XxIYD",
    b"{SHA512-CRYPT}$6$rounds=1000$LvBxWXzE0LvWCVjp$U3mLPpP/g8HPrtGaqeRYEBYuSeX4Cts42613.apSTfyauP8n5SUgrNM5oql"
    b"eh7ahNxcljwk1L3FQLC7x10F5V0",
    b"{CRYPT}$6$k0kCxW8AwBNk7AXz$oXjm1ZUP8qgMF7xk9IAKA0rcbUyYkCksB56ULlSOiHhyjhD9ctx8b9HGlFKp8k8hPJgeg1bVN.65IpC"
    b"EHxctq1",
]
# What only libxcrypt knows of crypt(3), which most systems have.
XCRYPT = [
    b"{CRYPT}$2b$04$mQVk92/Tz15HEP0iJgDD2.XnYbJiRAKadnesv852m1lY8enXVxQ/W",
    b"{BLF-CRYPT}$2a$04$MadhGhQeys.IcOBrogFpBeTwG7A03mW1TIe4YQnYotqWd7kVIIriW",
    b"{CRYPT}$y$j75$/dO6XgXgNNKtPvcXLtmJS/$i4GtGP6ExqBW6t5jBl//AKcIS9rBdxRA.DSuJWXDb42",
    b"{CRYPT}$gy$j75$9/aDj6ztAgTM7.ULWda.l0$exR5OtX9d/CnB9ugp7DNayFdDFD6ipFUXVC0LmiuoB3",
    b"{CRYPT}$7$BU..../....h0hHz4qjaLX1sL5ydvr6e/$Gts/urHkr5WKPDO1iQ7r0cp1AA9XT/RZrahI3JS6GR9",
]
ARGON2 = [
    b"{ARGON2}$argon2i$v=19$m=4096,t=3,p=1$xbsHzb17eTqOeqv0hPVdsg$NKLAg3PUKTsLRfz2wNbtQBFMeSIr+MhKYzTLy3C+nyE",
]
# Dovecot's.
SCRAM = [
    b"{SCRAM-SHA-256}4096,oUqvmd2U5coF4os54hmO+g==,YoT6M4G8MgfoFkcZtAJeiZS7sFU6i+NxCZKZab7lV/c=,"
    b"Wd1XR1k0JpmrgeQLHhQ/r3kZS06+n1Yj7ASndMSXPb0=",
]
SLOW = PBKDF2 + CRYPT + XCRYPT + ARGON2 + SCRAM

needs_crypt = pytest.mark.skipif(not crypt_available(), reason="no libcrypt here")
needs_xcrypt = pytest.mark.skipif(
    not crypt_available() or not verify(XCRYPT[0], b"secret"), reason="no libxcrypt here"
)


@pytest.mark.parametrize(
    "stored",
    [
        *DIGESTS,
        *PLAIN,
        *PBKDF2,
        *ARGON2,
        *SCRAM,
        *(pytest.param(stored, marks=needs_crypt) for stored in CRYPT),
        *(pytest.param(stored, marks=needs_xcrypt) for stored in XCRYPT),
    ],
)
def test_verify(stored: bytes) -> None:
    assert verify(stored, b"secret")
    for wrong in (b"Secret", b"", b"secret ", b"secret\0", b"secre", b"secret" * 1000, b"\0", b"\xff"):
        if stored in PBKDF2 + SCRAM and wrong == b"secret\0":
            continue  # HMAC, which it is made of, pads short keys with zeros
        assert not verify(stored, wrong)
    assert not verify(stored[:-4], b"secret")


def test_new_hashes() -> None:
    stored = hash_password(b"p\xc3\xa4ss\0word")
    assert stored.startswith(b"{ARGON2}$argon2id$v=19$m=19456,t=2,p=1$")
    assert verify(stored, b"p\xc3\xa4ss\0word")
    assert not verify(stored, b"p\xc3\xa4ss")
    assert hash_password(b"x") != hash_password(b"x")
    same = [hash_password(b"x", lambda size: b"r" * size) for _ in range(2)]
    assert same[0] == same[1]


def test_the_dummy_matches_nothing_and_takes_as_long() -> None:
    assert not verify(DUMMY, b"")
    assert not verify(DUMMY, b"secret")
    made = hash_password(b"x")
    assert DUMMY.split(b"$")[:4] == made.split(b"$")[:4]
    assert list(map(len, DUMMY.split(b"$"))) == list(map(len, made.split(b"$")))
    # Not refused for its form: that would be quick.
    started = time.perf_counter()
    verify(DUMMY, b"secret")
    assert time.perf_counter() - started > 0.002


def test_kinds() -> None:
    for stored in DIGESTS + PLAIN:
        assert is_fast(stored)
    for stored in [*SLOW, DUMMY]:
        assert not is_fast(stored)
    for stored in DIGESTS + SLOW:
        assert is_hashed(stored)
        assert plain_text(stored) is None
    for stored in PLAIN:
        assert not is_hashed(stored)
        assert plain_text(stored) == b"secret"
    for odd in (b"", b"{", b"{}", b"{x}", b"{my}password", b"}{SSHA}", b" {SSHA}x"):
        assert not is_hashed(odd)
        assert plain_text(odd) == odd
        assert is_fast(odd)


@pytest.mark.parametrize(
    "stored",
    [
        b"",
        b"{SSHA}",
        b"{SSHA}!",
        b"{SSHA}c2VjcmV0",
        b"{SSHA}44j3h0OGx8KHYFuoJ8BumzPFQ/QAgRP",
        b"{FOO}secret",
        b"{CLEARTEXT}",
        b"{PBKDF2-SHA256}",
        b"{PBKDF2-SHA256}0$AAAA$" + b"A" * 43,
        b"{PBKDF2-SHA256}-1$AAAA$" + b"A" * 43,
        b"{PBKDF2-SHA256}99999999$AAAA$" + b"A" * 43,
        b"{PBKDF2-SHA256}" + b"9" * 5000 + b"$AAAA$" + b"A" * 43,
        b"{PBKDF2-SHA256}1000$AAAA$",
        b"{PBKDF2-SHA256}1000$AAAAA$" + b"A" * 43,
        b"{PBKDF2-SHA256}1000$AAAA$" + b"A" * 4300,
        b"{CRYPT}",
        b"{CRYPT}*",
        b"{CRYPT}*0",
        b"{CRYPT}!$6$LvBxWXzE0LvWCVjp$U3mL",
        b"{CRYPT}$6$",
        b"{CRYPT}$9$abc$def",
        b"{CRYPT}$6$rounds=999999999$LvBxWXzE0LvWCVjp$U3mL",
        b"{CRYPT}$2b$31$mQVk92/Tz15HEP0iJgDD2.XnYbJiRAKadnesv852m1lY8enXVxQ/W",
        b"{CRYPT}$y$jFT$tHAiOXCGpggAMVGS6riiQ.$x",
        b"{CRYPT}$1$a\0b$x",
        b"{SCRAM-SHA-256}",
        b"{SCRAM-SHA-256}4096",
        b"{SCRAM-SHA-256}4096,,,",
        b"{SCRAM-SHA-256}0,AAAA,AAAA,AAAA",
        b"{SCRAM-SHA-256}99999999,AAAA,AAAA,AAAA",
        b"{SCRAM-SHA-256}4096,AAAA,AAAA,AAAA,AAAA",
        b"{SCRAM-SHA-256}4096,!,!,!",
        b"{ARGON2}",
        b"{ARGON2}$argon2id$",
        b"{ARGON2}$argon2x$v=19$m=4096,t=3,p=1$xbsHzb17eTqOeqv0hPVdsg$NKLAg3PUKTs",
        b"{ARGON2}$argon2id$v=19$m=4294967295,t=1,p=1$xbsHzb17eTqOeqv0hPVdsg$NKLAg3PUKTs",
        b"{ARGON2}$argon2id$v=19$m=8,t=4294967295,p=1$xbsHzb17eTqOeqv0hPVdsg$NKLAg3PUKTs",
        b"{ARGON2}$argon2id$v=19$m=0,t=0,p=0$xbsHzb17eTqOeqv0hPVdsg$NKLAg3PUKTs",
        b"{ARGON2}$argon2id$v=19$m=4096,t=3,p=1$!$!",
        b"{ARGON2}$argon2id$v=99$m=4096,t=3,p=1$xbsHzb17eTqOeqv0hPVdsg$NKLAg3PUKTs",
        b"{ARGON2}$argon2id$v=19$m=4096,t=3,p=1$xbsH\0zb17eTqOeqv0hPVdsg$NKLAg3PUKTs\xff",
    ],
)
def test_malformed_and_unbounded_values_match_nothing_at_once(stored: bytes) -> None:
    started = time.process_time()
    for password in (b"", b"secret", stored):
        assert not verify(stored, password)
    assert time.process_time() - started < 1


schemes = st.sampled_from(
    [
        b"SSHA",
        b"MD5",
        b"SHA512",
        b"PBKDF2-SHA256",
        b"CRYPT",
        b"ARGON2",
        b"SCRAM-SHA-256",
        b"CLEARTEXT",
        b"X",
        b"",
    ]
)
rests = st.one_of(
    st.binary(max_size=60),
    st.text("$=,mtpvargon2id0123456789AB./", max_size=40).map(str.encode),
)


def test_scram_prepares_a_password() -> None:
    """RFC 4013: what looks the same is the same."""
    stored = (
        b"{SCRAM-SHA-256}4096,c2FsdA==,pVtLqAzTVb10dZhxZhx5azdbrp1DK5zNa/WIhoEcENc=,"
        b"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
    )
    assert verify(stored, "I\u00adX \u00e4".encode())
    assert verify(stored, "\u2168\u00a0a\u0308".encode())
    assert not verify(stored, b"IX a")
    assert not verify(stored, b"\xff")


@given(schemes, rests, st.binary(max_size=20))
def test_verify_never_raises(scheme: bytes, rest: bytes, password: bytes) -> None:
    stored = b"{%b}%b" % (scheme, rest)
    verify(stored, password)
    is_fast(stored)
    is_hashed(stored)


@needs_crypt
def test_crypt_is_reentrant() -> None:
    failed: list[bytes] = []

    def work(stored: bytes) -> None:
        for _ in range(20):
            if not verify(stored, b"secret") or verify(stored, b"other"):
                failed.append(stored)

    threads = [threading.Thread(target=work, args=(stored,)) for stored in CRYPT[:4]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed


def test_generated_passwords() -> None:
    made = generate_password()
    assert len(made) == 24
    assert set(made) <= set(string.ascii_lowercase + string.digits)
    assert made != generate_password()
    assert generate_password(lambda size: bytes(size)) == "a" * 24


def test_nothing_heavy_is_loaded_before_it_is_needed() -> None:
    code = (
        "import sys, ldapserver.passwords as p;"
        "p.verify(b'{SSHA}x', b'x'); p.is_hashed(b'{CRYPT}x');"
        "sys.exit(bool({'argon2', 'ctypes', 'crypt'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=20).returncode == 0
