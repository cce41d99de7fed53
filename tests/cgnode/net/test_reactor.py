"""The node's reactor: what is to happen in a while happens, whatever the time of day is set to."""

from __future__ import annotations

import subprocess
import sys

# A process of its own: there is one reactor in each.
SET_BACK = """
import time
now = [time.time()]
time.time = lambda: now[0]
from cgnode.net.reactor import install
install()
from twisted.internet import reactor
reactor.callLater(0.05, reactor.stop)
now[0] -= 3600.0
reactor.run()
"""


def test_the_time_of_day_is_set_back() -> None:
    subprocess.run([sys.executable, "-P", "-c", SET_BACK], check=True, timeout=20)
