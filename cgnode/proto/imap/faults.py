"""The one error of this package: the peer erred, and this is the reply.

BAD is for what is not IMAP, NO for what is but can't be had (RFC 3501 section 7.1).
"""

from __future__ import annotations


class Fault(Exception):
    """``str()`` of it is for people; ``code`` is a response code without brackets."""

    def __init__(self, text: str, code: bytes = b"", bad: bool = True) -> None:
        super().__init__(text)
        self.code = code
        self.bad = bad
