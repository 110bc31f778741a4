"""The record of a probing: typed, versioned, plain Python, and finite, as ``synbench.report``."""

from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from synbench.report import Interval, Model, Precision, Preprocessing, Record, Versioned

from .recommendation import Recommendation

SCHEMA_VERSION: Literal[2] = 2
"""Raised whenever a field changes its name, type or meaning."""


class DatasetTold(Record):
    """What was probed on, so that it can be found again."""

    id: str = Field(description="As it was asked for; the class name of an object.")
    config: str | None
    revision: str | None = Field(description="Branch, tag or commit that was asked for.")
    commit: str | None = Field(description="Commit hash on the Hub of the files that were loaded.")
    train_split: str
    test_split: str = Field(description="The name of train_split where a part of that was held out.")
    image_column: str
    label_column: str
    classes: list[str] = Field(description="In the order of the probe's classes.")
    train_images: int = Field(ge=2)
    test_images: int = Field(ge=1)
    train_sha256: str = Field(description="Of the pictures as they are stored, in their order.")
    test_sha256: str


class Difference(Record):
    """A share minus that of ε = 0, on the same pictures."""

    value: float = Field(ge=-1, le=1)
    interval: Interval


class Level(Record):
    """The probe of one ε."""

    epsilon: float = Field(ge=0, lt=1)
    C: float = Field(gt=0, description="Strength that cross-validation chose.")
    cv_score: float = Field(ge=0, le=1, description="Cross-validated accuracy within the ball of this ε.")
    gap: float = Field(ge=0, description="Relative duality gap of the fit: how far it is from the optimum at most.")
    clean: float = Field(ge=0, le=1, description="Accuracy on the test pictures.")
    clean_interval: Interval = Field(description="Wilson's.")
    clean_difference: Difference
    certified: list[float] = Field(
        description="Accuracy that is proved for any change of the representation within the ball of each ε of the "
        "report: a share of the test pictures."
    )
    margin: float = Field(description="Median distance to the boundary, in units of ρ; below 0 where wrong.")
    robust: list[float] | None = Field(description="At each radius, share of the attacked pictures that withstood.")
    robust_interval: list[Interval] | None = Field(description="Wilson's.")
    robust_difference: list[Difference] | None
    median_perturbation: float | None = Field(
        ge=0, description="Of the smallest found, ℓ2, 0 where wrong; None where nothing was found for half or more."
    )


class AttackTold(Record):
    """How pixels were attacked."""

    library: str
    version: str
    names: list[str]
    steps: int = Field(ge=1)
    pictures: int = Field(ge=1)
    radii: list[float] = Field(description="ℓ2, in units of [0, 1] a pixel, at the input size of the encoder.")
    vanishing: list[float] = Field(description="Share of pictures without a gradient to go by, one per ε.")


class ProbeReport(Versioned):
    """What linear probes make of an encoder on a data set: accuracy, and how it stands up to perturbations."""

    called: ClassVar[str] = "probe report"
    written_by: ClassVar[str] = "synbench probe"

    meaning: str = Field(description="What the numbers say, in a plain sentence or two.")
    levels: list[Level] = Field(min_length=1, description="One per ε, rising; the first is ε = 0.")
    recommendation: Recommendation | None = Field(description="What the score, made without data, said before.")
    dataset: DatasetTold
    model: Model
    image_shape: list[int] = Field(description="Channels, height, width.")
    preprocessing: Preprocessing
    precision: Precision
    device: str
    scale: float = Field(gt=0, description="Root mean square of the representations around their mean.")
    separation: float = Field(ge=0, description="ρ, half the distance of class means, in units of that scale.")
    Cs: list[float] = Field(description="Tried by cross-validation.")
    folds: int = Field(ge=2)
    seed: int = Field(ge=0)
    attack: AttackTold | None
    warnings: list[str]
    versions: dict[str, str]
    schema_version: Literal[2] = SCHEMA_VERSION
    seconds: float = Field(ge=0)
    from_cache: int = Field(ge=0, description="Pictures whose representations were kept from before.")

    @property
    def epsilons(self) -> list[float]:
        """The ε of the rows."""
        return [level.epsilon for level in self.levels]

    @model_validator(mode="after")
    def _shapes_agree(self) -> "ProbeReport":
        radii = None if self.attack is None else len(self.attack.radii)
        for level in self.levels:
            if len(level.certified) != len(self.levels):
                raise ValueError(f"certified must have {len(self.levels)} numbers, one per ε")
            for name in ("robust", "robust_interval", "robust_difference"):
                value = getattr(level, name)
                if (None if value is None else len(value)) != radii:
                    raise ValueError(f"{name} must have one number per radius of the attack, and none without one")
        if self.attack is not None and len(self.attack.vanishing) != len(self.levels):
            raise ValueError(f"vanishing must have {len(self.levels)} numbers, one per ε")
        return self


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of what ``ProbeReport.to_dict`` gives."""
    schema = ProbeReport.model_json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
