"""The way from a model, or from representations, to a report: each station called once, in order."""

import platform
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib import metadata
from typing import Any

import numpy as np
from jaxtyping import Float

from . import classifier, curve, paper
from .embedding import default_batch_size, embed
from .encoders import Encoder
from .errors import EncoderError
from .loading import load_encoder
from .mixture import MixtureSpec
from .report import Report
from .representations import Representations
from .settings import HEADLINE_EPSILON, HEADLINE_THRESHOLD, SAMPLES, Settings, check_integer, make_settings

_PACKAGES = ("synbench", "torch", "transformers", "accelerate", "numpy", "scipy")


@dataclass(frozen=True)
class Study:
    """A model with the settings it is to be scored with: loaded and checked, nothing drawn yet."""

    encoder: Encoder
    settings: Settings
    batch_size: int

    @cached_property
    def spec(self) -> MixtureSpec:
        """The mixture that is drawn."""
        return MixtureSpec(self.encoder.contract.shape, self.settings.scales, seed=self.settings.seed)

    def embed(self, *, share: tuple[int, int] = (0, 1), progress: bool | None = None) -> Iterator[Representations]:
        """Draw and embed this process's share, one scale after the other; see ``embedding.embed``."""
        samples = self.settings.samples or SAMPLES
        with enough_memory():
            yield from embed(
                self.encoder, self.spec, samples, batch_size=self.batch_size, share=share, progress=progress
            )


def prepare(
    model: Any,
    settings: Settings,
    *,
    batch_size: int | None = None,
    untrained: bool = False,
    **loading: Any,
) -> Study:
    """Load a model and check everything that can be checked before the long run.

    Args:
        model: see ``load_encoder``.
        settings: what is asked.
        batch_size: images a forward pass, a positive integer; by default up to 256, fewer for large images.
        untrained: score the untrained twin, with weights drawn from ``settings.seed``.
        loading: further arguments of ``load_encoder``.

    Raises:
        ArgumentError, EncoderError: as ``load_encoder``.
    """
    if batch_size is not None:
        check_integer("batch_size", batch_size, least=1, remedy="leave it out for a size that fits most machines")
    with enough_memory():
        encoder = load_encoder(model, untrained=untrained, seed=settings.seed, **loading)
    return Study(encoder, settings, batch_size or default_batch_size(encoder.contract.shape))


@contextmanager
def enough_memory() -> Iterator[None]:
    """Turn what the libraries raise when memory runs out into a sentence with a next step.

    Raises:
        EncoderError: memory ran out in the block.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        # torch's own class is a RuntimeError; its CPU allocator raises a plain one.
        if isinstance(error, RuntimeError) and "memory" not in str(error):
            raise
        said = str(error).splitlines()[0] if str(error) else "MemoryError"
        raise EncoderError(
            f"the model and its images do not fit into memory ({said}). Lower batch_size= or image_size=, or use "
            f"a device with more memory."
        ) from error


def score(
    model: Any,
    *,
    protocol: str = "paper",
    samples: int = SAMPLES,
    scales: Sequence[float] | None = None,
    epsilons: Sequence[float] | None = None,
    thresholds: Sequence[float] | None = None,
    seed: int = 0,
    as_published: bool = False,
    batch_size: int | None = None,
    untrained: bool = False,
    progress: bool | None = None,
    **loading: Any,
) -> Report:
    """Score a model: draw, embed, fit, compare with the optimum.

    Args:
        model: a Hub id, a local folder, a ``torch.nn.Module``, or a callable from (n, C, H, W) float32
            tensors to (n, d) arrays.
        protocol: ``"paper"``.
        samples: images per scale and split, at least 3.
        scales: s > 0; the paper's 0.1, 0.2, …, 4.9 by default.
        epsilons: in [0, 1); the paper's 0, 0.2, …, 0.8 by default.
        thresholds: a_t in [0.6, 1); the paper's 0.6, 0.65, …, 0.95, 0.99 by default.
        seed: a non-negative integer; same seed, same number.
        as_published: reproduce the authors' script.
        batch_size: images a forward pass.
        untrained: score the untrained twin instead.
        progress: show a bar on stderr; by default if stderr is a terminal.
        loading: ``revision``, ``device``, ``dtype``, ``image_size``, ``image_mean``, ``image_std`` and
            ``trust_remote_code``, as ``load_encoder``.

    Raises:
        ArgumentError: an argument is out of range.
        EncoderError: the model cannot be used.
        RepresentationError: its representations cannot be scored.

    >>> report = score("synbench:demo", samples=256, scales=[1.0, 2.0, 3.0])
    >>> 0 < report.synbench_score < 1
    True
    """
    began = time.perf_counter()
    settings = make_settings(
        protocol=protocol,
        samples=samples,
        scales=scales,
        epsilons=epsilons,
        thresholds=thresholds,
        seed=seed,
        as_published=as_published,
    )
    study = prepare(model, settings, batch_size=batch_size, untrained=untrained, **loading)
    return conclude(study.embed(progress=progress), settings, study=study, began=began)


def conclude(
    by_scale: Iterable[Representations],
    settings: Settings,
    *,
    study: Study | None = None,
    began: float | None = None,
    processes: int = 1,
) -> Report:
    """Make the report of representations that come one whole scale at a time.

    Args:
        by_scale: as ``Study.embed`` or ``representations.by_scale`` yields them.
        settings: what is asked; its scales are those that were asked for, the report's are those that came.
        study: where the representations come from, if from a model.
        began: ``time.perf_counter()`` when the work began.
        processes: how many embedded.

    Raises:
        RepresentationError: they cannot be scored; see ``paper.estimate``.
    """
    began = time.perf_counter() if began is None else began
    # The headline is always there, whatever grid is asked for.
    epsilons = list(dict.fromkeys([*settings.epsilons, HEADLINE_EPSILON]))
    found = paper.estimate(by_scale, epsilons, as_published=settings.as_published)
    thresholds = [*settings.thresholds, HEADLINE_THRESHOLD]
    areas = curve.scores(found.accuracy, found.bound, found.scales, thresholds)
    asked = slice(len(settings.epsilons))
    raw_accuracy, raw_bound = curve.reference(found.scales)
    headline = _plain(areas[epsilons.index(HEADLINE_EPSILON), -1])
    table = _plain(areas[asked, :-1])
    warnings = list(found.warnings)
    if headline is None or any(value is None for row in table for value in row):
        warnings.append(
            "Some scores are undefined (None): at these scales the best classifier in image space does not exceed "
            "the threshold accuracy at any point of the curve's grid, so there is no optimum to compare with. "
            "Add larger scales, or lower the thresholds."
        )
    bound = _plain(found.bound[asked])
    if any(value is None for row in bound for value in row):
        warnings.append("Some bounds are undefined (None): no test image was classified correctly there.")
    return Report(
        synbench_score=headline,
        scores=table,
        epsilons=list(settings.epsilons),
        thresholds=list(settings.thresholds),
        scales=list(found.scales),
        accuracy=_plain(found.accuracy[asked]),
        bound=bound,
        raw_accuracy=_plain(raw_accuracy),
        raw_bound=_plain(raw_bound),
        protocol="paper",
        settings=_record_settings(settings, study, processes),
        warnings=warnings,
        seconds=time.perf_counter() - began,
        images=found.images,
    )


def _record_settings(settings: Settings, study: Study | None, processes: int) -> dict[str, Any]:
    cutoff = (
        f"absolute {classifier.ABSOLUTE_CUTOFF:g}"
        if settings.as_published
        else f"relative {classifier.RELATIVE_CUTOFF:g}"
    )
    values: dict[str, Any] = {
        "as_published": settings.as_published,
        "eigenvalue_cutoff": cutoff,
        "processes": processes,
        "versions": {"python": platform.python_version(), **{p: _version(p) for p in _PACKAGES}},
        **dict.fromkeys(
            (
                "samples",
                "seed",
                "image_shape",
                "direction",
                "model",
                "preprocessing",
                "precision",
                "device",
                "batch_size",
            )
        ),
    }
    if study is not None:
        encoder, contract = study.encoder, study.encoder.contract
        values |= {
            "samples": settings.samples,
            "seed": settings.seed,
            "image_shape": list(contract.shape),
            "direction": study.spec.direction,
            "model": asdict(encoder.record),
            "preprocessing": {
                "image_mean": list(contract.mean),
                "image_std": list(contract.std),
                "channel_order": list(contract.order),
                "source": contract.source,
            },
            "precision": {"dtype": encoder.dtype, "tf32": False, "reason": encoder.dtype_reason},
            "device": encoder.device,
            "batch_size": study.batch_size,
        }
    return values


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _plain(values: Float[np.ndarray, "..."]) -> Any:
    """Turn an array into nested lists of Python floats, NaN into None."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim == 0:
        return None if np.isnan(array) else float(array)
    return [_plain(part) for part in array]
