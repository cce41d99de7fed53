"""A node's control interface: HTTP and JSON, for cgctl and for other programs.

``parts``     what of a node can be asked and told, as callables
``calls``     the table of calls: which path is which of them
``resource``  HTTP on top of that: who may, errors, /health and /metrics
``service``   the listeners: the Unix socket in the data folder, and TCP
``token``     the credential of the TCP listener
``client``    the other side, for cgctl
``overview``  the site at a glance, in values that JSON has

What must not live here: what a part does.
"""

from typing import Final

SOCKET: Final = "control"
"""The Unix socket's name in the data folder."""
