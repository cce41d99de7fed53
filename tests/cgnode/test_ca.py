from __future__ import annotations

import json
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from cgnode.admin.main import main
from cgnode.ca import CaError, Pair, is_issued_by, issue, new_authority, read_facts

NOW = datetime(2026, 11, 22, 19, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def authority() -> Pair:
    return new_authority("Example cluster", NOW)


def test_an_authority(authority: Pair) -> None:
    facts = read_facts(authority.certificate)
    assert facts.subject == "Example cluster"
    assert facts.authority
    assert facts.ends == NOW + timedelta(days=3650)


def test_a_servers_certificate(authority: Pair) -> None:
    pem = issue(authority, "be3", NOW).certificate
    facts = read_facts(pem)
    assert (facts.subject, facts.names, facts.authority) == ("be3", ("be3",), False)
    assert facts.begins < NOW
    assert facts.ends == NOW + timedelta(days=730)
    assert is_issued_by(pem, authority.certificate)
    usage = x509.load_pem_x509_certificate(pem).extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    assert set(usage.value) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}


def test_a_server_that_is_called_by_its_address(authority: Pair) -> None:
    assert read_facts(issue(authority, "10.0.0.3", NOW).certificate).names == ("10.0.0.3",)


def test_other_names_of_a_server(authority: Pair) -> None:
    pem = issue(authority, "d1", NOW, also=("ldap.example.com", "10.0.0.1", "d1")).certificate
    assert read_facts(pem).names == ("d1", "ldap.example.com", "10.0.0.1")
    with pytest.raises(CaError, match="no host's name"):
        issue(authority, "d1", NOW, also=("gr\u00fcn",))


def test_nothing_outlives_the_authority(authority: Pair) -> None:
    late = NOW + timedelta(days=3640)
    assert read_facts(issue(authority, "be3", late).certificate).ends == NOW + timedelta(days=3650)
    with pytest.raises(CaError, match="ended on 2036-11-19"):
        issue(authority, "be3", NOW + timedelta(days=3651))


def test_a_name_with_an_underscore(authority: Pair) -> None:
    with pytest.raises(CaError, match="be_3 can't be in a certificate"):
        issue(authority, "be_3", NOW)


def test_a_key_of_another(authority: Pair) -> None:
    other = new_authority("Other", NOW)
    with pytest.raises(CaError, match="not that of its certificate"):
        issue(Pair(authority.certificate, other.key), "be3", NOW)
    with pytest.raises(CaError, match="no PEM key"):
        issue(Pair(authority.certificate, b"no key"), "be3", NOW)
    with pytest.raises(CaError, match="no PEM certificate"):
        issue(Pair(b"no certificate", authority.key), "be3", NOW)
    assert not is_issued_by(issue(other, "be3", NOW).certificate, authority.certificate)


def test_keys_are_not_shown(authority: Pair) -> None:
    assert "PRIVATE" not in repr(authority)


# --- cgctl ca ---------------------------------------------------------------------------


def cgctl(data: Path, *arguments: str) -> int:
    return main(["--data", str(data), "ca", *arguments])


def test_init_issue_show(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cgctl(tmp_path, "init") == 0
    assert cgctl(tmp_path, "issue", "BE3") == 0
    told = capsys.readouterr().out
    assert f"{tmp_path}/ca/be3.key" in told
    assert 'certificate = "be3.pem"' in told
    for name in ("ca.key", "ca.pem", "be3.key", "be3.pem"):
        assert (tmp_path / "ca" / name).stat().st_mode & 0o777 == 0o600
    assert cgctl(tmp_path, "show", "--json") == 0
    listed = json.loads(capsys.readouterr().out)["certificates"]
    assert [(each["subject"], each["remark"]) for each in listed] == [("cgnode cluster", ""), ("be3", "")]


def test_the_data_folder_is_its_owners_only(tmp_path: Path) -> None:
    assert cgctl(tmp_path / "data", "init") == 0
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700
    # What the nodes show each other besides is there to be copied, too.
    assert len((tmp_path / "data" / "cluster.secret").read_text()) >= 16


def test_renewed_with_the_names_that_it_had(tmp_path: Path) -> None:
    def names() -> tuple[str, ...]:
        return read_facts((tmp_path / "ca" / "d1.pem").read_bytes()).names

    cgctl(tmp_path, "init")
    cgctl(tmp_path, "issue", "d1", "--also", "ldap.example.com", "--also", "10.0.0.1")
    assert cgctl(tmp_path, "issue", "d1") == 0
    assert names() == ("d1", "ldap.example.com", "10.0.0.1")
    assert cgctl(tmp_path, "issue", "d1", "--also", "10.0.0.9") == 0
    assert names() == ("d1", "10.0.0.9")


def test_issuing_again_renews(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cgctl(tmp_path, "init")
    cgctl(tmp_path, "issue", "be3")
    before = (tmp_path / "ca" / "be3.pem").read_bytes()
    capsys.readouterr()
    assert cgctl(tmp_path, "issue", "be3") == 0
    assert capsys.readouterr().out.startswith("be3's certificate is renewed, until ")
    assert (tmp_path / "ca" / "be3.pem").read_bytes() != before


def test_elsewhere_and_soon_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, out = tmp_path / "safe", tmp_path / "be3"
    assert cgctl(tmp_path, "init", "--folder", str(folder), "--days", "100") == 0
    assert cgctl(tmp_path, "issue", "be3", "--folder", str(folder), "--out", str(out), "--days", "20") == 0
    assert sorted(path.name for path in out.iterdir()) == ["be3.key", "be3.pem"]
    shutil.copy(out / "be3.pem", folder)
    (folder / "notes.pem").write_text("nothing")
    capsys.readouterr()
    assert cgctl(tmp_path, "show", "--folder", str(folder)) == 0
    shown = capsys.readouterr().out
    assert "! be3.pem: ends in 19 days; cgctl ca issue makes another" in shown
    assert "! notes.pem: this is no PEM certificate" in shown


@pytest.mark.parametrize(
    ("arguments", "status", "error"),
    [
        (("issue", "be3"), 1, "ca.pem; cgctl ca init makes an authority"),
        (("show",), 1, "ca.pem; cgctl ca init makes an authority"),
        (("issue", "ca"), 2, "a server can't be called ca"),
        (("issue", "be 3"), 2, "'be 3' is no server name"),
        (("init", "--days", "0"), 2, "--days: 0 is not from 1 to 36500"),
    ],
)
def test_refusals(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    status: int,
    error: str,
) -> None:
    assert cgctl(tmp_path, *arguments) == status
    assert error in capsys.readouterr().err


def test_an_authority_is_not_made_twice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cgctl(tmp_path, "init")
    before = (tmp_path / "ca" / "ca.pem").read_bytes()
    assert cgctl(tmp_path, "init") == 1
    assert "already" in capsys.readouterr().err
    assert (tmp_path / "ca" / "ca.pem").read_bytes() == before


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_openssl_agrees(tmp_path: Path) -> None:
    cgctl(tmp_path, "init")
    cgctl(tmp_path, "issue", "be3")
    for purpose in ("sslserver", "sslclient"):
        command = ["openssl", "verify", "-x509_strict", "-purpose", purpose, "-verify_hostname", "be3"]
        files = ["-CAfile", str(tmp_path / "ca" / "ca.pem"), str(tmp_path / "ca" / "be3.pem")]
        subprocess.run([*command, *files], check=True, capture_output=True, timeout=50)
