"""Every error that SynBench raises on purpose.

    SynBenchError
    ├── ArgumentError        an argument is out of range, or two do not fit together
    ├── EncoderError         the model cannot be loaded, or is not a vision encoder
    ├── RepresentationError  the representations cannot be scored
    ├── OutputError          a result cannot be written where it was asked for
    └── HubError             the Hub cannot be reached, or refuses what was asked of it
        └── CardError        a model card cannot be changed without loss

Each message says what was expected, what came, and what to do. The command line maps the classes
to exit codes (``exit_code``), so a script can tell a typo from an unusable model.
"""


class SynBenchError(Exception):
    """Base of the tree: catch this to catch everything that SynBench raises on purpose."""

    exit_code = 1


class ArgumentError(SynBenchError, ValueError):
    """An argument is out of range, or two arguments contradict each other."""

    exit_code = 2


class OutputError(SynBenchError, OSError):
    """The result cannot be written to the path that was asked for."""

    exit_code = 2


class EncoderError(SynBenchError):
    """The model cannot be found, cannot be loaded, or does not map images to vectors."""

    exit_code = 3


class RepresentationError(SynBenchError, ValueError):
    """The representations cannot be scored: wrong shape, a class is missing, not finite, constant."""

    exit_code = 3


class HubError(SynBenchError):
    """The Hub cannot be reached, refuses what was asked of it, or its owner does not want it."""

    exit_code = 4


class CardError(HubError, ValueError):
    """A model card cannot take a result without the loss of something else; it stays as it is."""
