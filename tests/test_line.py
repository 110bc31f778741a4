"""The line of those who wait: nobody is lost, nobody runs twice, and whoever floods it waits like everybody else."""

import threading
import time
from contextlib import ExitStack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from hub_tools.space.line import Line, NotHereError
from synbench.errors import EncoderError

WHO = st.tuples(st.sampled_from("ABC"), st.sampled_from("123"))


class Visits:
    """A line with visitors who come and go, in one thread: places are held open, and turns are noted as they come."""

    def __init__(self, **limits):
        self.line = Line(**limits)
        self.held = {}
        self.started = []

    def come(self, address, session):
        stack = ExitStack()
        ticket = stack.enter_context(self.line.place(address, session))
        self.held[ticket] = stack
        self.note()
        return ticket

    def leave(self, ticket):
        self.held.pop(ticket).close()
        self.note()

    def note(self):
        new = [ticket for ticket in self.held if ticket.running and ticket not in self.started]
        # Those of one step: the line has only one turn to give in it.
        self.started += sorted(new, key=lambda ticket: ticket.number)

    @property
    def waiting(self):
        return [ticket for ticket in self.held if not ticket.running]

    @property
    def running(self):
        return [ticket for ticket in self.held if ticket.running]


class AnyVisits(RuleBasedStateMachine):
    @initialize(lanes=st.integers(1, 3), each=st.integers(1, 4))
    def begin(self, lanes, each):
        self.visits = Visits(lanes=lanes, each=each, longest=20, each_address=8)
        self.left = set()

    @rule(who=WHO)
    def come(self, who):
        held = [ticket for ticket in self.visits.held if ticket.address == who[0]]
        own = sum(ticket.session == who[1] for ticket in held)
        full = own >= self.visits.line.each or len(held) >= 8 or len(self.visits.held) >= 20
        try:
            self.visits.come(*who)
        except NotHereError:
            assert full
        else:
            assert not full

    @precondition(lambda self: self.visits.held)
    @rule(data=st.data())
    def leave(self, data):
        """One that runs ends, or one that waits gives up."""
        ticket = data.draw(st.sampled_from(sorted(self.visits.held, key=lambda ticket: ticket.number)))
        self.left.add(ticket)
        self.visits.leave(ticket)

    @precondition(lambda self: self.visits.running)
    @rule()
    def end(self):
        self.visits.leave(self.visits.running[0])

    @precondition(lambda self: len(self.visits.waiting) > 1 and len(self.visits.running) == self.visits.line.lanes)
    @rule()
    def serve_all(self):
        """Positions are kept when nobody else comes: one turn away each."""
        position = self.visits.line.position
        order = sorted(self.visits.waiting, key=position)
        assert [position(ticket) for ticket in order] == list(range(1, len(order) + 1))
        for ticket in order:
            assert position(ticket) == 1
            self.visits.leave(self.visits.running[0])
            assert ticket.running

    @invariant()
    def lanes_are_full_and_not_fuller(self):
        visits = getattr(self, "visits", None)
        if visits is None:
            return
        assert len(visits.running) == min(len(visits.held), visits.line.lanes)
        assert visits.line.length == len(visits.waiting)
        assert all(visits.line.position(ticket) == 0 for ticket in visits.running)
        assert len(visits.started) == len(set(visits.started)), "nobody runs twice"

    def teardown(self):
        while self.visits.held:
            assert self.visits.running, "whoever waits comes to run"
            self.visits.leave(self.visits.running[0])
        numbers = [ticket.number for ticket in self.visits.started]
        gone = {ticket.number for ticket in self.left}
        assert set(numbers) | gone == set(range(1, self.visits.line._numbers + 1)), "nobody is lost"


TestAnyVisits = AnyVisits.TestCase
TestAnyVisits.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(WHO, st.none()), max_size=60), st.integers(1, 2))
def test_whoever_floods_has_one_turn_between_two_of_anybody_who_waits(steps, lanes):
    """``None`` ends the run that is oldest; anything else comes. Held of addresses, and of one address's sessions."""
    visits = Visits(lanes=lanes, each=4)
    turns_since = {}  # of a ticket that waits: who had turns, from when its visitor last had one or it came

    def take_note(before):
        for started in visits.started[before:]:
            turns_since.pop(started, None)
            for ticket, (addresses, sessions) in turns_since.items():
                if ticket.address == started.address:
                    # The visitor's own turn, or its address's: the others count anew.
                    addresses.clear()
                    sessions[started.session] = sessions.get(started.session, 0) + 1
                    if ticket.session == started.session:
                        sessions.clear()
                else:
                    addresses[started.address] = addresses.get(started.address, 0) + 1
                    assert addresses[started.address] <= 1, "an address had two turns while another one waited"
                assert all(count <= 1 for count in sessions.values()), "a session had two turns while another waited"

    for step in [*steps, *[None] * len(steps)]:
        before = len(visits.started)
        if step is not None:
            try:
                ticket = visits.come(*step)
            except NotHereError:
                continue
            turns_since[ticket] = ({}, {})
        elif visits.running:
            visits.leave(visits.running[0])
        take_note(before)


def test_one_who_asks_again_and_again_is_served_though_new_ones_come_all_the_time():
    """A comparison takes place after place; each time somebody new is there already, and more come."""
    visits = Visits(lanes=1)
    visits.come("patient", "1")
    for number in range(5):
        visits.come(f"new {number}", "1")
    visits.leave(visits.running[0])
    again = visits.come("patient", "1")
    waited = 0
    while not again.running:
        visits.come(f"newer {waited}", "1")
        visits.leave(visits.running[0])
        waited += 1
        assert waited <= 6, "nobody who came later, and waits for a first turn, goes before"


def test_the_same_holds_of_new_sessions_at_one_address():
    visits = Visits(lanes=1)
    visits.come("home", "patient")
    visits.come("home", "other")
    visits.leave(visits.running[0])
    again = visits.come("home", "patient")
    waited = 0
    while not again.running:
        visits.come("home", f"new {waited}")
        visits.leave(visits.running[0])
        waited += 1
        assert waited <= 2


def test_one_run_each_is_served_in_order_of_arrival():
    visits = Visits(lanes=1)
    tickets = [visits.come(name, "1") for name in "DBACE"]
    while visits.held:
        visits.leave(visits.running[0])
    assert visits.started == tickets


def test_a_new_visitor_comes_before_the_second_run_of_another():
    visits = Visits(lanes=1)
    first, second, third = (visits.come("flood", "1") for _ in range(3))
    visitor = visits.come("quiet", "1")
    assert [visits.line.position(t) for t in (first, visitor, second, third)] == [0, 1, 2, 3]


def test_limits_are_told_in_words():
    visits = Visits(lanes=1, longest=6, each=2, each_address=3)
    for session in "112":
        visits.come("A", session)
    with pytest.raises(NotHereError, match=r"2 runs of yours are waiting already, and 2 are allowed at a time\. Let"):
        visits.come("A", "1")
    with pytest.raises(NotHereError, match=r"3 runs from your address are waiting already\. Let some of them end"):
        visits.come("A", "3")
    for session in "123":
        visits.come("B", session)
    with pytest.raises(NotHereError, match=r"6 runs are waiting here, and there is no room for more\. Try again in"):
        visits.come("C", "1")
    assert len(visits.held) == 6
    visits.leave(visits.waiting[0])
    assert not visits.come("C", "1").running
    assert issubclass(NotHereError, EncoderError)


def test_an_exception_frees_the_lane():
    line = Line(lanes=1)

    def fail():
        with line.place("A", "1") as ticket:
            assert ticket.running
            raise KeyError("in the block")

    with pytest.raises(KeyError, match="in the block"):
        fail()
    with line.place("B", "1") as ticket:
        assert line.wait(ticket, 0.0)
    assert line.length == 0


def test_of_many_threads_no_more_run_at_once_than_there_are_lanes():
    line, lock = Line(lanes=2, longest=100, each_address=100), threading.Lock()
    at_once, most, done = [0], [0], []

    def visit(number):
        with line.place("A", str(number)) as ticket:
            while not line.wait(ticket, 0.2):
                assert line.position(ticket) > 0
            with lock:
                at_once[0] += 1
                most[0] = max(most[0], at_once[0])
            time.sleep(0.002)
            with lock:
                at_once[0] -= 1
                done.append(number)

    threads = [threading.Thread(target=visit, args=(number,)) for number in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(done) == list(range(40))
    assert most[0] == 2


def test_waiting_ends_when_the_turn_comes_and_not_before():
    line = Line(lanes=1)
    with ExitStack() as first:
        first.enter_context(line.place("A", "1"))
        with line.place("B", "1") as ticket:
            began = time.monotonic()
            assert not line.wait(ticket, 0.1)
            assert time.monotonic() - began >= 0.1
            threading.Timer(0.1, first.close).start()
            assert line.wait(ticket, 20)
            assert time.monotonic() - began < 10
