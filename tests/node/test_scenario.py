"""The scenario of ``tests.demo``: what it says must be true of a cluster that loses a backend."""

from __future__ import annotations

from pathlib import Path

from tests.demo.scenario import Scenario, Size


def test_no_message_is_lost_when_a_backend_dies(tmp_path: Path) -> None:
    # How soon is for bin/demo to show: here the machine may be busy with anything.
    size = Size(phase=2.0, drain=30.0)
    outcome = Scenario(tmp_path, size, say=lambda line: None).run()
    assert outcome.accepted > 100
    assert outcome.logins > 100
    assert outcome.waited > 0
