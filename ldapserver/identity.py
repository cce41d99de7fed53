"""Who is at the other end: the connection's peer, and the identity it has bound as."""

from __future__ import annotations

from attrs import frozen


@frozen
class Peer:
    """The transport's facts.  ``uid`` is the peer process's user on a Unix socket
    (SO_PEERCRED), None elsewhere."""

    address: str
    uid: int | None = None
    encrypted: bool = False


@frozen
class Identity:
    """An authorization identity (RFC 4513 section 1.2).

    ``key`` is the DN's normalised RDNs, leaf first (``dn.normalise``), and compares;
    ``dn`` is for people and for creatorsName.  Anonymous is both empty.
    """

    dn: str
    key: tuple[bytes, ...]
    administrator: bool = False

    @property
    def anonymous(self) -> bool:
        return not self.key and not self.administrator


ANONYMOUS = Identity("", ())
