"""SynBench: how much of a known optimum a pretrained vision encoder keeps, told without any data.

>>> import synbench
>>> report = synbench.score("synbench:demo", images=1024)
>>> low, high = report.interval
>>> low < report.synbench_score < high
True
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .checking import Check, check
    from .comparing import compare
    from .comparison import Comparison
    from .comparison_plot import plot_comparison
    from .encoders import Encoder
    from .errors import (
        ArgumentError,
        CardError,
        EncoderError,
        HubError,
        OutputError,
        RepresentationError,
        SynBenchError,
    )
    from .folders import DEMO
    from .loading import load_encoder
    from .mixture import MixtureSpec
    from .plots import plot_report
    from .probe import ProbeReport, Recommendation, RobustLinearProbe, recommend_epsilon
    from .recipes import with_pixels
    from .registration import register, unregister
    from .report import Report, json_schema
    from .scoring import score

__version__ = "0.1.0"

# Names are imported when they are first used: `import synbench` alone loads neither torch nor datasets.
_HOMES = {
    "Check": "checking",
    "check": "checking",
    "Comparison": "comparison",
    "DEMO": "folders",
    "Encoder": "encoders",
    "compare": "comparing",
    "load_encoder": "loading",
    "ArgumentError": "errors",
    "CardError": "errors",
    "EncoderError": "errors",
    "HubError": "errors",
    "OutputError": "errors",
    "RepresentationError": "errors",
    "SynBenchError": "errors",
    "MixtureSpec": "mixture",
    "plot_comparison": "comparison_plot",
    "plot_report": "plots",
    "ProbeReport": "probe",
    "Recommendation": "probe",
    "RobustLinearProbe": "probe",
    "recommend_epsilon": "probe",
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
    "CardError",
    "Check",
    "Comparison",
    "Encoder",
    "EncoderError",
    "HubError",
    "MixtureSpec",
    "OutputError",
    "ProbeReport",
    "Recommendation",
    "Report",
    "RepresentationError",
    "RobustLinearProbe",
    "SynBenchError",
    "check",
    "compare",
    "json_schema",
    "load_encoder",
    "plot_comparison",
    "plot_report",
    "recommend_epsilon",
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
