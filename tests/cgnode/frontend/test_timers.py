from __future__ import annotations

from collections.abc import Iterator
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from cgnode.frontend.queue.policy import Policy
from cgnode.frontend.queue.timers import Pace, Timers, backoff


@given(st.integers(0, 10_000), st.randoms())
def test_backoff_stays_in_its_bounds(attempts: int, random: Random) -> None:
    assert 300 <= backoff(Policy(), attempts, random) <= 4000


def test_backoff_grows_and_scatters() -> None:
    policy, random = Policy(), Random(1)
    means = [sum(backoff(policy, n, random) for _ in range(200)) / 200 for n in range(1, 8)]
    assert means[:5] == sorted(means[:5])
    assert means[0] < 400
    assert means[-1] > 3500
    assert len({backoff(policy, 3, random) for _ in range(100)}) > 90


def test_pace() -> None:
    pace = Pace(10)
    assert pace.available(0) == 10
    pace.spend(10)
    assert pace.available(0) == 0
    assert 0.1 <= pace.next(0) < 0.2
    assert pace.available(pace.next(0)) == 1
    assert pace.available(-5) == 1, "time that goes backwards gives nothing"
    assert pace.available(100) == 10, "no more than a second's worth"


def test_void_timers_do_not_pile_up() -> None:
    times = dict.fromkeys(range(10), 0.0)

    def standing() -> Iterator[tuple[float, int]]:
        return ((when, key) for key, when in times.items())

    timers = Timers(lambda when, key: times.get(key) == when, standing)
    for turn in range(10_000):
        key = turn % 10
        times[key] = float(100_000 - turn)
        timers.push(times[key], key, len(times))
    assert len(timers._heap) <= 2000
    popped = []
    while (one := timers.pop(1e9)) is not None:
        popped.append(one)
        del times[one]
    assert popped == [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]
    assert timers.next() is None
