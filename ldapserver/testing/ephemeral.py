"""The directory itself: made in a temporary folder, in memory where there is some, with
``fsync`` off; everything else is as in earnest.  It is checked when it is closed.

Twisted is imported by what listens, and so not where nothing does.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from io import BytesIO
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from attrs import evolve, frozen

from ldapserver.core import Settings
from ldapserver.directory import BindOutcome
from ldapserver.filters import parse_filter
from ldapserver.identity import Identity, Peer
from ldapserver.ldif import format_entry
from ldapserver.local import LocalDirectory
from ldapserver.messages import (
    AddRequest,
    BindRequest,
    Change,
    CompareRequest,
    DeleteRequest,
    Deref,
    Entry,
    ModifyDNRequest,
    ModifyOp,
    ModifyRequest,
    Result,
    Scope,
    SearchHead,
    SearchRequest,
    SimpleCredentials,
    WriteRequest,
)
from ldapserver.results import LDAPError, ResultCode
from ldapserver.testing.exchangeable import ExchangeableDirectory, Intercept
from ldapserver.testing.source import Attributes, Source, Values, attributes, ldif_of, octets, stored
from ldapserver.transfer import export_ldif, import_ldif
from ldapserver.wire.client import decode_entry

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from ldapserver.net.service import LDAPService

PASSWORD: Final = "secret"

MEMORY: Final = Path("/dev/shm")

SETTINGS: Final = Settings(administrator_password=PASSWORD.encode(), map_size=64 * 1024 * 1024, sync=False)

EVERYTHING: Final = "(objectClass=*)"


@frozen(eq=False)
class Image:
    """A directory's whole state at a moment, entryUUIDs and all; for ``restore``."""

    folder: Path


class EphemeralDirectory:
    """A directory with an administrator (``administrator_dn``, ``administrator_password``),
    filled from any number of sources, parents first.

    Its methods act as the administrator unless they are given an ``identity``, such as
    ``bind`` returns, and raise LDAPError.  ``intercept`` may be set to a function that
    hears of every request of a client, and refuses it by raising LDAPError.
    """

    def __init__(self, *sources: Source, settings: Settings = SETTINGS, schema: str = "") -> None:
        if settings.administrator_password is None:
            settings = evolve(settings, administrator_password=PASSWORD.encode())
        if schema:
            settings = evolve(settings, schema=settings.schema.extended(schema))
        self._settings = settings
        self._names = count(1)
        self._service: LDAPService | None = None
        # The reactor of another thread that serves this directory, if one does.
        self._thread: Any = None
        self._closed = False
        self._folder = Path(
            tempfile.mkdtemp(prefix="ldap-", dir=MEMORY if os.access(MEMORY, os.W_OK) else None)
        )
        try:
            self._directory = ExchangeableDirectory(LocalDirectory.open(self._new_folder(), settings))
            for source in sources:
                self.load(source)
        except BaseException:
            self._discard()
            raise

    # --- its life ---------------------------------------------------------------------

    def close(self) -> None:
        """Stop serving, check the store, remove it.  AssertionError tells what is wrong."""
        if self._closed:
            return
        if self._service is not None:
            assert self._thread, "listens on a reactor of this thread: wait for stop_listening() first"
            _run_in(self._thread, self.stop_listening)
        self._closed = True
        try:
            problems = list(self.local.check())
        finally:
            self._discard()
        assert not problems, "the directory's store is not sound:\n" + "\n".join(problems)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def snapshot(self) -> Image:
        """The state as it is now, to come back to with ``restore``."""
        image = Image(self._new_folder())
        self.local.backup(image.folder)
        return image

    def restore(self, image: Image) -> None:
        """Be again as then.  Listeners and connections stay; searches under way fail."""
        folder = self._new_folder()
        shutil.copytree(image.folder, folder, dirs_exist_ok=True)
        successor = LocalDirectory.open(folder, self._settings)
        if self._thread:
            _run_in(self._thread, lambda: self._directory.exchange(successor))
        else:
            self._directory.exchange(successor)

    def _new_folder(self) -> Path:
        return self._folder / str(next(self._names))

    def _discard(self) -> None:
        self._closed = True
        if hasattr(self, "_directory"):
            self.local.close()
        shutil.rmtree(self._folder)

    # --- serving ----------------------------------------------------------------------

    def serve(self) -> Self:
        """Listen on a free port of the loopback and on a Unix socket, in a thread."""
        from ldapserver.testing.background import background_reactor

        self._thread = background_reactor()
        _run_in(self._thread, lambda: self.listen(self._thread))
        return self

    def listen(self, reactor: Any) -> Self:
        """The same on a reactor that runs in this thread; before ``close``, wait for
        ``stop_listening``."""
        from ldapserver.net.factory import LDAPFactory
        from ldapserver.net.service import LDAPService

        if self._service is None:
            core = self.local.core
            factory = LDAPFactory(reactor, self._directory, core.limits)
            urls = ["ldap://127.0.0.1:0", f"ldapi://{self._folder}/ldapi"]
            service = LDAPService(reactor, factory, urls)
            service.startService()
            self._service = service
        return self

    def stop_listening(self) -> Deferred[None]:
        """Close listeners and connections; only after ``listen``."""
        from twisted.internet.defer import succeed

        service, self._service = self._service, None
        return service.stopService() if service is not None else succeed(None)

    @property
    def url(self) -> str:
        """``ldap://127.0.0.1:PORT``"""
        return self._listening().urls[0]

    @property
    def ldapi_url(self) -> str:
        """``ldapi://%2F...``, as OpenLDAP's tools take it."""
        return self._listening().urls[1]

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def _listening(self) -> LDAPService:
        assert self._service is not None, "there is no listener: call serve() or listen(reactor)"
        return self._service

    # --- who ----------------------------------------------------------------------------

    @property
    def administrator_dn(self) -> str:
        return self._settings.administrator_dn

    @property
    def administrator_password(self) -> str:
        return (self._settings.administrator_password or b"").decode()

    def bind(self, name: str, password: str) -> Identity:
        """Who that is; LDAPError says why it is nobody."""
        request = BindRequest(3, name, SimpleCredentials(password.encode()))
        outcome = self.local.bind(request, Peer("test"))
        if not isinstance(outcome, BindOutcome):
            outcome = outcome.result()
        result = outcome.result
        if result.code is not ResultCode.SUCCESS:
            raise LDAPError(result.code, result.message, result.matched_dn)
        return outcome.identity

    # --- beneath the helpers --------------------------------------------------------------

    @property
    def local(self) -> LocalDirectory:
        """The directory proper, for what has no helper here."""
        return self._directory.current

    @property
    def intercept(self) -> Intercept:
        return self._directory.intercept

    @intercept.setter
    def intercept(self, intercept: Intercept) -> None:
        self._directory.intercept = intercept

    # --- reading ------------------------------------------------------------------------

    def search(
        self,
        filter: str = EVERYTHING,
        base: str = "",
        scope: Scope = Scope.SUBTREE,
        attributes: tuple[str, ...] = (),
        identity: Identity | None = None,
    ) -> list[Entry]:
        head = SearchHead(base, scope, Deref.NEVER, 0, 0, False)
        request = SearchRequest(head, parse_filter(filter), attributes)
        answers = self.local.search(identity or self.local.core.administrator, request, ())
        entries: list[Entry] = []
        while True:
            try:
                tail = next(answers)
            except StopIteration as stop:
                _demand(stop.value)
                return entries
            if tail:
                entries.append(decode_entry(tail))

    def get(self, dn: str, *attributes: str, identity: Identity | None = None) -> Entry | None:
        """One entry; None where there is none."""
        try:
            (entry,) = self.search(EVERYTHING, dn, Scope.BASE, attributes, identity)
        except (LDAPError, ValueError) as error:
            if isinstance(error, LDAPError) and error.code is not ResultCode.NO_SUCH_OBJECT:
                raise
            return None
        return entry

    def values(self, dn: str, attribute: str) -> list[str]:
        """An attribute's values as text, in their order; [] where there are none."""
        entry = self.get(dn, attribute)
        if entry is None:
            return []
        return [value.decode() for item in entry.attributes for value in item.values]

    def dump(self, base: str = "") -> str:
        """All below a base as LDIF."""
        out = BytesIO()
        export_ldif(self.local, out, base)
        return out.getvalue().decode()

    # --- writing ------------------------------------------------------------------------

    def load(self, source: Source) -> None:
        """Take in entries or changes; all or none.  Raises LdifError."""
        data, name = ldif_of(source)
        import_ldif(self.local, BytesIO(data), name)

    def add(self, dn: str, given: Attributes, identity: Identity | None = None) -> None:
        self.write(AddRequest(dn, attributes(given)), identity)

    def modify(
        self,
        dn: str,
        *,
        add: Attributes | None = None,
        delete: Attributes | None = None,
        replace: Attributes | None = None,
        identity: Identity | None = None,
    ) -> None:
        """Change attributes; an empty list of values deletes or replaces them all."""
        changes = (
            *_changes(ModifyOp.DELETE, delete or {}),
            *_changes(ModifyOp.ADD, add or {}),
            *_changes(ModifyOp.REPLACE, replace or {}),
        )
        self.write(ModifyRequest(dn, changes), identity)

    def delete(self, dn: str, identity: Identity | None = None) -> None:
        self.write(DeleteRequest(dn), identity)

    def rename(
        self, dn: str, new_rdn: str, new_superior: str | None = None, identity: Identity | None = None
    ) -> None:
        self.write(ModifyDNRequest(dn, new_rdn, True, new_superior), identity)

    def write(self, request: WriteRequest, identity: Identity | None = None) -> Result:
        future = self.local.write(identity or self.local.core.administrator, request, ())
        return _demand(future.result())

    # --- claims ---------------------------------------------------------------------------

    def assert_entry_exists(self, dn: str, filter: str = EVERYTHING) -> Entry:
        """The entry is there, and the filter is true of it."""
        entry = self.get(dn)
        assert entry is not None, f"there is no entry {dn}"
        matched = self.search(filter, dn, Scope.BASE)
        assert matched, f"{dn} does not match {filter}:\n{_shown(entry)}"
        return entry

    def assert_missing(self, dn: str) -> None:
        entry = self.get(dn)
        assert entry is None, f"there is an entry {dn}:\n{_shown(entry)}"

    def assert_attribute(self, dn: str, attribute: str) -> None:
        """The entry has a value of it, or of a subtype."""
        entry = self.assert_entry_exists(dn)
        found = self.get(dn, attribute)
        assert found is not None
        assert found.attributes, f"{dn} has no {attribute}:\n{_shown(entry)}"

    def assert_no_attribute(self, dn: str, attribute: str) -> None:
        self.assert_entry_exists(dn)
        values = self.values(dn, attribute)
        assert not values, f"{dn} has {attribute}: {values}"

    def assert_value(self, dn: str, attribute: str, *values: Values) -> None:
        """The entry has these values among others, as the attribute's equality rule says."""
        self.assert_entry_exists(dn)
        missing = [value for value in _flat(values) if not self._has(dn, attribute, value)]
        assert not missing, f"{dn} has {attribute}: {self.values(dn, attribute)}, not {missing}"

    def assert_no_value(self, dn: str, attribute: str, *values: Values) -> None:
        self.assert_entry_exists(dn)
        there = [value for value in _flat(values) if self._has(dn, attribute, value)]
        assert not there, f"{dn} has {attribute}: {there}"

    def _has(self, dn: str, attribute: str, value: bytes) -> bool:
        request = CompareRequest(dn, attribute, value)
        try:
            result = self.local.compare(self.local.core.administrator, request, ())
        except LDAPError as error:
            if error.code is not ResultCode.NO_SUCH_ATTRIBUTE:
                raise
            return False
        return result.code is ResultCode.COMPARE_TRUE


def _run_in(reactor: Any, function: Callable[[], object]) -> None:
    from ldapserver.testing.background import run_in

    run_in(reactor, function)


def _demand(result: Result) -> Result:
    if result.code is not ResultCode.SUCCESS:
        raise LDAPError(result.code, result.message, result.matched_dn)
    return result


def _changes(op: ModifyOp, given: Mapping[str, Values]) -> list[Change]:
    # A password to be deleted is meant as it is.
    if op is ModifyOp.DELETE:
        return [Change(op, name, octets(values)) for name, values in given.items()]
    return [Change(op, name, stored(name, values)) for name, values in given.items()]


def _flat(values: tuple[Values, ...]) -> list[bytes]:
    return [value for item in values for value in octets(item)]


def _shown(entry: Entry) -> str:
    return format_entry(entry).decode()
