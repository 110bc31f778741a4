"""What the encoders of the zoo are trained for: head, batches and loss of each pretext task.

Pictures come as bytes (n, 3, 32, 32), and go to the encoders normalised. Randomness is that of torch's generator.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from real_encoders import MEAN, SIDE, SMOOTHING, STD, augmented, normalized
from torch import Tensor, nn
from torch.nn import functional

TEMPERATURE, PROJECTED, BLOCK = 0.2, 64, 8


def classifier(width: int, classes: int) -> nn.Module:
    """Return a linear head."""
    return nn.Linear(width, classes)


def turns(width: int, _: int) -> nn.Module:
    """Return a linear head for the four quarter turns."""
    return nn.Linear(width, 4)


def projector(width: int, _: int) -> nn.Module:
    """Return the head of SimCLR, on whose output pictures are compared."""
    return nn.Sequential(nn.Linear(width, 128), nn.ReLU(), nn.Linear(128, PROJECTED))


def painter(width: int, _: int) -> nn.Module:
    """Return a head that draws the picture from its representation."""
    return nn.Sequential(nn.Linear(width, 512), nn.GELU(), nn.Linear(512, 3 * SIDE * SIDE))


def greyed(images: Tensor) -> Tensor:
    """Return bytes or numbers (n, 3, h, w) with each pixel's luminance (ITU-R BT.601) in all three channels."""
    weights = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    grey = (images.float() * weights).sum(dim=1, keepdim=True).expand(-1, 3, -1, -1)
    return grey.round().to(images.dtype) if images.dtype == torch.uint8 else grey


def turned(images: Tensor, quarters: Tensor) -> Tensor:
    """Return each image turned by its number of quarter turns."""
    found = images.clone()
    for times in range(1, 4):
        which = quarters == times
        found[which] = torch.rot90(images[which], times, dims=(2, 3))
    return found


def view(images: Tensor) -> Tensor:
    """Return a random crop of each image at full size, mirrored and with its colours changed, as encoders take it."""
    count = len(images)
    side = torch.empty(count).uniform_(0.3, 1.0).sqrt()
    mirror = torch.where(torch.rand(count) < 0.5, -1.0, 1.0)
    away = (torch.rand(count, 2) * 2 - 1) * (1 - side[:, None])
    grid = torch.zeros(count, 2, 3)
    grid[:, 0, 0], grid[:, 1, 1], grid[:, :, 2] = side * mirror, side, away
    where = functional.affine_grid(grid, [count, 3, SIDE, SIDE], align_corners=False)
    found = functional.grid_sample(images.float() / 255, where, padding_mode="reflection", align_corners=False)
    brightness, contrast, saturation = torch.empty(3, count, 1, 1, 1).uniform_(0.6, 1.4)
    found = found * brightness
    found = found.mean(dim=(1, 2, 3), keepdim=True).lerp(found, contrast)
    grey = greyed(found)
    found = grey.lerp(found, torch.where(torch.rand(count, 1, 1, 1) < 0.2, torch.zeros(()), saturation))
    return (found.clamp(0, 1) - MEAN) / STD


def _supervised(images: Tensor, labels: Tensor, noise: float) -> tuple[Tensor, Tensor]:
    found = normalized(augmented(images))
    # Noise is told in units of a pixel's range, before mean and std.
    return found + torch.randn_like(found) * (noise / STD) if noise else found, labels


def _greyed(images: Tensor, labels: Tensor, noise: float) -> tuple[Tensor, Tensor]:
    return _supervised(greyed(images), labels, noise)


def _as_they_are(images: Tensor, labels: Tensor, _: float) -> tuple[Tensor, Tensor]:
    return normalized(images), labels


def _rotation(images: Tensor, _: Tensor, noise: float) -> tuple[Tensor, Tensor]:
    quarters = torch.randint(0, 4, (len(images),))
    return _supervised(turned(images, quarters), quarters, noise)


def _contrastive(images: Tensor, _: Tensor, __: float) -> tuple[Tensor, Tensor]:
    first = torch.arange(len(images))
    return torch.cat([view(images), view(images)]), torch.cat([first + len(images), first])


def _masked(images: Tensor, _: Tensor, noise: float) -> tuple[Tensor, Tensor]:
    whole = normalized(augmented(images))
    kept = (torch.rand(len(images), 1, SIDE // BLOCK, SIDE // BLOCK) < 0.5).float()
    seen = (whole + torch.randn_like(whole) * (noise / STD)) * functional.interpolate(kept, scale_factor=BLOCK)
    return seen, whole.flatten(1)


def _class_loss(found: Tensor, labels: Tensor) -> Tensor:
    return functional.cross_entropy(found, labels, label_smoothing=SMOOTHING)


def _pair_loss(found: Tensor, partners: Tensor) -> Tensor:
    unit = functional.normalize(found, dim=1)
    likeness = (unit @ unit.T / TEMPERATURE).fill_diagonal_(-torch.inf)
    return functional.cross_entropy(likeness, partners)


def _test_turned(images: Tensor, _: Tensor) -> tuple[Tensor, Tensor]:
    quarters = torch.arange(len(images)) % 4
    return turned(images, quarters), quarters


@dataclass(frozen=True)
class Pretext:
    """A task: its head, from (width, classes); its batches, from bytes, labels and noise; its loss; its accuracy.

    Attributes:
        asked: what the accuracy is taken on, from bytes and labels; ``None`` for a task without one.
        of: in words; ``train`` in it means that the training pictures are asked.
    """

    head: Callable[[int, int], nn.Module]
    batch: Callable[[Tensor, Tensor, float], tuple[Tensor, Tensor]]
    loss: Callable[[Tensor, Tensor], Tensor]
    asked: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None = None
    of: str | None = None


PRETEXTS = {
    "supervised": Pretext(classifier, _supervised, _class_loss, lambda x, y: (x, y), "classes of test pictures"),
    "noisy": Pretext(classifier, _supervised, _class_loss, lambda x, y: (x, y), "classes of test pictures"),
    "grey": Pretext(classifier, _greyed, _class_loss, lambda x, y: (greyed(x), y), "classes of grey test pictures"),
    "shuffled": Pretext(
        classifier, _as_they_are, functional.cross_entropy, lambda x, y: (x, y), "random classes of train pictures"
    ),
    "rotation": Pretext(turns, _rotation, _class_loss, _test_turned, "quarter turns of test pictures"),
    "contrastive": Pretext(projector, _contrastive, _pair_loss),
    "masked": Pretext(painter, _masked, functional.mse_loss),
}
