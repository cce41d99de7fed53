"""A copy of a directory elsewhere kept equal to it: connect, go on from the cookie, apply
what comes, and again.

The copy is written in a thread of its own.  While the provider is silent it is asked now
and then whether it is there; one that does not answer is given up.  After a failure the
next of the URLs is tried, sooner at first, and not by all followers at the same moments.
What must not live here: the protocol's meaning (``sync.copy``), one connection's octets
(``streaming``).
"""

# mypy: disallow-untyped-calls=False
# Twisted's client side is not annotated.

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from random import Random
from typing import Any, Final, TypeVar

from attrs import field, frozen
from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.endpoints import connectProtocol
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.python.failure import Failure

from ldapserver.extended import START_TLS
from ldapserver.messages import (
    BindRequest,
    Deref,
    Present,
    SaslCredentials,
    Scope,
    SearchHead,
    SearchRequest,
    SimpleCredentials,
)
from ldapserver.net.connecting import TLS_ERRORS, RemoteError, endpoint_of, not_connected, tls_failed
from ldapserver.net.listen import Address, UnixAddress
from ldapserver.net.streaming import Stream
from ldapserver.results import LDAPError
from ldapserver.sync.copy import Copy
from ldapserver.sync.writing import CopyError
from ldapserver.wire.framing import ProtocolViolation
from storage.errors import StoreError

log = logging.getLogger(__name__)

T = TypeVar("T")

_IS_THERE: Final = SearchRequest(
    SearchHead("", Scope.BASE, Deref.NEVER, 0, 0, True), Present("objectClass"), ("1.1",)
)


@frozen
class Access:
    """Where providers of one directory are, and as whom to ask them.  ``ca`` is a PEM
    certificate to trust instead of the system's; on a Unix socket without ``dn`` the
    user of this process is who asks."""

    addresses: tuple[Address, ...]
    dn: str | None = None
    password: bytes = field(default=b"", repr=False)
    ca: bytes | None = field(default=None, repr=False)
    start_tls: bool = False


@frozen
class Patience:
    """Seconds: between two questions whether the provider is there, how long it may take to
    answer, or to connect, and between two attempts at first and at last."""

    heartbeat: float = 10.0
    silence: float = 30.0
    connect: float = 10.0
    first_wait: float = 0.5
    longest_wait: float = 30.0
    # That what was told without a cookie is shown.
    settle: float = 1.0


DEFAULT_PATIENCE: Final = Patience()


class Follower:
    """``contact`` is called whenever the copy is known to be what the provider has."""

    def __init__(
        self,
        reactor: Any,
        copy: Copy,
        access: Access,
        contact: Callable[[], None],
        patience: Patience = DEFAULT_PATIENCE,
        random: Random | None = None,
    ) -> None:
        self._reactor = reactor
        self._copy = copy
        self._access = access
        self._contact = contact
        self._patience = patience
        self._random = random or Random()
        self._thread = ThreadPoolExecutor(1, "replica")
        self._task: Deferred[None] | None = None
        self._stopping = False
        self._applying = False
        self._reached = False
        self.provider = ""
        self.fault = ""
        self.connections = 0

    def start(self) -> None:
        self._task = Deferred.fromCoroutine(self._run())
        self._task.addErrback(_ended)

    async def stop(self) -> None:
        """The copy is not written to any more."""
        self._stopping = True
        if self._task is not None:
            task, self._task = self._task, None
            task.cancel()
            await task
        await self._in_thread(self._copy.end)
        self._thread.shutdown()

    @property
    def persisting(self) -> bool:
        """Whether a provider is connected and all that it has told is here."""
        return self._copy.persisting

    # --- for ever ---------------------------------------------------------------------

    async def _run(self) -> None:
        wait = self._patience.first_wait
        while True:
            for address in self._access.addresses:
                self._reached = False
                await self._attempt(address)
                if self._stopping:  # looking a name up answers a cancellation as any failure
                    return
                if self._reached:
                    wait = self._patience.first_wait
                await self._sleep(wait * self._random.uniform(0.5, 1.5))
                wait = min(2 * wait, self._patience.longest_wait)

    async def _attempt(self, address: Address) -> None:
        """One connection's life."""
        after = self._copy.end
        try:
            await self._follow(address)
        except CancelledError:
            raise
        except CopyError as error:
            self._failed(address, f"{error}; everything is fetched anew")
            after = self._copy.forget
        except (RemoteError, LDAPError, StoreError, ProtocolViolation) as error:
            self._failed(address, str(error))
        except Exception as error:
            log.exception("following %s failed", address)
            self._failed(address, repr(error))
        finally:
            self.provider = ""
        try:
            await self._in_thread(after)
        except StoreError as error:
            self._failed(address, str(error))

    def _failed(self, address: Address, text: str) -> None:
        fault = f"{address}: {text}"
        if fault != self.fault:
            log.warning("the directory at %s", fault)
        self.fault = fault

    async def _follow(self, address: Address) -> None:
        stream, tls = await self._connect(address)
        try:
            await self._bounded(stream, self._introduce(stream, tls, address))
            request, controls = await self._in_thread(self._copy.begin)
            stream.follow(request, controls)
            self.provider = str(address)
            self.connections += 1
            beat = Deferred.fromCoroutine(self._beat(stream))
            beat.addErrback(lambda failure: failure.trap(CancelledError, RemoteError))
            try:
                await self._apply(stream)
            finally:
                beat.cancel()
        finally:
            stream.close()

    async def _connect(self, address: Address) -> tuple[Stream, Any]:
        try:
            endpoint, tls = endpoint_of(self._reactor, address, self._access.ca)
            connecting: Deferred[Stream] = connectProtocol(endpoint, Stream(self._reactor))
            connecting.addTimeout(self._patience.connect, self._reactor)
            return await connecting, tls
        except ConnectError as error:
            raise not_connected(error) from None
        except DNSLookupError as error:
            raise RemoteError(str(error)) from None
        except TLS_ERRORS as error:
            raise tls_failed(error) from None
        except TimeoutError:
            raise RemoteError("no answer") from None

    async def _introduce(self, stream: Stream, tls: Any, address: Address) -> None:
        access = self._access
        if access.start_tls and tls is not None:
            await stream.start_tls(START_TLS, tls)
        if access.dn is not None:
            await stream.ask(BindRequest(3, access.dn, SimpleCredentials(access.password)))
        elif isinstance(address, UnixAddress):
            await stream.ask(BindRequest(3, "", SaslCredentials("EXTERNAL", None)))

    async def _bounded(self, stream: Stream, work: Any) -> None:
        """``work`` as long as the provider may take for it.  While something is being applied
        its answer may be there and unread."""

        timeout: Any = None

        def expire() -> None:
            nonlocal timeout
            if self._applying:
                timeout = self._reactor.callLater(self._patience.silence, expire)
            else:
                stream.give_up("no answer")

        timeout = self._reactor.callLater(self._patience.silence, expire)
        try:
            await Deferred.fromCoroutine(work)
        finally:
            if timeout.active():
                timeout.cancel()

    async def _apply(self, stream: Stream) -> None:
        copy = self._copy
        while True:
            messages = await stream.messages(self._patience.settle)
            if not messages:
                if copy.pending:
                    await self._in_thread(copy.settle)
                continue
            self._applying = True
            try:
                await self._in_thread(partial(copy.take, messages))
            finally:
                self._applying = False
            if copy.persisting:
                self._reached = True
                if self.fault:
                    log.info("the directory at %s is followed", self.provider)
                self.fault = ""
                self._contact()

    async def _beat(self, stream: Stream) -> None:
        """See whether the provider is there when it is silent."""
        patience = self._patience
        while True:
            await self._sleep(patience.heartbeat)
            quiet = self._reactor.seconds() - stream.heard
            if quiet < patience.heartbeat / 2:
                continue
            with suppress(LDAPError):  # a refusal is a sign of life, too
                await self._bounded(stream, stream.ask(_IS_THERE))
            if self._copy.persisting and not self._applying and not self._copy.pending:
                self._contact()

    # --- ways and means ---------------------------------------------------------------

    def _sleep(self, seconds: float) -> Deferred[None]:
        call: Any = None
        done: Deferred[None] = Deferred(lambda _: call.cancel())
        call = self._reactor.callLater(seconds, done.callback, None)
        return done

    def _in_thread(self, function: Callable[[], T]) -> Deferred[T]:
        """Cannot be cancelled: who waits goes on when it is done."""
        done: Deferred[T] = Deferred()
        future = self._thread.submit(function)
        future.add_done_callback(lambda _: self._reactor.callFromThread(_settle, done, future))
        return done


def _ended(failure: Failure) -> None:
    if failure.check(CancelledError) is None:
        log.error("the directory is not followed any more: %s", failure.getTraceback())


def _settle(done: Deferred[T], future: Future[T]) -> None:
    if done.called:  # cancelled meanwhile
        return
    error = future.exception()
    if error is not None:
        done.errback(Failure(error))
    else:
        done.callback(future.result())
