"""The pace: how many writes an hour, how long a wait, when to stop."""

import pytest

from hub_tools.client.failures import Failure
from hub_tools.client.pacing import Pace, StopError, duration
from synbench.errors import ArgumentError, HubError

BUSY = Failure("later", "the Hub limits how often it is asked (429).", None, 429, refused=True)
DENIED = Failure("permanent", "the Hub does not allow it (403).", None, 403, refused=True)
FAULT = Failure("unknown", "the Hub has a fault (503).", None, 503)


class Time:
    """A clock that only sleeping moves."""

    def __init__(self):
        self.now, self.slept = 1e6, []

    def clock(self):
        return self.now

    def sleep(self, seconds):
        assert seconds >= 0
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def time():
    return Time()


def paced(time, **changes):
    return Pace(**{"clock": time.clock, "sleep": time.sleep, "chance": lambda: 0.5, **changes})


def test_writes_are_limited_to_so_many_an_hour_and_reads_are_not(time):
    pace = paced(time, per_hour=60, burst=3)
    for _ in range(1000):
        pace.before("read")
    assert time.slept == []
    times = []
    for _ in range(63):
        pace.before("write")
        times.append(time.now - 1e6)
    assert times[:3] == [0, 0, 0]
    assert times[3:] == pytest.approx([60.0 * k for k in range(1, 61)])


def test_a_pause_fills_the_bucket_but_no_further_than_the_burst(time):
    pace = paced(time, per_hour=60, burst=2)
    time.now += 1e5
    for _ in range(3):
        pace.before("write")
    assert time.slept == pytest.approx([60.0])


def test_a_pace_without_a_limit_never_waits(time):
    pace = paced(time, per_hour=float("inf"), burst=1)
    for _ in range(1000):
        pace.before("write")
    assert time.slept == []


def test_own_waits_double_up_to_a_minute_less_up_to_a_half_by_chance(time):
    pace = paced(time, chance=lambda: 0.0)
    for attempt in range(9):
        pace.back_off(attempt, FAULT)
    assert time.slept == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    time.slept.clear()
    paced(time, chance=lambda: 1.0).back_off(3, FAULT)
    paced(time, chance=lambda: 0.0, longest_wait=5.0).back_off(30, FAULT)
    assert time.slept == [4, 5]


def test_a_wait_that_is_asked_for_is_never_cut_short(time):
    pace = paced(time)
    pace.back_off(0, Failure("later", "busy.", 40.0, 429))
    pace.back_off(9, Failure("later", "busy.", 0.0, 429))
    assert time.slept == [40.5, 0.5]


def test_too_long_a_wait_stops_and_tells_when_to_come_back(time):
    pace = paced(time, longest_wait=900)
    pace.back_off(0, Failure("later", "busy.", 900.0, 429))
    with pytest.raises(
        StopError, match=r"the Hub is busy\. It asks to come back in 60 minutes.*than 15 minutes"
    ) as told:
        pace.back_off(0, Failure("later", "the Hub is busy.", 3600.0, 429))
    assert told.value.failure.wait == 3600
    assert told.value.exit_code == 4
    assert isinstance(told.value, HubError)
    assert len(time.slept) == 1


def test_refusals_in_a_row_stop_everything_and_one_answer_in_between_does_not(time):
    pace = paced(time, patience=3)
    for _ in range(5):
        for failure in (BUSY, DENIED):
            pace.before("write")
            pace.failed("write", failure)
        pace.succeeded("write")
    pace.failed("write", BUSY)
    pace.failed("write", DENIED)
    with pytest.raises(StopError, match=r"refused 3 writes in a row\. The last one: the Hub limits how often") as told:
        pace.failed("write", BUSY)
    assert told.value.failure.kind == "later"
    with pytest.raises(StopError, match="refused 3 writes in a row"):
        pace.before("write")
    # Reads still work, and their answers do not close the breaker of the writes.
    pace.before("read")
    pace.succeeded("read")
    with pytest.raises(StopError):
        pace.before("write")


def test_faults_and_refusals_of_one_repository_do_not_count_as_refusals(time):
    pace = paced(time, patience=2)
    for failure in (BUSY, FAULT, BUSY, Failure("permanent", "its owner has switched discussions off.", None, 403)) * 3:
        pace.failed("write", failure)
    pace.before("write")


@pytest.mark.parametrize(
    ("name", "value"), [("patience", 0), ("attempts", 0), ("burst", 0), ("longest_wait", -1), ("per_hour", 0)]
)
def test_numbers_out_of_range_are_named(name, value):
    with pytest.raises(ArgumentError, match=f"{name} must be .* got {value}"):
        Pace(**{name: value})


def test_durations_are_told_in_a_fitting_unit():
    assert [duration(s) for s in (0.4, 119, 120, 3600, 86400)] == [
        "0 s",
        "119 s",
        "2 minutes",
        "60 minutes",
        "24 hours",
    ]
