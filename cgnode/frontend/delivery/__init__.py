"""Delivery: what is queued goes to the hosts of the accounts, and out into the world.

``routing``    an envelope's address: where to
``exchangers`` which hosts take a domain's mail (MX)
``terms``      how to talk to a destination: dialect, TLS, log-in, time limits
``channel``    one connection: a message after the other
``callers``    from a destination to a channel
``idle``       channels that are kept for the next message
``jobs``       an attempt, as it is sent
``outcomes``   what a host said, as the queue takes it
``hosts``      backends that can't be reached, and when they can be again
``moves``      mail that waits for a host, when its account moves to another
``strays``     mail that a backend refuses because something is not known there yet
``telling``    senders are told
``service``    all of it together, driving the queue

What must not live here: when a message is tried again (``queue``), dialogue
(``proto.smtp``), who is whose account (``router``).
"""
