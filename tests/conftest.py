"""What holds for every test: how Hypothesis runs."""

from __future__ import annotations

import os

from hypothesis import settings

# No deadline: a busy machine is no fault of ours.
settings.register_profile("default", deadline=None)
settings.register_profile("ci", deadline=None, max_examples=300, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")
