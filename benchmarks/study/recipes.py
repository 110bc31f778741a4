"""The encoders of the zoos: one recipe each."""

import zlib
from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """One encoder of the zoo: what it is, and what it is trained for."""

    family: str
    width: int
    pretext: str
    epochs: int
    noise: float = 0.0
    most: int | None = None

    @property
    def name(self) -> str:
        """Return the name of its folder."""
        return f"{self.family}-{self.width}-{self.pretext}" + (f"-{self.epochs}" if self.epochs else "")

    @property
    def seed(self) -> int:
        """Return its own seed, which the order of the list does not change."""
        return zlib.crc32(self.name.encode())


FIRST = (
    Recipe("resnet", 128, "supervised", 10),
    Recipe("resnet", 128, "untrained", 0),
    Recipe("vit", 64, "rotation", 4),
    Recipe("convnext", 128, "noisy", 6, noise=0.1),
    Recipe("poolformer", 128, "contrastive", 4),
    Recipe("regnet", 64, "masked", 8, noise=0.1),
    Recipe("dinov2", 96, "shuffled", 20, most=5000),
    Recipe("swin", 64, "supervised", 6),
    Recipe("vit", 96, "untrained", 0),
    Recipe("resnet", 256, "contrastive", 4),
    Recipe("convnext", 256, "masked", 3, noise=0.1),
    Recipe("dinov2", 192, "supervised", 2),
    Recipe("poolformer", 256, "rotation", 5),
    Recipe("swin", 96, "noisy", 3, noise=0.2),
    Recipe("regnet", 128, "supervised", 5),
    Recipe("vit", 64, "contrastive", 2),
    Recipe("resnet", 64, "shuffled", 30, most=5000),
    Recipe("convnext", 384, "supervised", 2),
    Recipe("poolformer", 128, "grey", 6),
    Recipe("convnext", 128, "untrained", 0),
    Recipe("resnet", 384, "masked", 4, noise=0.1),
    Recipe("regnet", 256, "rotation", 3),
    Recipe("dinov2", 96, "contrastive", 3),
    Recipe("swin", 128, "masked", 2, noise=0.1),
    Recipe("resnet", 128, "noisy", 8, noise=0.25),
    Recipe("vit", 96, "supervised", 4),
    Recipe("poolformer", 320, "supervised", 1),
    Recipe("convnext", 64, "shuffled", 20, most=5000),
    Recipe("dinov2", 192, "untrained", 0),
    Recipe("regnet", 128, "grey", 4),
    Recipe("swin", 64, "rotation", 4),
    Recipe("resnet", 256, "supervised", 1),
)
"""Ordered so that every first part has many families, tasks and widths; so is the second list."""

SECOND = (
    Recipe("resnet", 256, "noisy", 4, noise=0.15),
    Recipe("vit", 96, "masked", 3, noise=0.1),
    Recipe("convnext", 128, "contrastive", 3),
    Recipe("poolformer", 128, "supervised", 8),
    Recipe("regnet", 64, "shuffled", 20, most=5000),
    Recipe("dinov2", 96, "supervised", 4),
    Recipe("swin", 96, "untrained", 0),
    Recipe("resnet", 64, "rotation", 8),
    Recipe("vit", 64, "supervised", 3),
    Recipe("convnext", 256, "supervised", 3),
    Recipe("poolformer", 256, "masked", 3, noise=0.1),
    Recipe("regnet", 128, "contrastive", 3),
    Recipe("dinov2", 192, "rotation", 2),
    Recipe("swin", 128, "supervised", 3),
    Recipe("regnet", 64, "untrained", 0),
    Recipe("resnet", 384, "supervised", 3),
    Recipe("vit", 96, "shuffled", 16, most=5000),
    Recipe("convnext", 64, "noisy", 8, noise=0.2),
    Recipe("poolformer", 128, "untrained", 0),
    Recipe("regnet", 256, "supervised", 3),
    Recipe("dinov2", 96, "grey", 4),
    Recipe("swin", 64, "contrastive", 3),
    Recipe("resnet", 128, "masked", 8, noise=0.1),
    Recipe("vit", 64, "untrained", 0),
    Recipe("convnext", 128, "grey", 6),
    Recipe("poolformer", 320, "contrastive", 1),
    Recipe("regnet", 128, "noisy", 5, noise=0.1),
    Recipe("dinov2", 96, "untrained", 0),
    Recipe("swin", 64, "shuffled", 16, most=5000),
    Recipe("resnet", 256, "grey", 3),
    Recipe("vit", 96, "contrastive", 2),
    Recipe("convnext", 384, "rotation", 1),
)
"""The same families, other widths, tasks and lengths: to test on what the first list suggested."""

SHALLOW = tuple(Recipe("shallow", width, "untrained", 0) for width in (64, 128, 256, 384))
"""One random layer each, to see what little it takes: for a look, in neither of the lists that are tested."""

LISTS: dict[str, tuple[Recipe, ...]] = {"first": FIRST, "second": SECOND, "shallow": SHALLOW}

ALL = (*FIRST, *SECOND, *SHALLOW)
