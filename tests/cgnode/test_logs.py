from __future__ import annotations

import json
import logging
import subprocess
import sys

from cgnode.logs import JsonFormatter, TextFormatter


def record(message: str, *args: object) -> logging.LogRecord:
    made = logging.LogRecord("cgnode.frontend", logging.INFO, "", 0, message, args, None)
    made.created = 1795374861.25
    return made


def as_json(made: logging.LogRecord) -> dict[str, str]:
    line = JsonFormatter().format(made)
    assert "\n" not in line
    found: dict[str, str] = json.loads(line)
    return found


def test_json() -> None:
    assert as_json(record("%s login of %s", "0123456789ab", "al\nice@example.com")) == {
        "time": "2026-11-22T19:14:21.250+00:00",
        "level": "info",
        "logger": "cgnode.frontend",
        "session": "0123456789ab",
        "message": "login of al\nice@example.com",
    }


def test_json_without_a_session() -> None:
    for message in ("be3 is down: refused", "0123456789abc is no session", "0123456789ab"):
        found = as_json(record(message))
        assert "session" not in found
        assert found["message"] == message


def test_json_of_an_exception() -> None:
    made = record("failed")
    try:
        raise RuntimeError("of a test")
    except RuntimeError:
        made.exc_info = sys.exc_info()
    assert as_json(made)["exception"].endswith("RuntimeError: of a test")


def test_text_is_a_line() -> None:
    line = TextFormatter().format(record("%s from %s", "0123456789ab", "x\r\n2026-11-22 forged\x1b[1m"))
    assert line.endswith("INFO cgnode.frontend: 0123456789ab from x\\x0d\\x0a2026-11-22 forged\\x1b[1m")


def test_what_terminals_obey_and_other_ends_of_lines() -> None:
    line = TextFormatter().format(record("from %s", "\x9b2J\u2028forged\u2029\x85\u00e9"))
    assert line.endswith(r"from \x9b2J\u2028forged\u2029\x85" + "\u00e9")
    assert len(line.splitlines()) == 1


def test_long_ones_are_cut() -> None:
    made = record("as %s", "x" * 100_000)
    assert len(TextFormatter().format(made)) < 4300
    assert as_json(made)["message"].endswith("x... (100003 characters)")


def lines(form: str) -> list[str]:
    code = (
        "import logging; from twisted.logger import Logger; from cgnode.logs import begin_logging\n"
        f"begin_logging('info', {form!r})\n"
        "part = logging.getLogger('cgnode.part'); part.info('heard'); part.debug('not heard')\n"
        "own = Logger('twisted.internet'); own.info('a port opens'); own.warn('of Twisted'); print('said')\n"
        "try: 1 / 0\n"
        "except ZeroDivisionError: own.failure('while dividing')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=50, check=True
    )
    assert done.stdout == "said\n"
    return done.stderr.splitlines()


def test_all_parts_and_twisted() -> None:
    text = lines("text")
    assert text[0].endswith(" INFO cgnode.part: heard")
    assert text[1].endswith(" WARNING cgnode: of Twisted")
    assert text[2].endswith(" CRITICAL cgnode: while dividing")
    assert text[-1] == "ZeroDivisionError: division by zero"
    objects = [json.loads(line) for line in lines("json")]
    assert [each["message"] for each in objects] == ["heard", "of Twisted", "while dividing"]
    assert objects[2]["exception"].endswith("ZeroDivisionError: division by zero")
