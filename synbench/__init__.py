"""SynBench: how good is a pretrained vision encoder, told without any data.

>>> import synbench
>>> report = synbench.score("synbench:demo", samples=256, scales=[1.0, 2.0, 3.0])
>>> report.settings.model.dimension
64
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .checkpoints import DEMO
    from .encoders import Encoder
    from .errors import ArgumentError, EncoderError, OutputError, RepresentationError, SynBenchError
    from .loading import load_encoder
    from .mixture import MixtureSpec
    from .plots import plot_report
    from .recipes import with_pixels
    from .registration import register, unregister
    from .report import Report, json_schema
    from .scoring import score

__version__ = "0.1.0"

# Names are imported when they are first used: `import synbench` alone loads neither torch nor datasets.
_HOMES = {
    "DEMO": "checkpoints",
    "Encoder": "encoders",
    "load_encoder": "loading",
    "ArgumentError": "errors",
    "EncoderError": "errors",
    "OutputError": "errors",
    "RepresentationError": "errors",
    "SynBenchError": "errors",
    "MixtureSpec": "mixture",
    "plot_report": "plots",
    "with_pixels": "recipes",
    "register": "registration",
    "unregister": "registration",
    "Report": "report",
    "json_schema": "report",
    "score": "scoring",
}

__all__ = [
    "DEMO",
    "ArgumentError",
    "Encoder",
    "EncoderError",
    "MixtureSpec",
    "OutputError",
    "Report",
    "RepresentationError",
    "SynBenchError",
    "json_schema",
    "load_encoder",
    "plot_report",
    "register",
    "score",
    "unregister",
    "with_pixels",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
