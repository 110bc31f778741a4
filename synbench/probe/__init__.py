"""Robust linear probes: fitted to representations, recommended by a score, measured on real pictures.

``RobustLinearProbe`` (robust.py) minimises the loss of the worst point of a ball (objective.py, solver.py);
``recommend_epsilon`` (recommendation.py) reads off a score which ε to take; ``probe`` (measuring.py) does both for an
encoder and a data set, and attacks what comes out. docs/probing.md tells what for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .measuring import probe
    from .recommendation import Recommendation, recommend_epsilon
    from .record import ProbeReport
    from .robust import RobustLinearProbe

# Named when first used: a recommendation needs neither scikit-learn nor a library of attacks.
_HOMES = {
    "probe": "measuring",
    "Recommendation": "recommendation",
    "recommend_epsilon": "recommendation",
    "ProbeReport": "record",
    "RobustLinearProbe": "robust",
}

__all__ = ["ProbeReport", "Recommendation", "RobustLinearProbe", "probe", "recommend_epsilon"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
