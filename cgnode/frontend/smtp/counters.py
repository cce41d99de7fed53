"""What has happened since the start, in numbers, for ``metrics`` to read."""

from __future__ import annotations

from attrs import define


@define
class Counters:
    """Of one kind of listeners: SMTP, or submission.  ``open`` is as of now.  Recipients:
    taken, ``refused`` for good (of these ``relaying`` is what others are to deliver),
    ``deferred`` for now.  Messages: kept, ``rejected`` when they had come, ``aborted`` on
    the way, ``failed`` for want of room or by the disk."""

    connections: int = 0
    open: int = 0
    messages: int = 0
    octets: int = 0
    recipients: int = 0
    refused: int = 0
    deferred: int = 0
    relaying: int = 0
    senders_refused: int = 0
    rate_limited: int = 0
    rejected: int = 0
    aborted: int = 0
    failed: int = 0
    logins: int = 0
    login_failures: int = 0
    timeouts: int = 0
