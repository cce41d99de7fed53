"""A client of any LDAPv3 directory, for nodes and tools, on ldaptor's connection.

ldaptor carries the requests, finds the question to each answer and decodes the answer;
our own codec writes the requests.  So our values go in and come out, a refusal is our
LDAPError, TLS verifies the server's name, and a server that falls silent is given up.
What must not live here: the meaning of any entry.
"""

# mypy: disallow-untyped-calls=False
# Neither ldaptor nor much of Twisted's client side is annotated.

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

from ldaptor.protocols import pureldap
from ldaptor.protocols.ldap.ldapclient import LDAPClient
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import connectProtocol
from twisted.internet.error import ConnectError, ConnectionClosed

from ldapserver.controls import PAGED_RESULTS, PagedResults, decode_paged_results, encode_paged_results
from ldapserver.extended import START_TLS
from ldapserver.messages import (
    Attribute,
    BindRequest,
    Control,
    Deref,
    Entry,
    ExtendedRequest,
    Filter,
    Present,
    Request,
    Result,
    SaslCredentials,
    Scope,
    SearchHead,
    SearchRequest,
    SimpleCredentials,
)
from ldapserver.net.connecting import TLS_ERRORS, endpoint_of, not_connected, tls_failed
from ldapserver.net.connecting import RemoteError as RemoteError
from ldapserver.net.listen import Address
from ldapserver.results import LDAPError, ResultCode
from ldapserver.wire.client import encode_request

PAGE: Final = 1000
"""Entries to a page of a search."""

SILENCE: Final = 300.0
"""Seconds without an answer after which a server counts as gone.  A large transaction's
commit is one answer, so this is long."""


ANY: Final = Present("objectClass")


class _Client(LDAPClient):  # type: ignore[misc]
    """ldaptor's client; what its decoder does not understand ends the connection."""

    def dataReceived(self, data: bytes) -> None:
        try:
            super().dataReceived(data)
        except Exception as error:
            self.fault = error
            self.transport.abortConnection()

    fault: Exception | None = None


class _Encoded(pureldap.LDAPProtocolRequest):  # type: ignore[misc]
    """A request as ldaptor's client sends one."""

    def __init__(self, request: Request) -> None:
        self._octets = encode_request(request)

    def toWire(self) -> bytes:
        return self._octets


class RemoteDirectory:
    """An open connection.  Its coroutines raise LDAPError for the server's refusals and
    RemoteError when the connection is of no use any more."""

    def __init__(self, reactor: Any, client: _Client, tls: Any, silence: float) -> None:
        self._reactor = reactor
        self._client = client
        self._tls = tls
        self._silence = silence

    @classmethod
    async def connect(
        cls, reactor: Any, address: Address, ca: bytes | None = None, silence: float = SILENCE
    ) -> RemoteDirectory:
        """``ca`` is a PEM certificate to trust in place of the system's."""
        endpoint, tls = endpoint_of(reactor, address, ca)
        try:
            client = await connectProtocol(endpoint, _Client())
        except ConnectError as error:
            raise not_connected(error) from None
        return cls(reactor, client, tls, silence)

    async def start_tls(self) -> None:
        """RFC 4511 section 4.14.  A name or chain that does not verify fails what is asked next."""
        await self.ask(ExtendedRequest(START_TLS, None))
        self._client.transport.startTLS(self._tls)

    async def bind(self, dn: str, password: bytes) -> None:
        await self.ask(BindRequest(3, dn, SimpleCredentials(password)))

    async def bind_external(self) -> None:
        """As the user that this process runs as, over a Unix socket (RFC 4422 appendix A)."""
        await self.ask(BindRequest(3, "", SaslCredentials("EXTERNAL", None)))

    async def read(self, dn: str, attributes: tuple[str, ...], filter: Filter = ANY) -> Entry | None:
        """The one entry; None when it does not match.  Raises LDAPError NO_SUCH_OBJECT."""
        entries: list[Entry] = []
        await self._collect(_search(dn, Scope.BASE, filter, attributes), (), entries)
        return entries[0] if entries else None

    async def search(
        self, base: str, scope: Scope, filter: Filter, attributes: tuple[str, ...]
    ) -> AsyncIterator[Entry]:
        """The entries found, fetched page by page."""
        request = _search(base, scope, filter, attributes)
        cookie = b""
        while True:
            entries: list[Entry] = []
            result = await self._collect(request, (_page(cookie),), entries)
            for entry in entries:
                yield entry
            cookie = _next_page(result)
            if not cookie:
                return

    async def ask(self, request: Request, controls: tuple[Control, ...] = ()) -> Result:
        """The Result of a request that has one answer."""
        self._check()
        sent = self._client.send_multiResponse_ex(_Encoded(request), _controls(controls))
        return _result(*await self._bounded(sent))

    def close(self) -> None:
        if self._client.connected:
            self._client.unbind()

    async def _collect(
        self, request: SearchRequest, controls: tuple[Control, ...], entries: list[Entry]
    ) -> Result:
        """A search's Result; its entries are put into ``entries``."""
        self._check()
        done: Deferred[Any] = Deferred()

        def take(answer: Any, answer_controls: Any) -> bool:
            if isinstance(answer, pureldap.LDAPSearchResultEntry):
                entries.append(_entry(answer))
            elif isinstance(answer, pureldap.LDAPSearchResultDone):
                done.callback((answer, answer_controls))
                return True
            return False

        sent = self._client.send_multiResponse_ex(_Encoded(request), _controls(controls), take)
        # With a handler, ldaptor fires this one only when the connection is lost.
        sent.addErrback(done.errback)
        return _result(*await self._bounded(done))

    def _check(self) -> None:
        if not self._client.connected:
            raise RemoteError("the connection is closed")

    async def _bounded(self, answer: Deferred[Any]) -> Any:
        """The answer, or RemoteError when the connection ends before it comes."""
        timeout = self._reactor.callLater(self._silence, self._client.transport.abortConnection)
        try:
            return await answer
        except ConnectionClosed as error:
            fault = self._client.fault
            raise RemoteError(f"{fault!r}" if fault else str(error)) from None
        except TLS_ERRORS as error:
            raise tls_failed(error) from None
        finally:
            if timeout.active():
                timeout.cancel()


def _search(base: str, scope: Scope, filter: Filter, attributes: tuple[str, ...]) -> SearchRequest:
    return SearchRequest(SearchHead(base, scope, Deref.NEVER, 0, 0, False), filter, attributes)


def _controls(controls: tuple[Control, ...]) -> list[tuple[str, bool, bytes | None]] | None:
    return [(control.oid, control.critical, control.value) for control in controls] or None


def _page(cookie: bytes) -> Control:
    # Not critical: a server that knows no pages answers with all at once.
    return Control(PAGED_RESULTS, False, encode_paged_results(PagedResults(PAGE, cookie)))


def _next_page(result: Result) -> bytes:
    """The cookie that asks for what follows; b"" after the last page."""
    for control in result.controls:
        if control.oid == PAGED_RESULTS:
            return decode_paged_results(control.value).cookie
    return b""


# --- from ldaptor's classes to ours ---------------------------------------------------


def _text(value: bytes | str) -> str:
    return value if isinstance(value, str) else value.decode("utf-8", "replace")


def _entry(answer: Any) -> Entry:
    attributes = (Attribute(_text(name), tuple(values)) for name, values in answer.attributes)
    return Entry(_text(answer.objectName), tuple(attributes))


def _result(answer: Any, controls: Any = None) -> Result:
    """An answer's Result; raises LDAPError unless it is success."""
    try:
        code = ResultCode(answer.resultCode)
    except ValueError:
        code = ResultCode.OTHER
    message, matched = _text(answer.errorMessage), _text(answer.matchedDN)
    if code is not ResultCode.SUCCESS:
        raise LDAPError(code, message, matched)
    return Result(
        code,
        matched,
        message,
        controls=tuple(Control(_text(oid), bool(critical), value) for oid, critical, value in controls or ()),
        value=getattr(answer, "response", None),
    )
