"""The line of those who wait for a run: fair to visitors, not to requests.

Whoever waits with several runs has them served one at a time, each after one of everybody else's. A visitor is a
session at an address: addresses take turns, and among the sessions of one address they do too. Whoever comes stands
behind those who had no turn since before it came, so nobody waits for ever while new ones come.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from synbench.errors import EncoderError


class NotHereError(EncoderError):
    """The model cannot be scored by this app, or not now; it may well be elsewhere."""


@dataclass(eq=False)
class Ticket:
    """A place in the line.

    Attributes:
        address: of the visitor.
        session: of the visitor.
        number: in order of arrival.
        came: turns that had been given before it came.
        running: whether its turn has come.
    """

    address: str
    session: str
    number: int
    came: int
    running: bool = False


@dataclass
class Line:
    """Waiting runs, and those that run.

    Args:
        lanes: runs at once.
        longest: tickets in all, those that run among them.
        each: tickets of one session.
        each_address: tickets of one address.
    """

    lanes: int = 1
    longest: int = 64
    each: int = 3
    each_address: int = 24
    _tickets: list[Ticket] = field(default_factory=list, repr=False)
    _served: dict[str, int] = field(default_factory=dict, repr=False)
    _turns: int = 0
    _numbers: int = 0
    _changed: threading.Condition = field(default_factory=threading.Condition, repr=False)

    @contextmanager
    def place(self, address: str, session: str) -> Iterator[Ticket]:
        """Take a place, for as long as the block takes.

        Raises:
            NotHereError: the line is full, or this visitor waits in it often enough.
        """
        with self._changed:
            self._check(address, session)
            self._numbers += 1
            ticket = Ticket(address, session, self._numbers, self._turns)
            self._tickets.append(ticket)
            self._next()
        try:
            yield ticket
        finally:
            with self._changed:
                self._tickets.remove(ticket)
                self._next()

    def wait(self, ticket: Ticket, seconds: float) -> bool:
        """Wait for a turn, at most some seconds, and tell whether it has come."""
        with self._changed:
            self._changed.wait_for(lambda: ticket.running, seconds)
            return ticket.running

    def position(self, ticket: Ticket) -> int:
        """Return how many turns away it is: 0 of one that runs, else at least 1."""
        with self._changed:
            return 0 if ticket.running else self._order().index(ticket) + 1

    @property
    def length(self) -> int:
        """Tickets that wait."""
        with self._changed:
            return sum(not ticket.running for ticket in self._tickets)

    def _check(self, address: str, session: str) -> None:
        own = sum(t.session == session and t.address == address for t in self._tickets)
        if own >= self.each:
            raise NotHereError(
                f"{own} runs of yours are waiting already, and {self.each} are allowed at a time. Let one of them end "
                f"first."
            )
        if sum(t.address == address for t in self._tickets) >= self.each_address:
            raise NotHereError(
                f"{self.each_address} runs from your address are waiting already. Let some of them end first."
            )
        if len(self._tickets) >= self.longest:
            raise NotHereError(
                f"{len(self._tickets)} runs are waiting here, and there is no room for more. Try again in some "
                f"minutes, or score the model on your own machine: synbench score."
            )

    def _order(self) -> list[Ticket]:
        """Return those that wait, the next one first."""
        served, rest = dict(self._served), [t for t in self._tickets if not t.running]
        order, turn = list[Ticket](), self._turns
        while rest:
            first = min(rest, key=lambda t: (*_since(t, t.address, served), *_since(t, _visitor(t), served), t.number))
            rest.remove(first)
            order.append(first)
            turn += 1
            served[first.address] = served[_visitor(first)] = turn
        return order

    def _next(self) -> None:
        while sum(t.running for t in self._tickets) < self.lanes:
            order = self._order()
            if not order:
                break
            order[0].running = True
            self._turns += 1
            self._served[order[0].address] = self._served[_visitor(order[0])] = self._turns
        if not self._tickets:
            self._served.clear()  # nobody waits who could come before or after
        self._changed.notify_all()


def _since(ticket: Ticket, name: str, served: dict[str, int]) -> tuple[int, int]:
    """Return since which turn a ticket waits for one of this name; among equals, those who had none come first."""
    last = served.get(name, 0)
    return max(last, ticket.came), last


def _visitor(ticket: Ticket) -> str:
    return f"{ticket.address} {ticket.session}"
