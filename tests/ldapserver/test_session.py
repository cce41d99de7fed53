"""The session without a socket: every rule, with input whole and byte by byte."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import CancelledError
from itertools import product

import pytest

from ldapserver.directory import BindOutcome, Limits
from ldapserver.extended import START_TLS
from ldapserver.identity import Identity, Peer
from ldapserver.messages import (
    AbandonRequest,
    AddRequest,
    Attribute,
    BindRequest,
    Change,
    CompareRequest,
    Control,
    DeleteRequest,
    Deref,
    ExtendedRequest,
    Message,
    ModifyDNRequest,
    ModifyOp,
    ModifyRequest,
    Present,
    Request,
    Result,
    Scope,
    SearchHead,
    SearchRequest,
    SimpleCredentials,
    UnbindRequest,
)
from ldapserver.results import LDAPError, ResultCode
from ldapserver.session import (
    TLS_ON_PLAIN,
    Abandoned,
    Closed,
    Event,
    Operation,
    Session,
    StartTLS,
    State,
    result_of,
)
from ldapserver.wire.client import Response, decode_response, encode_message
from ldapserver.wire.encode import NOTICE_OF_DISCONNECTION
from storage.errors import StoreBusy, StoreError, StoreFull, StoreReadOnly

HEAD = SearchHead("o=example", Scope.SUBTREE, Deref.NEVER, 0, 0, False)
SEARCH = SearchRequest(HEAD, Present("objectClass"), ())
DELETE = DeleteRequest("cn=a,o=example")
COMPARE = CompareRequest("cn=a,o=example", "cn", b"a")
BIND = BindRequest(3, "cn=admin", SimpleCredentials(b"secret"))
ADMIN = Identity("cn=admin", (b"cn=admin",), True)
KNOWN = {SearchRequest: frozenset({"1.1"}), DeleteRequest: frozenset({"1.2"})}
LIMITS = Limits(pending_per_connection=3)

Feed = Callable[[Session, bytes], list[Event]]


def make_session(start_tls: bool = True, limits: Limits = LIMITS) -> Session:
    return Session(Peer("client"), limits, KNOWN, start_tls)


def wire(message_id: int, request: Request, *controls: Control) -> bytes:
    return encode_message(Message(message_id, request, controls))


def events_of(session: Session) -> list[Event]:
    events: list[Event] = []
    while (event := session.next_event()) is not None:
        events.append(event)
    return events


def feed_whole(session: Session, data: bytes) -> list[Event]:
    session.receive(data)
    return events_of(session)


def feed_bytes(session: Session, data: bytes) -> list[Event]:
    events: list[Event] = []
    for value in data:
        session.receive(bytes((value,)))
        events += events_of(session)
    return events


@pytest.fixture(params=[feed_whole, feed_bytes], ids=["whole", "bytes"])
def feed(request: pytest.FixtureRequest) -> Feed:
    function: Feed = request.param
    return function


def message_in(event: Event) -> Message:
    assert isinstance(event, Message)
    return event


def begin(session: Session, data: bytes) -> Operation:
    """Feed one message and begin its operation."""
    (event,) = feed_whole(session, data)
    return session.begin(message_in(event))


def result_in(data: Event) -> tuple[int, Result]:
    assert isinstance(data, bytes)
    response: Response = decode_response(data)
    assert isinstance(response.answer, Result)
    return response.id, response.answer


def assert_disconnected(events: list[Event], session: Session, reason: str) -> None:
    """The last event is a Notice of Disconnection for a protocol error."""
    last = events[-1]
    assert isinstance(last, Closed)
    assert reason in last.reason
    message_id, notice = result_in(last.last_words)
    assert (message_id, notice.code, notice.oid) == (0, ResultCode.PROTOCOL_ERROR, NOTICE_OF_DISCONNECTION)
    assert session.state is State.CLOSED
    assert feed_whole(session, wire(9, SEARCH)) == []


# --- requests in ----------------------------------------------------------------------


def test_requests_in_order(feed: Feed) -> None:
    session = make_session()
    requests: list[Request] = [SEARCH, DELETE, COMPARE, ExtendedRequest("1.3", None)]
    events = feed(session, b"".join(wire(number, request) for number, request in enumerate(requests, 1)))
    messages = [message_in(event) for event in events]
    assert [message.id for message in messages] == [1, 2, 3, 4]
    assert [type(message.request) for message in messages] == [type(request) for request in requests]


def test_answer() -> None:
    session = make_session()
    (event,) = feed_whole(session, wire(77, COMPARE))
    answer = session.answer(message_in(event), Result(ResultCode.COMPARE_TRUE))
    assert result_in(answer) == (77, Result(ResultCode.COMPARE_TRUE))


def test_the_same_id_may_be_used_again_once_it_is_answered() -> None:
    session = make_session()
    operation = begin(session, wire(1, DELETE))
    assert result_in(session.finish(operation, Result()))[0] == 1
    assert begin(session, wire(1, DELETE)).id == 1


def test_an_id_in_use_ends_the_session(feed: Feed) -> None:
    session = make_session()
    operation = begin(session, wire(5, DELETE))
    assert_disconnected(feed(session, wire(5, SEARCH)), session, "id in use")
    assert session.finish(operation, Result()) == b""


def test_pending_operations_hold_back_the_next() -> None:
    session = make_session()
    operations = [begin(session, wire(number, DELETE)) for number in (1, 2, 3)]
    assert feed_whole(session, wire(4, SEARCH)) == []
    assert session.backlog
    assert session.outstanding == 3
    session.finish(operations[1], Result())
    assert message_in(events_of(session)[0]).id == 4
    assert not session.backlog


def test_unbind_ends_without_a_word(feed: Feed) -> None:
    session = make_session()
    operation = begin(session, wire(1, SEARCH))
    events = feed(session, wire(2, UnbindRequest(), Control("9.9", True, None)) + wire(3, SEARCH))
    assert events == [Closed(b"", "")]
    assert session.finish(operation, Result()) == b""


# --- abandon --------------------------------------------------------------------------


def test_abandon_of_what_runs(feed: Feed) -> None:
    session = make_session()
    operation = begin(session, wire(1, SEARCH))
    (event,) = feed(session, wire(2, AbandonRequest(1)))
    assert isinstance(event, Abandoned)
    assert event.operation is operation
    assert session.outstanding == 1
    assert session.finish(operation, Result()) == b""
    assert session.outstanding == 0


def test_an_abandoned_id_may_come_again_before_the_first_has_ended() -> None:
    session = make_session()
    first = begin(session, wire(1, DELETE))
    feed_whole(session, wire(2, AbandonRequest(1)))
    second = begin(session, wire(1, DELETE))
    assert session.finish(first, Result()) == b""
    assert result_in(session.finish(second, Result()))[0] == 1


def test_abandon_of_what_is_finished_or_unknown_or_itself(feed: Feed) -> None:
    session = make_session()
    session.finish(begin(session, wire(1, SEARCH)), Result())
    data = b"".join(wire(number, AbandonRequest(target)) for number, target in ((2, 1), (3, 99), (4, 4)))
    assert set(feed(session, data)) == {b""}
    assert session.state is State.OPEN


def test_abandon_with_an_unknown_critical_control_is_not_performed() -> None:
    session = make_session()
    operation = begin(session, wire(1, SEARCH))
    assert feed_whole(session, wire(2, AbandonRequest(1), Control("9.9", True, None))) == [b""]
    assert result_in(session.finish(operation, Result()))[0] == 1


def test_thousands_of_abandons_at_once() -> None:
    session = make_session()
    data = b"".join(wire(number, AbandonRequest(number)) for number in range(1, 5000))
    assert set(feed_whole(session, data)) == {b""}


# --- bind -----------------------------------------------------------------------------


def test_bind_gives_an_identity() -> None:
    session = make_session()
    operation = begin(session, wire(1, BIND))
    answer = session.finish(operation, session.bound(BindOutcome(Result(), ADMIN)))
    assert result_in(answer) == (1, Result())
    assert session.identity is ADMIN


@pytest.mark.parametrize("code", [ResultCode.INVALID_CREDENTIALS, ResultCode.SASL_BIND_IN_PROGRESS])
def test_a_bind_without_success_makes_anonymous(code: ResultCode) -> None:
    session = make_session()
    session.bound(BindOutcome(Result(), ADMIN))
    operation = begin(session, wire(1, BIND))
    assert session.identity.anonymous
    session.finish(operation, session.bound(BindOutcome(Result(code), ADMIN)))
    assert session.identity.anonymous


def test_a_bind_that_raises_makes_anonymous() -> None:
    session = make_session()
    session.bound(BindOutcome(Result(), ADMIN))
    operation = begin(session, wire(1, BIND))
    code = result_in(session.fail(operation, LDAPError(ResultCode.INVALID_DN_SYNTAX)))[1].code
    assert code is ResultCode.INVALID_DN_SYNTAX
    assert session.identity.anonymous
    assert session.state is State.OPEN


def test_everything_waits_for_a_bind(feed: Feed) -> None:
    session = make_session()
    operation = begin(session, wire(1, BIND))
    assert feed(session, wire(2, SEARCH) + wire(3, UnbindRequest())) == []
    assert session.backlog
    session.finish(operation, session.bound(BindOutcome(Result(), ADMIN)))
    search, end = events_of(session)
    assert message_in(search).id == 2
    assert end == Closed(b"", "")


def test_a_bind_waits_for_what_is_outstanding() -> None:
    session = make_session()
    operation = begin(session, wire(1, DELETE))
    assert feed_whole(session, wire(2, BIND) + wire(3, SEARCH)) == []
    session.finish(operation, Result())
    bind = message_in(session.next_event() or b"")
    assert bind.id == 2
    session.begin(bind)
    assert session.next_event() is None


def test_versions_other_than_3(feed: Feed) -> None:
    session = make_session()
    session.bound(BindOutcome(Result(), ADMIN))
    (answer,) = feed(session, wire(1, BindRequest(2, "cn=admin", SimpleCredentials(b"secret"))))
    message_id, result = result_in(answer)
    assert (message_id, result.code) == (1, ResultCode.PROTOCOL_ERROR)
    assert session.identity.anonymous
    assert session.state is State.OPEN


def test_a_bound_client_may_send_longer_messages() -> None:
    session = make_session(limits=Limits(max_message_anonymous=100, max_message=1000))
    long = wire(2, DeleteRequest("cn=" + "x" * 500))
    session.bound(BindOutcome(Result(), ADMIN))
    assert len(feed_whole(session, long)) == 1
    feed_whole(session, wire(3, BIND))
    assert session.identity.anonymous
    assert_disconnected(feed_whole(session, long), session, "more than 100 octets")


# --- controls -------------------------------------------------------------------------


def test_unknown_controls(feed: Feed) -> None:
    session = make_session()
    known, unknown = Control("1.1", True, None), Control("9.9", False, b"x")
    accepted, refused = feed(
        session, wire(1, SEARCH, unknown, known) + wire(2, SEARCH, Control("9.9", True, None))
    )
    assert message_in(accepted).controls == (known,)
    message_id, result = result_in(refused)
    assert (message_id, result.code) == (2, ResultCode.UNAVAILABLE_CRITICAL_EXTENSION)
    assert "9.9" in result.message


@pytest.mark.parametrize("request_", [DELETE, COMPARE, BIND, ExtendedRequest("1.3", None)], ids=repr)
def test_a_control_of_another_operation_is_unknown(request_: Request) -> None:
    session = make_session()
    (refused,) = feed_whole(session, wire(1, request_, Control("1.1", True, None)))
    assert result_in(refused)[1].code is ResultCode.UNAVAILABLE_CRITICAL_EXTENSION


def test_a_control_given_twice() -> None:
    control = Control("1.1", False, None)
    (refused,) = feed_whole(make_session(), wire(1, SEARCH, control, control))
    assert result_in(refused)[1].code is ResultCode.PROTOCOL_ERROR


# --- StartTLS -------------------------------------------------------------------------

TLS_REQUEST = ExtendedRequest(START_TLS, None)


def test_start_tls(feed: Feed) -> None:
    session = make_session()
    (event,) = feed(session, wire(1, TLS_REQUEST))
    assert isinstance(event, StartTLS)
    assert result_in(event.answer) == (1, Result(oid=START_TLS))
    assert session.peer.encrypted
    (again,) = feed(session, wire(2, TLS_REQUEST))
    assert result_in(again)[1].code is ResultCode.OPERATIONS_ERROR


def test_start_tls_is_the_directory_s_to_refuse_where_it_is_not_offered() -> None:
    (event,) = feed_whole(make_session(start_tls=False), wire(1, TLS_REQUEST))
    assert message_in(event).request == TLS_REQUEST


def test_start_tls_while_operations_are_outstanding() -> None:
    session = make_session()
    begin(session, wire(1, DELETE))
    (refused,) = feed_whole(session, wire(2, TLS_REQUEST))
    assert result_in(refused)[1].code is ResultCode.OPERATIONS_ERROR
    assert not session.peer.encrypted


@pytest.mark.parametrize("behind", [wire(2, DELETE), wire(2, DELETE)[:5], b"\x16\x03\x01"])
def test_nothing_behind_start_tls_is_carried_out(behind: bytes) -> None:
    session = make_session()
    assert_disconnected(feed_whole(session, wire(1, TLS_REQUEST) + behind), session, "behind StartTLS")
    assert not session.peer.encrypted


# --- what is no LDAP ------------------------------------------------------------------

HOSTILE = {
    "2 GiB": b"\x30\x84\x7f\xff\xff\xff",
    "indefinite length": b"\x30\x80\x02\x01\x01\x4a\x00\x00\x00",
    "inner longer than outer": b"\x30\x05\x02\x01\x01\x4a\x20",
    "no sequence": b"GET / HTTP/1.0\r\n\r\n",
    "id zero": b"\x30\x05\x02\x01\x00\x4a\x00",
    "id negative": b"\x30\x05\x02\x01\xff\x4a\x00",
    "id of a megabyte": b"\x30\x83\x02\x00\x00\x02\x83\x01\xff\xfb" + b"\x01" * 131067,
    "a response": wire(1, SEARCH).replace(b"\x63", b"\x65", 1),
    "an unknown operation": b"\x30\x05\x02\x01\x01\x7e\x00",
    "high tag form": b"\x30\x06\x02\x01\x01\x7f\x20\x00",
    "wrong constructed bit": b"\x30\x05\x02\x01\x01\x6a\x00",
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_protocol_violation_is_a_notice_of_disconnection(data: bytes) -> None:
    for feed in (feed_whole, feed_bytes) if len(data) < 1000 else (feed_whole,):
        session = make_session()
        assert_disconnected(feed(session, data), session, "")


def test_what_came_before_a_violation_is_carried_out(feed: Feed) -> None:
    session = make_session()
    events = feed(session, wire(1, SEARCH) + wire(2, DELETE) + b"garbage")
    assert [message_in(event).id for event in events[:2]] == [1, 2]
    assert_disconnected(events, session, "not an LDAP message")


def test_broken_structure_inside_a_request_ends_the_session(feed: Feed) -> None:
    session = make_session()
    broken = wire(1, COMPARE)[:-2] + b"\x7f\x00"
    assert_disconnected(feed(session, broken), session, "")


def test_a_wrong_value_in_a_request_is_answered(feed: Feed) -> None:
    session = make_session()
    session.bound(BindOutcome(Result(), ADMIN))
    latin = wire(1, DeleteRequest("cn=??")).replace(b"??", b"\xe9\xe9")
    answer, event = feed(session, latin + wire(2, SEARCH))
    message_id, result = result_in(answer)
    assert message_id == 1
    assert result.code is not ResultCode.SUCCESS
    assert message_in(event).id == 2
    assert session.identity is ADMIN


def test_a_wrong_value_in_a_bind_makes_anonymous() -> None:
    session = make_session()
    session.bound(BindOutcome(Result(), ADMIN))
    data = wire(1, BindRequest(3, "cn=??", SimpleCredentials(b"x"))).replace(b"??", b"\xe9\xe9")
    assert result_in(feed_whole(session, data)[0])[1].code is not ResultCode.SUCCESS
    assert session.identity.anonymous


def test_a_wrong_value_in_an_abandon_is_ignored() -> None:
    session = make_session()
    first, event = feed_whole(session, b"\x30\x06\x02\x01\x01\x50\x01\xff" + wire(2, SEARCH))
    assert first == b""
    assert message_in(event).id == 2


def test_tls_on_the_plain_port(feed: Feed) -> None:
    session = make_session()
    assert feed(session, b"\x16\x03\x01\x02\x00\x01") == [Closed(b"", TLS_ON_PLAIN)]


def test_a_notice_from_this_side() -> None:
    session = make_session()
    closed = session.disconnect(ResultCode.UNAVAILABLE, "closing")
    assert result_in(closed.last_words) == (
        0,
        Result(ResultCode.UNAVAILABLE, message="closing", oid=NOTICE_OF_DISCONNECTION),
    )


REQUESTS: list[Request] = [
    BIND,
    SEARCH,
    COMPARE,
    DELETE,
    AbandonRequest(1),
    UnbindRequest(),
    TLS_REQUEST,
    ModifyDNRequest("cn=a,o=example", "cn=b", True, "o=example"),
    ModifyRequest("cn=a", (Change(ModifyOp.ADD, "cn", (b"b",)),)),
    AddRequest("cn=a", (Attribute("cn", (b"a",)),)),
]


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda request: type(request).__name__)
def test_every_octet_changed(request_: Request) -> None:
    """Whatever it becomes, it is a request, an answer, or the end; never an exception."""
    data = wire(3, request_, Control("1.1", True, b"x"))
    for at, value in product(range(len(data)), (0x00, 0x01, 0x30, 0x7F, 0x80, 0x84, 0xFF)):
        session = make_session()
        session.receive(data[:at] + bytes((value,)) + data[at + 1 :] + wire(4, SEARCH))
        for _ in range(4):
            event = session.next_event()
            if isinstance(event, Message):
                session.finish(session.begin(event), Result())


# --- exceptions -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (StoreFull("x"), ResultCode.UNAVAILABLE),
        (StoreReadOnly("x"), ResultCode.UNWILLING_TO_PERFORM),
        (StoreBusy("x"), ResultCode.BUSY),
        (StoreError("x"), ResultCode.UNAVAILABLE),
        (CancelledError(), ResultCode.UNAVAILABLE),
        (ZeroDivisionError("secret detail"), ResultCode.OTHER),
    ],
    ids=repr,
)
def test_exceptions_as_results(error: Exception, code: ResultCode) -> None:
    reported: list[Exception] = []
    session = Session(Peer("client"), LIMITS, KNOWN, report=reported.append)
    result = result_in(session.fail(begin(session, wire(1, DELETE)), error))[1]
    assert result.code is code
    assert "secret" not in result.message
    assert reported == [error]


def test_an_ldap_error_is_told_and_not_reported() -> None:
    reported: list[Exception] = []
    session = Session(Peer("client"), LIMITS, KNOWN, report=reported.append)
    error = LDAPError(ResultCode.NO_SUCH_OBJECT, "not there", "o=example")
    result = result_in(session.fail(begin(session, wire(1, DELETE)), error))[1]
    assert result == result_of(error) == Result(ResultCode.NO_SUCH_OBJECT, "o=example", "not there")
    assert reported == []
