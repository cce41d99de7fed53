"""Mail comes in: SMTP from other servers, and submission from its authors.

``addresses``  whom mail is taken for, and whose sender it may have
``trace``      header fields that are added on the way (Received; Date, Message-ID)
``rates``      how many messages a minute
``settling``   what is durable, from the queue's thread to the reactor's
``login``      authentication in a dialogue
``session``    one connection: the core's questions to those who know
``intake``     what all connections share, for the node
``counters``   what has happened, in numbers

What must not live here: dialogue (``proto.smtp``), what becomes of a message that was
accepted (``queue``, ``delivery``).
"""
