"""A stand-in for the Hugging Face Hub on loopback: enough HTTP for the real clients, read and write.

In memory, without git and without Xet. It keeps what tests ask about: a log of requests, the history of each
repository, and faults that can be put in the way.
"""

from .faults import Fault
from .repositories import Pull, Repository
from .server import Hub, Request

__all__ = ["Fault", "Hub", "Pull", "Repository", "Request"]
