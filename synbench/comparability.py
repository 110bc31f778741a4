"""What may be compared: different encoders, scored alike in all that their scores depend on."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Float

from .encoders import ModelRecord
from .errors import ArgumentError
from .report import Model, Report
from .settings import TEXTURE, Settings, scale_key

_T = TypeVar("_T")


def check_contributions(
    contributions: Sequence[Float[np.ndarray, " _"] | None], count: int
) -> list[Float[np.ndarray, " _"] | None]:
    """Return the contributions as float64 vectors.

    Raises:
        ArgumentError: there is not one for each report, or one is no vector of finite numbers.
    """
    if len(contributions) != count:
        raise ArgumentError(
            f"contributions must hold one vector, or None, for each of the {count} reports, got {len(contributions)}."
        )
    vectors = [None if c is None else np.asarray(c, dtype=np.float64) for c in contributions]
    for k, vector in enumerate(vectors):
        if vector is not None and (vector.ndim != 1 or not vector.size or not np.isfinite(vector).all()):
            raise ArgumentError(
                f"contributions must be vectors of finite numbers, one a draw, but contributions[{k}] has the shape "
                f"{vector.shape} or is not finite. Pass None to compare that report as unpaired."
            )
    return vectors


def refuse_duplicates(models: Sequence[Model | ModelRecord | None], labels: Sequence[str]) -> None:
    """Refuse the same encoder twice; modules and callables carry nothing to know them by.

    Raises:
        ArgumentError: two are of one encoder.
    """
    seen: dict[Hashable, str] = {}
    for model, label in zip(models, labels, strict=True):
        if model is None or model.source in ("module", "callable"):
            continue
        key = (model.id, model.commit, model.weights_sha256, model.trained, model.pooling)
        if key in seen:
            raise ArgumentError(
                f"expected different encoders, but {seen[key]} and {label} are the same model with the same weights. "
                f"Give each encoder once."
            )
        seen[key] = label


@dataclass(frozen=True)
class Conditions:
    """What scores depend on beside the encoder; None is what is not known."""

    as_published: bool
    protocol: str
    scales: tuple[int, ...]
    precision: str | None
    mixture: str

    @classmethod
    def of(cls, asked: Settings, precision: str | None = None) -> "Conditions":
        """Return those of what is to be scored."""
        return cls._of(asked.as_published, asked.protocol, asked.scales, precision, asked.direction)

    @classmethod
    def of_report(cls, report: Report) -> "Conditions":
        """Return those of a result."""
        settings, precision = report.settings, report.settings.precision
        dtype = precision.dtype if precision else None
        return cls._of(settings.as_published, report.protocol, report.scales, dtype, settings.direction)

    @classmethod
    def _of(
        cls, as_published: bool, protocol: str, scales: Sequence[float], precision: str | None, direction: str | None
    ) -> "Conditions":
        # Another direction of the means is another draw of one mixture, in this respect.
        mixture = "textures" if direction == TEXTURE else "means"
        return cls(as_published, protocol, tuple(map(scale_key, scales)), precision, mixture)


def check_conditions(conditions: Sequence[Conditions], labels: Sequence[str], allow_mixed: bool) -> list[str]:
    """Return warnings about what differs.

    Raises:
        ArgumentError: something differs that scores depend on, and it is not allowed.
    """
    if differing := _differing(conditions, labels, attrgetter("as_published"), str):
        raise ArgumentError(
            f"expected results that all reproduce the authors' script or none, got as_published={differing}. "
            f"Score them again with one setting."
        )
    warnings = []
    for what, name in (
        ("protocol", "protocol"), ("grid of scales", "scales"), ("precision", "precision"), ("mixture", "mixture"),
    ):  # fmt: skip
        if not (differing := _differing(conditions, labels, attrgetter(name), _told)):
            continue
        if not allow_mixed:
            raise ArgumentError(
                f"expected results of one {what}, got {differing}. Score them with the same settings, or compare them "
                f"all the same with allow_mixed=True; the comparison then carries a warning."
            )
        warnings.append(
            f"The results are not of one {what}: {differing}. A part of their differences can come from that, and not "
            f"from the encoders."
        )
    return warnings


def check_alike(reports: Sequence[Report], labels: Sequence[str], allow_mixed: bool) -> list[str]:
    """Return warnings about what differs between the reports.

    Raises:
        ArgumentError: as ``check_conditions``.
    """
    warnings = check_conditions([Conditions.of_report(report) for report in reports], labels, allow_mixed)
    if differing := _differing(reports, labels, _biasing_width, lambda width: f"{width} dimensions"):
        warnings.append(
            f"The paper protocol is biased by the width of the representation, and the encoders differ in it: "
            f"{differing}. Their intervals do not contain that bias. Raise samples, or use another protocol."
        )
    if differing := _differing(reports, labels, lambda r: tuple(r.settings.image_shape or ()) or None, sides):
        warnings.append(
            f"The encoders were scored at different input sizes: {differing}. Each score is of a mixture in its own "
            f"image space, and pairs of different size are unpaired."
        )
    return warnings


def _told(condition: Hashable) -> str:
    return listed([key * 1e-6 for key in condition]) if isinstance(condition, tuple) else str(condition)


def _differing(
    reports: Sequence[_T],
    labels: Sequence[str],
    value: Callable[[_T], Hashable],
    told: Callable[[Any], str],
) -> str:
    """Return the values that differ, each with the first report that has it; nothing if there is at most one.

    What is not recorded (None) differs from nothing.
    """
    first: dict[Hashable, str] = {}
    for report, label in zip(reports, labels, strict=True):
        first.setdefault(value(report), label)
    first.pop(None, None)
    return "; ".join(f"{told(v)} for {label}" for v, label in first.items()) if len(first) > 1 else ""


def _biasing_width(report: Report) -> int | None:
    return report.settings.model.dimension if report.protocol == "paper" and report.settings.model else None


def images_key(report: Report) -> Hashable:
    """Return what the drawn images depend on; None where it is not recorded."""
    settings = report.settings
    if settings.image_shape is None or settings.seed is None:
        return None
    return (
        tuple(settings.image_shape),
        settings.seed,
        report.images,
        tuple(map(scale_key, report.scales)),
        report.protocol,
        settings.samples,
        settings.direction,
        # A CPU and a GPU draw different numbers from one seed.
        settings.device.partition(":")[0] if settings.device else None,
    )


def model_name(report: Report) -> str:
    """Return what a report calls its encoder."""
    return report.settings.model.id if report.settings.model else "added representations"


def listed(values: Sequence[float]) -> str:
    """Return a grid in a message: a long one by its ends."""
    if len(values) <= 9:
        return "[" + ", ".join(f"{v:g}" for v in values) + "]"
    return f"{len(values)} values from {values[0]:g} to {values[-1]:g}"


def sides(shape: Sequence[int]) -> str:
    """Return the sides of an image, such as 3×32×32."""
    return "×".join(map(str, shape))
