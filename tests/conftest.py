"""What holds for every test: how Hypothesis runs, and what processes that are started heed."""

from __future__ import annotations

import os
import signal

from hypothesis import settings

# No deadline: a busy machine is no fault of ours.
settings.register_profile("default", deadline=None)
settings.register_profile("ci", deadline=None, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")

# A shell has what it runs in the background ignore SIGINT, and so would all that we start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
