"""What the changes of a modify do to the values of one attribute (RFC 4511 section 4.6;
increment: RFC 4525).

Pure functions from values to values; what is wrong raises LDAPError.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from ldapserver.results import LDAPError, ResultCode
from ldapserver.schema import AttributeDescription
from ldapserver.schema.check import check_values

INTEGER: Final = "1.3.6.1.4.1.1466.115.121.1.27"

# So few values are compared sooner than an index is asked.
_FEW: Final = 8


def added(
    description: AttributeDescription,
    current: list[bytes],
    values: Sequence[bytes],
    may_hold: Callable[[bytes], bool] = lambda _: True,
) -> list[bytes]:
    """``may_hold`` is False for a value that is not there for certain."""
    if not values:
        raise _error(ResultCode.PROTOCOL_ERROR, description, "no value to add")
    check_values(description, values)
    if not current:
        return list(values)
    rule = description.type.equality
    if rule is None:  # RFC 4512 section 2.5.1
        raise _no_rule(description)
    if len(current) <= _FEW or any(map(may_hold, values)):
        normal = set(map(rule.normalise, current))
        if any(rule.normalise(value) in normal for value in values):
            raise _error(ResultCode.ATTRIBUTE_OR_VALUE_EXISTS, description, "a value is there already")
    return [*current, *values]


def deleted(description: AttributeDescription, current: list[bytes], values: Sequence[bytes]) -> list[bytes]:
    if not current:
        raise _error(ResultCode.NO_SUCH_ATTRIBUTE, description, "no such attribute")
    if not values:
        return []
    rule = description.type.equality
    if rule is None:
        raise _no_rule(description)
    if len(set(values)) != len(values):
        raise _error(ResultCode.ATTRIBUTE_OR_VALUE_EXISTS, description, "a value is given twice")
    left = dict.fromkeys(current)
    by_normal: dict[bytes, bytes] | None = None
    for value in values:
        if value not in left:
            if by_normal is None:
                by_normal = {rule.normalise(found): found for found in current}
            value = _find(description, by_normal, rule.normalise, value)
            if value not in left:
                raise _error(ResultCode.NO_SUCH_ATTRIBUTE, description, "no such value")
        del left[value]
    return list(left)


def _find(
    description: AttributeDescription,
    by_normal: dict[bytes, bytes],
    normalise: Callable[[bytes], bytes],
    value: bytes,
) -> bytes:
    """The value that matches; raises LDAPError."""
    try:
        found = by_normal.get(normalise(value))
    except ValueError as error:
        raise _error(ResultCode.INVALID_ATTRIBUTE_SYNTAX, description, str(error)) from None
    if found is None:
        raise _error(ResultCode.NO_SUCH_ATTRIBUTE, description, "no such value")
    return found


def replaced(description: AttributeDescription, values: Sequence[bytes]) -> list[bytes]:
    if values:
        check_values(description, values)
    return list(values)


def incremented(
    description: AttributeDescription, current: list[bytes], values: Sequence[bytes]
) -> list[bytes]:
    if len(values) != 1:
        raise _error(ResultCode.PROTOCOL_ERROR, description, "one value to increment by is expected")
    if description.type.syntax.oid != INTEGER:
        raise _error(ResultCode.CONSTRAINT_VIOLATION, description, "only integers can be incremented")
    if not current:
        raise _error(ResultCode.NO_SUCH_ATTRIBUTE, description, "no such attribute")
    check_values(description, values)
    try:
        by = int(values[0])
        return [b"%d" % (int(value) + by) for value in current]
    except ValueError:  # longer than Python converts
        raise _error(ResultCode.CONSTRAINT_VIOLATION, description, "the integer is too large") from None


def holds(description: AttributeDescription, values: Sequence[bytes], wanted: bytes) -> bool:
    """Whether a value equal to ``wanted`` is there."""
    if wanted in values:
        return True
    rule = description.type.equality
    if rule is None:
        return False
    normal = rule.normalise(wanted)
    return any(rule.normalise(value) == normal for value in values)


def _error(code: ResultCode, description: AttributeDescription, reason: str) -> LDAPError:
    return LDAPError(code, f"{description.text}: {reason}")


def _no_rule(description: AttributeDescription) -> LDAPError:
    return _error(
        ResultCode.INAPPROPRIATE_MATCHING, description, "without an equality rule values come and go together"
    )
