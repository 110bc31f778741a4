"""What a plan asks of every model: the options of ``synbench score`` that bear on its number, checked and compared."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from synbench.errors import ArgumentError
from synbench.pooling import CHOICES
from synbench.report import Report
from synbench.settings import HEADLINE_EPSILON, UNIFORM, Settings, make_settings, scale_key, with_sizes

MIXTURE = (
    "protocol",
    "images",
    "target_stderr",
    "max_images",
    "samples",
    "scales",
    "epsilons",
    "thresholds",
    "seed",
    "direction",
    "as_published",
)
"""What ``synbench.settings.make_settings`` takes."""

LOADING = ("pooling", "dtype", "image_size", "image_mean", "image_std", "baseline")
"""How each model is loaded, and what is scored beside it."""

_DTYPES = ("float32", "bfloat16", "float16", "float64")
_FLAGS = ("as_published",)
_LISTS = ("scales", "epsilons", "thresholds")


def checked(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that are given, in a fixed order; ``None`` means the default.

    Raises:
        ArgumentError: one is not known or out of range.

    >>> checked({"seed": 3, "images": 1024, "pooling": None})
    {'images': 1024, 'seed': 3}
    """
    if strange := [name for name in asked if name not in MIXTURE + LOADING]:
        raise ArgumentError(
            f"{strange[0]!r} is no setting of a plan. Known are {', '.join(MIXTURE + LOADING)}; device, batch size and "
            f"the like belong to the machine: give them to synbench hub annotate score."
        )
    found = {name: asked[name] for name in MIXTURE + LOADING if asked.get(name) is not None}
    made = make_settings(**{name: found[name] for name in MIXTURE if name in found})
    for name in _LISTS:
        if name in found:
            found[name] = [float(value) for value in getattr(made, name)]
    if "target_stderr" in found:
        found["target_stderr"] = made.target_stderr
    _check_choice("pooling", found.get("pooling"), CHOICES)
    _check_choice("dtype", found.get("dtype"), _DTYPES)
    _check_choice("baseline", found.get("baseline"), ("untrained",))
    if "image_size" in found:
        _check_numbers("image_size", found["image_size"], (int,), (1, 2))
    for name in ("image_mean", "image_std"):
        if name in found:
            _check_numbers(name, found[name], (int, float), (1, 3))
    return found


def mixture(asked: Mapping[str, Any]) -> Settings:
    """Return the settings of the study, with sizes filled in."""
    return with_sizes(make_settings(**{name: asked[name] for name in MIXTURE if name in asked}))


def arguments(asked: Mapping[str, Any]) -> list[str]:
    """Return the settings as options of ``synbench score``.

    >>> arguments({"images": 1024, "scales": [0.5, 1.0], "as_published": True})
    ['--images', '1024', '--scales', '0.5,1.0', '--as-published']
    """
    found: list[str] = []
    for name, value in asked.items():
        option = "--" + name.replace("_", "-")
        if name in _FLAGS:
            found += [option] if value else []
        else:
            # One word where a value begins with a minus sign, which a parser would take for an option.
            text = ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
            found += [f"{option}={text}"] if text.startswith("-") else [option, text]
    return found


def digest(asked: Mapping[str, Any]) -> str:
    """Return a short name of the settings: what is left to its default is named like the default itself.

    >>> digest({}) == digest({"seed": 0, "protocol": "population"}), digest({}) == digest({"seed": 1})
    (True, False)
    """
    study = mixture(asked)
    told = {name: getattr(study, name) for name in MIXTURE if (name, getattr(study, name)) != ("direction", UNIFORM)}
    told |= {name: asked[name] for name in LOADING if name in asked and (name, asked[name]) != ("dtype", "float32")}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]


def other_settings(report: Report, asked: Mapping[str, Any]) -> str | None:
    """Return what about a result is not as it was asked for, or ``None``.

    Everything is judged by what the result itself tells, wherever it was made.
    """
    study, settings = mixture(asked), report.settings
    wanted: dict[str, tuple[Any, Any]] = {
        "protocol": (study.protocol, report.protocol),
        "seed": (study.seed, settings.seed),
        "direction": (study.direction, settings.direction or UNIFORM),
        "samples": (study.samples, settings.samples),
        "target_stderr": (study.target_stderr, settings.target_stderr),
        "max_images": (study.max_images, settings.max_images),
        "as_published": (study.as_published, settings.as_published),
        "scales": (_keys(study.scales), _keys(report.scales)),
        "epsilons": (sorted({HEADLINE_EPSILON, *study.epsilons}), sorted({HEADLINE_EPSILON, *report.epsilons})),
        "thresholds": (sorted(study.thresholds), sorted(report.thresholds)),
        "dtype": (asked.get("dtype", "float32"), settings.precision.dtype if settings.precision else None),
        "baseline": (asked.get("baseline"), report.baseline.kind if report.baseline else None),
    }
    for name, (expected, came) in wanted.items():
        if expected != came:
            return f"{name} is {came}, expected {expected}"
    if study.images is not None and not _images_fit(study, report):
        return f"it is of {report.images} images, expected {study.images}"
    return _other_loading(report, asked)


def _images_fit(study: Settings, report: Report) -> bool:
    asked = study.images or 0
    if study.target_stderr is not None:
        return asked <= report.images <= (study.max_images or report.images)
    if report.images == asked:
        return True
    from synbench.population import BANDS

    # An encoder that does not answer linearly is shown so many times the images that were asked for.
    bent = report.diagnostics is not None and not report.diagnostics.linear
    return bent and report.images == BANDS * asked


def _other_loading(report: Report, asked: Mapping[str, Any]) -> str | None:
    settings, model = report.settings, report.settings.model
    if "image_size" in asked and settings.image_shape is not None:
        size = _sequence(asked["image_size"])
        expected = [*size, *size][:2] if len(size) == 1 else list(size)
        if settings.image_shape[1:] != expected:
            return f"image_size is {settings.image_shape[1:]}, expected {expected}"
    for name in ("image_mean", "image_std"):
        if name in asked and settings.preprocessing is not None:
            came = getattr(settings.preprocessing, name)
            values = [float(value) for value in _sequence(asked[name])]
            if came != (values * len(came) if len(values) == 1 else values):
                return f"{name} is {came}, expected {values}"
    if "pooling" in asked and model is not None and "asked for" not in model.pooling_reason:
        return f"pooling is by the rule ({model.pooling}), expected {asked['pooling']!r}"
    if "pooling" not in asked and model is not None and model.pooling_reason == "asked for":
        return f"pooling was asked for ({model.pooling}), expected the rule"
    return None


def _keys(scales: Sequence[float]) -> list[int]:
    return sorted(scale_key(scale) for scale in scales)


def _sequence(value: Any) -> Sequence[Any]:
    return value if isinstance(value, (list, tuple)) else [value]


def _check_choice(name: str, value: Any, choices: Sequence[str]) -> None:
    if value is not None and value not in choices:
        raise ArgumentError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}.")


def _check_numbers(name: str, value: Any, kinds: tuple[type, ...], counts: tuple[int, int]) -> None:
    values = _sequence(value)
    if len(values) not in counts or any(isinstance(v, bool) or not isinstance(v, kinds) for v in values):
        kind = "a whole number" if kinds == (int,) else "a number"
        raise ArgumentError(f"{name} must be {kind}, or a list of {counts[1]}, got {value!r}.")
