from __future__ import annotations

from pathlib import Path

import pytest

from cgnode.admin.main import main

URI = ["--uri", "ldap://127.0.0.1:1"]
REHOST = ["rehost", "a", "b"]

REFUSED: list[tuple[list[str], str]] = [
    (["-D", "cn=x", *REHOST], "-D goes with --uri"),
    (["--ca", "x", *REHOST], "--ca goes with --uri"),
    (
        [*URI, "--data", "x", *REHOST],
        "--uri names a directory, --data and --config a folder: give one of them",
    ),
    ([*URI, "-w", "x", *REHOST], "-w needs -D, the DN to bind as"),
    (
        [*URI, "-D", "x", "-w", "x", "-y", "f", *REHOST],
        "-y and -w are two ways to give the password: keep one",
    ),
    ([*URI, "-D", "x", "-y", "/none", *REHOST], "-y: cannot read /none: No such file or directory"),
    ([*URI, "--ca", "/none", *REHOST], "--ca: cannot read /none: No such file or directory"),
    ([*URI, "check"], "this works on a folder: name it with --data, not --uri"),
    (
        ["--uri", "http://x", *REHOST],
        "--uri: http://x: not an ldap://, ldaps:// or ldapi:// URL",
    ),
    (["--uri", "ldap://:389", *REHOST], "--uri: ldap://:389 names no host"),
    ([*REHOST, "--accounts", "/none"], "cannot read /none: No such file or directory"),
    (["bulk-modify", "-"], "say which entries: --base, --domain, --filter or --accounts"),
    (["bulk-modify", "-", "--accounts", "-"], "FILE.ldif and --accounts cannot both be stdin"),
    (["bulk-modify", "/none", "--base", "o=x"], "cannot read /none: No such file or directory"),
    (["--config", "/none", "check"], "/none: No such file or directory; --config must name a file to read"),
]


@pytest.mark.parametrize(("argv", "line"), REFUSED)
def test_a_bad_command_line_is_one_line(
    argv: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(argv) == 2
    assert capsys.readouterr() == ("", f"cgctl: {line}\n")


def test_a_bad_filter(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*REHOST, "--filter", "(uid=x"]) == 2
    assert capsys.readouterr().err.startswith("cgctl: --filter: ")


def test_bad_modifications(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ldif = tmp_path / "changes.ldif"
    ldif.write_text("replace: title\ntitl: x\n")
    assert main(["bulk-modify", "--base", "o=x", str(ldif)]) == 2
    assert capsys.readouterr().err.startswith(f"cgctl: {ldif}:2: ")


def test_a_folder_without_a_directory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--data", str(tmp_path), "check"]) == 1
    line = f"cgctl: there is no directory in {tmp_path}; name a node's folder with --data\n"
    assert capsys.readouterr() == ("", line)


@pytest.mark.parametrize(
    "argv", [["--data", "/none", "check"], ["check", "--data", "/none"]], ids=["before", "after"]
)
def test_the_target_is_taken_before_the_command_and_after(
    argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(argv) == 1
    assert "/none" in capsys.readouterr().err


def test_the_environment_names_the_data_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CGNODE_DATA", str(tmp_path))
    assert main(["check"]) == 1
    assert f"there is no directory in {tmp_path};" in capsys.readouterr().err
    assert main(["--data", str(tmp_path / "other"), "check"]) == 1
    assert f"there is no directory in {tmp_path}/other;" in capsys.readouterr().err
