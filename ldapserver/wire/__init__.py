"""LDAP's bytes: BER of RFC 4511 section 5.1 to messages and back.

``tags`` and ``ber`` are the ground; ``framing`` cuts a stream into messages;
``filters`` is the filter in both directions; ``decode`` reads requests and ``encode``
writes responses (the server's side); ``client`` is the other side of both.

Everything here is a function of its arguments: no sockets, no clock, no directory.
"""
