"""The record of a result: typed, versioned, plain Python, and finite.

``Report.to_dict`` is what ``evaluate`` returns and what ``--json`` prints; ``Report.from_dict`` reads
it back and refuses what does not fit. ``report.schema.json`` beside this file is its JSON Schema.
What is undefined is ``None``, and a warning says why.
"""

import csv
import io
import json
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from .errors import ArgumentError

SCHEMA_VERSION: Literal[3] = 3
"""Raised whenever a field changes its name, type or meaning."""

SCHEMA_FILE = Path(__file__).parent / "report.schema.json"

Rows = list[list[float]]
Interval = Annotated[list[float], Field(min_length=2, max_length=2, description="[low, high], 95 %.")]


class Record(BaseModel):
    """Frozen, no unknown fields, no NaN and no infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=())

    def to_dict(self) -> dict[str, Any]:
        """Return a dict of plain Python values: what ``evaluate`` gives."""
        return self.model_dump(mode="json")

    def to_json(self) -> str:
        """Return the dict as JSON in plain ASCII, two spaces a level."""
        return json.dumps(self.to_dict(), indent=2, allow_nan=False)


class Versioned(Record):
    """A record with a version, which is read back only if it fits."""

    called: ClassVar[str] = "record"
    written_by: ClassVar[str] = "synbench score"

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Read what ``to_dict`` wrote.

        Raises:
            ArgumentError: a field is missing, unknown, or not of its type; the message names it.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            if other := _other(cls.called, values):
                raise ArgumentError(
                    f"expected a SynBench {cls.called}, but this is a {other}. Pass a {cls.called} of "
                    f"{cls.written_by} --output."
                ) from error
            problems = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'record'}: {e['msg']}" for e in error.errors()[:3])
            raise ArgumentError(
                f"expected a SynBench {cls.called} of schema version {cls.model_fields['schema_version'].default}, but "
                f"{problems}. Read it with the SynBench that wrote it."
            ) from error

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the file that ``--output`` wrote.

        Raises:
            ArgumentError: there is no such file, or no such record of this version in it.
        """
        try:
            values = json.loads(path.read_text())
        except OSError as error:
            raise ArgumentError(f"cannot read the {cls.called} {str(path)!r}: {error.strerror or error}.") from error
        except ValueError as error:
            raise ArgumentError(
                f"expected a SynBench {cls.called} as JSON in {str(path)!r}, got something else ({error}). "
                f"Write one by {cls.written_by} --output."
            ) from error
        return cls.from_dict(values)


_TELLTALES = {"result": "synbench_score", "probe report": "levels", "comparison": "entries"}
"""A field that each kind of record has, and no other."""


def _other(called: str, values: Any) -> str | None:
    """Return which other kind of record this is; None if it may be of the kind that was expected."""
    if called not in _TELLTALES or not isinstance(values, dict) or _TELLTALES[called] in values:
        return None
    return next((kind for kind, field in _TELLTALES.items() if field in values), None)


class Model(Record):
    """What was scored."""

    id: str = Field(description="As it was asked for; the class name of a module or callable.")
    source: Literal["hub", "local", "demo", "module", "callable"]
    revision: str | None = Field(description="Branch, tag or commit that was asked for.")
    commit: str | None = Field(description="Commit hash on the Hub of the files that were loaded.")
    weights_sha256: str | None = Field(description="SHA-256 of a folder's safetensors files, by name.")
    architecture: str = Field(description="Class that ran.")
    pooling: str = Field(description="Output field and reduction that made the representation.")
    pooling_reason: str
    dimension: int = Field(ge=1, description="Width d of the representation.")
    trained: bool = Field(description="False for the untrained twin: same architecture, random weights.")


class Preprocessing(Record):
    """What was done to the drawn images: (x[order] − mean) / std by channel, and nothing else."""

    image_mean: list[float]
    image_std: list[float]
    channel_order: list[int]
    source: str


class Precision(Record):
    """The arithmetic of the forward passes; statistics are always float64."""

    dtype: str
    tf32: bool
    reason: str


class StudySettings(Record):
    """Everything needed to repeat the study."""

    samples: int | None = Field(description="Paper protocol: images per scale and split; else None.")
    target_stderr: float | None = Field(description="Population protocol: the standard error that was asked for.")
    max_images: int | None = Field(description="Population protocol: where drawing was to stop.")
    seed: int | None = Field(description="Seed of the mixture; None for added representations.")
    as_published: bool = Field(description="Absolute eigenvalue cut-off and batch averages of the authors' script.")
    eigenvalue_cutoff: str
    image_shape: list[int] | None = Field(description="Channels, height, width.")
    direction: str | None = Field(description="Class-mean direction of the mixture.")
    model: Model | None = Field(description="None for added representations.")
    preprocessing: Preprocessing | None
    precision: Precision | None
    device: str | None
    batch_size: int | None
    processes: int = Field(ge=1)
    versions: dict[str, str] = Field(description="Versions of the packages that bear on the number.")


class Change(Record):
    """A change from the smallest scale to the largest, relative where nothing else is said."""

    change: float
    stderr: float = Field(ge=0)


class Diagnostics(Record):
    """Whether the encoder answers linearly, along the classifier of ε = 0; see docs/population.md."""

    linear: bool = Field(description="Whether one linear response was used for all scales.")
    bands: int = Field(ge=1, description="Bands of scales with a response each; 1 if linear.")
    response: Change | None = Field(description="Of the response to a unit shift: the cubic term.")
    spread: Change | None = Field(description="Of the variance within a class.")
    midpoint: Change | None = Field(description="Of the midpoint of the classes, in standard deviations.")
    coordinate: Change | None = Field(
        description="Of the response to a draw's own coordinate, against that to the class means; None if not known."
    )
    skewness: float = Field(description="Of the projections around their class mean; 0 if Gaussian.")
    excess_kurtosis: float = Field(description="Likewise.")
    score_shift: float = Field(description="How far the changes that are significant would move the headline score.")
    gaussian_gap: float = Field(description="How far the headline score is from that of Gaussian projections.")


class Baseline(Record):
    """The untrained twin, same architecture and random weights, on the same images."""

    kind: Literal["untrained"]
    synbench_score: float | None = Field(ge=0)
    stderr: float | None = Field(ge=0)
    interval: Interval | None
    kappa: list[float] | None = Field(description="One per ε.")
    kappa_stderr: list[float | None] | None
    difference: float | None = Field(description="The encoder's score minus the twin's.")
    difference_stderr: float | None = Field(ge=0)
    difference_interval: Interval | None


class Report(Versioned):
    """A SynBench result: the scores, what they are made of, and everything needed to repeat them."""

    called: ClassVar[str] = "result"

    synbench_score: float | None = Field(ge=0, description="Score at ε = 0 and a_t = 0.7.")
    stderr: float | None = Field(ge=0, description="Its standard error over images of other seeds.")
    interval: Interval | None = Field(description="Its 95 % interval.")
    meaning: str = Field(description="What the number says, in one plain sentence or two.")
    scores: list[list[float | None]] = Field(description="One row per ε, one column per a_t.")
    scores_stderr: list[list[float | None]] = Field(description="In the shape of scores.")
    scores_interval: list[list[Interval | None]] = Field(description="In the shape of scores.")
    epsilon_covariance: list[Rows] | None = Field(
        default=None,
        description="For each a_t, the covariance of the errors of its scores, ε by ε: they saw the same images. None "
        "where it is not known.",
    )
    kappa: list[float] | None = Field(
        description="Share of the images' discriminability that is kept, one per ε; above 1 by noise, or where a "
        "response that is not linear separates the classes more than Gaussian ones. None under the paper protocol."
    )
    kappa_stderr: list[float | None] | None = Field(description="None where there are too few images for the width.")
    kappa_interval: list[Interval | None] | None
    epsilons: list[float] = Field(description="Robustness levels, relative to ‖μ‖₂, in [0, 1).")
    thresholds: list[float] = Field(description="Threshold accuracies a_t, in [0.6, 1).")
    scales: list[float] = Field(description="Scales s, rising.")
    accuracy: Rows = Field(description="One row per ε, one column per scale.")
    bound: list[list[float | None]] = Field(description="Mean scaled bound of correct images.")
    raw_accuracy: list[float] = Field(description="Accuracy of the best classifier in image space.")
    raw_bound: list[float] = Field(description="Its expected scaled bound.")
    protocol: Literal["population", "paper"]
    diagnostics: Diagnostics | None = Field(description="Of the population protocol.")
    baseline: Baseline | None = Field(description="The untrained twin, if it was asked for.")
    settings: StudySettings
    warnings: list[str]
    schema_version: Literal[3] = SCHEMA_VERSION
    seconds: float = Field(ge=0, description="Wall time, with drawing and embedding where they were done.")
    images: int = Field(ge=1, description="Representations that were used.")
    from_cache: int | None = Field(
        ge=0, description="Those among them that were in the cache; None for representations made elsewhere."
    )

    @model_validator(mode="after")
    def _shapes_agree(self) -> "Report":
        rows, columns, width = len(self.epsilons), len(self.thresholds), len(self.scales)
        shapes: dict[str, tuple[list[Any], int, int]] = {
            "scores": (self.scores, rows, columns),
            "scores_stderr": (self.scores_stderr, rows, columns),
            "scores_interval": (self.scores_interval, rows, columns),
            **{
                name: ([value], 1, rows)
                for name in ("kappa", "kappa_stderr", "kappa_interval")
                if (value := getattr(self, name)) is not None
            },
            "accuracy": (self.accuracy, rows, width),
            "bound": (self.bound, rows, width),
            "raw_accuracy": ([self.raw_accuracy], 1, width),
            "raw_bound": ([self.raw_bound], 1, width),
        }
        for column, matrix in enumerate(self.epsilon_covariance or ()):
            shapes[f"epsilon_covariance[{column}]"] = (matrix, rows, rows)
        for name, (value, height, length) in shapes.items():
            if len(value) != height or any(len(row) != length for row in value):
                raise ValueError(f"{name} must have {height} rows of {length}")
        if self.epsilon_covariance is not None and len(self.epsilon_covariance) != columns:
            raise ValueError(f"epsilon_covariance must have {columns} matrices")
        return self

    def to_csv(self) -> str:
        """Return the scores as rows under a header (RFC 4180), one an ε and a_t, with κ of the ε beside each.

        Numbers are in full, and there is nothing for what is undefined.
        """
        stream = io.StringIO(newline="")
        writer = csv.writer(stream)
        scored = ("score", "score_stderr", "score_low", "score_high")
        writer.writerow(["model", "commit", "epsilon", "threshold", *scored, "kappa", "kappa_low", "kappa_high"])
        model = self.settings.model
        for row, epsilon in enumerate(self.epsilons):
            kappa = None if self.kappa is None else self.kappa[row]
            around = (None if self.kappa_interval is None else self.kappa_interval[row]) or ("", "")
            for column, threshold in enumerate(self.thresholds):
                interval = self.scores_interval[row][column] or ("", "")
                own = [self.scores[row][column], self.scores_stderr[row][column], *interval]
                named = [None, None] if model is None else [model.id, model.commit]
                writer.writerow([*named, epsilon, threshold, *own, kappa, *around])
        return stream.getvalue()


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of what ``Report.to_dict`` gives."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Report.model_json_schema(mode="serialization")}


if __name__ == "__main__":
    # Writes the schema anew, after a change of the record: python -m synbench.report
    SCHEMA_FILE.write_text(json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n")
