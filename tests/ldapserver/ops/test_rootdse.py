"""What the server says of itself."""

from __future__ import annotations

import pytest

from ldapserver.controls import ASSERTION, PAGED_RESULTS, POST_READ
from ldapserver.extended import PASSWORD_MODIFY, REHOST, WHO_AM_I
from ldapserver.filters import parse_filter
from ldapserver.matching import Compiler
from ldapserver.messages import Entry
from ldapserver.rootdse import Synthetic, synthetic
from ldapserver.wire.client import decode_entry
from ldapserver.wire.encode import entry_tail
from tests.ldapserver.ops.site import Site

SUBSCHEMA = (b"cn=subschema",)


def subject(site: Site, key: tuple[bytes, ...] = ()) -> Synthetic:
    with site.core.store.snapshot() as snapshot:
        found = synthetic(site.core, snapshot, key)
    assert found is not None
    return found


def read(found: Synthetic, *wanted: str, types_only: bool = False) -> Entry:
    return decode_entry(entry_tail(found.dn, found.select(wanted, types_only)))


def values(entry: Entry) -> dict[str, list[str]]:
    return {a.type: [value.decode() for value in a.values] for a in entry.attributes}


def test_user_attributes_are_few(site: Site) -> None:
    for wanted in ((), ("*",)):
        assert values(read(subject(site), *wanted)) == {"objectClass": ["top"]}
    assert values(read(subject(site), "1.1")) == {}


def test_what_it_supports(site: Site) -> None:
    found = values(read(subject(site), "+"))
    assert found["supportedLDAPVersion"] == ["3"]
    assert found["subschemaSubentry"] == ["cn=Subschema"]
    assert found["namingContexts"] == ["o=example"]
    assert {ASSERTION, POST_READ, PAGED_RESULTS} < set(found["supportedControl"])
    assert {WHO_AM_I, PASSWORD_MODIFY, REHOST} < set(found["supportedExtension"])
    assert found["supportedSASLMechanisms"] == ["EXTERNAL", "PLAIN"]
    assert "1.3.6.1.1.14" in found["supportedFeatures"]
    assert found["vendorName"] == ["cgnode"]
    assert found["entryDN"] == [""]
    assert found["contextCSN"] == [site.values("cn=staff,o=example", "entryCSN")[0]]


def test_attributes_by_name(site: Site) -> None:
    entry = read(subject(site), "NAMINGCONTEXTS", "objectclass", "nothing", types_only=True)
    assert values(entry) == {"objectClass": [], "namingContexts": []}


def test_many_contexts_are_one(site: Site) -> None:
    for number in range(99):
        site.add(f"cn=d{number}", {"objectClass": "CommuniGateDomain"})
    assert len(values(read(subject(site), "namingContexts"))["namingContexts"]) == 100
    site.add("cn=one more", {"objectClass": "CommuniGateDomain"})
    assert values(read(subject(site), "namingContexts")) == {"namingContexts": [""]}


def test_the_subschema(site: Site) -> None:
    found = subject(site, SUBSCHEMA)
    plain = values(read(found))
    assert plain["cn"] == ["Subschema"]
    assert "subschema" in plain["objectClass"]
    assert "attributeTypes" not in plain
    everything = values(read(found, "*", "+"))
    assert any("hostServer" in text for text in everything["attributeTypes"])
    assert any("CommuniGateAccount" in text for text in everything["objectClasses"])
    assert set(values(read(found, "@subschema"))) >= {"attributeTypes", "objectClasses", "matchingRules"}
    assert everything["entryDN"] == everything["subschemaSubentry"] == ["cn=Subschema"]


@pytest.mark.parametrize(
    ("filter", "matches"),
    [
        ("(objectClass=*)", True),
        ("(objectClass=top)", True),
        ("(objectClass=person)", False),
        ("(supportedLDAPVersion=*)", True),
        ("(supportedFeatures=1.3.6.1.1.14)", True),
        ("(cn=x)", False),
    ],
)
def test_filters(site: Site, filter: str, matches: bool) -> None:
    compiled = Compiler(site.core.schema, site.core.everything).compile(parse_filter(filter))
    assert compiled(subject(site)) is matches


def test_other_entries_are_not_made_up(site: Site) -> None:
    with site.core.store.snapshot() as snapshot:
        assert synthetic(site.core, snapshot, (b"o=example",)) is None
