"""HTTP for the control interface: GET /health, GET /metrics, and the calls below /control/.

What lives here: who may, bounds, and errors as ``{"error": "one line"}``.  What must not:
what a call does (``calls``), sockets (``service``).

/health and /metrics are for balancers and monitors, which have no credential.  A call is
admitted on the Unix socket, where the file's mode says who may; elsewhere by the cluster's
token, which may come in clear text from this machine only, unless the configuration says
otherwise.
"""

# mypy: disallow-untyped-calls=False
# Twisted's web is not annotated all through.

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from http import HTTPStatus
from ipaddress import ip_address
from typing import Any, Final

from attrs import frozen
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.threads import deferToThreadPool
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from cgnode.backend.store import MailStoreError
from cgnode.control.calls import CALLS, Arguments, BadCall, Call, NoPart, methods_of
from cgnode.control.parts import METRICS_TYPE, Parts
from cgnode.control.token import admits
from cgnode.editing import Refused
from cgnode.frontend.queue.errors import QueueError, UnknownMessage
from cgnode.names import BadName
from ldapserver.results import LDAPError
from storage.errors import StoreError

_log = logging.getLogger(__name__)

CONTROL: Final = "/control/"
LONGEST_BODY: Final = 1 << 16
_JSON: Final = "application/json"


class _Unfit(Exception):
    """A request that is not to be carried out: the status, and why."""

    def __init__(self, status: HTTPStatus, reason: str, **headers: str) -> None:
        super().__init__(reason)
        self.status = status
        self.headers = headers


@frozen
class Admission:
    """Who may call; ``token`` None is everybody who can connect."""

    token: str | None
    clear_text: bool = False

    def check(self, request: Request) -> None:
        if self.token is None:
            return
        if not (request.isSecure() or self.clear_text or _is_local(request)):
            raise _Unfit(HTTPStatus.FORBIDDEN, "the control interface wants TLS from other machines")
        if not admits(self.token, request.getHeader("authorization")):
            reason = "the control interface wants the cluster's token"
            raise _Unfit(HTTPStatus.UNAUTHORIZED, reason, **{"WWW-Authenticate": "Bearer"})


def _is_local(request: Request) -> bool:
    try:
        return ip_address(request.getClientAddress().host.partition("%")[0]).is_loopback
    except (AttributeError, ValueError):
        return False


class ControlResource(Resource):
    """Everything that is served; there is no tree."""

    isLeaf = True

    def __init__(self, reactor: Any, parts: Parts, admission: Admission) -> None:
        super().__init__()
        self._reactor = reactor
        self._parts = parts
        self._admission = admission

    def render(self, request: Request) -> int:
        """Never fails: what goes wrong is the answer."""
        answer: Any = maybeDeferred(self._answer, request)
        answer.addErrback(lambda failure: self._failed(request, failure.value))
        gone: list[object] = []
        request.notifyFinish().addErrback(gone.append)
        answer.addCallback(lambda content: None if gone else _finish(request, content))
        answer.addErrback(lambda failure: _log.error("an answer could not be sent: %s", failure.value))
        return NOT_DONE_YET

    def _answer(self, request: Request) -> Any:
        """Octets, or a Deferred of them."""
        path = request.path.decode("ascii", "replace")
        method = request.method.decode("ascii", "replace")
        if path in ("/health", "/metrics"):
            if method not in ("GET", "HEAD"):
                raise _Unfit(HTTPStatus.METHOD_NOT_ALLOWED, f"{path} is to be got", Allow="GET, HEAD")
            return self._health(request) if path == "/health" else self._metrics(request)
        if not path.startswith(CONTROL):
            raise _Unfit(HTTPStatus.NOT_FOUND, f"there is no {path[:80]}; see /health, /metrics")
        self._admission.check(request)
        return self._control(request, method, path.removeprefix(CONTROL))

    def _health(self, request: Request) -> bytes:
        ailments = list(self._parts.ailments())
        if ailments:
            request.setResponseCode(HTTPStatus.SERVICE_UNAVAILABLE)
        facts = {"name": self._parts.name, "roles": self._parts.roles}
        return _json(request, {**facts, "serves": not ailments, "ailments": ailments})

    def _metrics(self, request: Request) -> bytes:
        if self._parts.metrics is None:
            raise _Unfit(HTTPStatus.NOT_FOUND, "this node has no metrics")
        request.setHeader("Content-Type", METRICS_TYPE)
        return self._parts.metrics().encode()

    # --- calls --------------------------------------------------------------------------

    def _control(self, request: Request, method: str, path: str) -> Deferred[bytes]:
        call = CALLS.get((method, path))
        if call is None:
            allowed = ", ".join(methods_of(path))
            if allowed:
                raise _Unfit(HTTPStatus.METHOD_NOT_ALLOWED, f"{path} takes {allowed}", Allow=allowed)
            raise _Unfit(HTTPStatus.NOT_FOUND, f"there is no {CONTROL}{path[:80]}")
        arguments = Arguments(_posted(request) if method == "POST" else _query(request))
        run = call.prepare(self._parts, arguments)
        arguments.done()
        if call.slow:
            done = deferToThreadPool(self._reactor, self._reactor.getThreadPool(), run)
        else:
            done = maybeDeferred(run)
        done.addCallback(lambda facts: self._done(request, call, facts))
        return done

    def _done(self, request: Request, call: Call, facts: Mapping[str, object]) -> bytes:
        call.after(self._parts)
        return _json(request, facts)

    # --- errors -------------------------------------------------------------------------

    def _failed(self, request: Request, error: BaseException) -> bytes:
        status, reason = _translated(error)
        request.setResponseCode(status)
        if isinstance(error, _Unfit):
            for name, value in error.headers.items():
                request.setHeader(name, value)
        return _json(request, {"error": reason})


def _translated(error: BaseException) -> tuple[HTTPStatus, str]:
    match error:
        case _Unfit():
            return error.status, str(error)
        case BadCall() | BadName():
            return HTTPStatus.BAD_REQUEST, str(error)
        case NoPart() | UnknownMessage():
            return HTTPStatus.NOT_FOUND, str(error)
        case LDAPError():
            return HTTPStatus.CONFLICT, f"{error.code.name.lower().replace('_', ' ')}: {error.message}"
        case Refused() | MailStoreError() | QueueError() | StoreError():
            return HTTPStatus.CONFLICT, str(error)
        case _:
            _log.error("a call failed", exc_info=error)
            return HTTPStatus.INTERNAL_SERVER_ERROR, "an error of the node's own; its log says more"


def _query(request: Request) -> dict[str, object]:
    values: dict[str, object] = {}
    for name, given in (request.args or {}).items():
        if len(given) != 1:
            raise BadCall(f"{name.decode('utf-8', 'replace')} is given twice")
        values[name.decode("utf-8", "replace")] = given[0].decode("utf-8", "replace")
    return values


def _posted(request: Request) -> Mapping[str, object]:
    content = request.content.read() if request.content else b""
    try:
        values = json.loads(content or b"{}")
    except (ValueError, RecursionError):
        raise BadCall("what was posted is not JSON") from None
    if not isinstance(values, dict):
        raise BadCall("what was posted is not a JSON object")
    return values


def _json(request: Request, facts: Mapping[str, object]) -> bytes:
    request.setHeader("Content-Type", _JSON)
    return json.dumps(facts).encode() + b"\n"


def _finish(request: Request, content: bytes) -> None:
    request.setHeader("Content-Length", str(len(content)))
    request.setHeader("Cache-Control", "no-store")
    if request.method != b"HEAD":
        request.write(content)
    request.finish()
