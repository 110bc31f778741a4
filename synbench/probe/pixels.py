"""The whole model as attacks see it: from pixels to the logits of a probe, differentiable, with seeds of its own."""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from synbench.encoders import Encoder, evaluating
from synbench.random_state import kept

from .head import Head

if TYPE_CHECKING:
    import torch


def whole(encoder: Encoder, head: Head) -> "torch.nn.Module":
    """Return the way from pixels to logits as a module."""
    import torch

    centre, weight, bias = (
        torch.from_numpy(v.astype(np.float32)).to(encoder.device) for v in (head.centre, head.weight, head.bias)
    )

    class Whole(torch.nn.Module):
        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            vectors = (encoder.represent(pixels) - centre) / head.scale
            logits: torch.Tensor = vectors @ weight.T + bias
            return logits

    # foolbox asks for a module in evaluation mode; that of the encoder is set apart, and is not a part of it.
    return Whole().eval()


@contextlib.contextmanager
def differentiable(module: Any) -> Iterator[None]:
    """Let gradients reach the pixels, and no weight; put all back after."""
    import torch

    weights = [p for p in module.parameters() if p.requires_grad]
    with evaluating(module), torch.inference_mode(False), torch.enable_grad():
        for weight in weights:
            weight.requires_grad_(False)
        try:
            yield
        finally:
            for weight in weights:
                weight.requires_grad_()


@contextlib.contextmanager
def seeded(seed: list[int], device: str) -> Iterator[None]:
    """Draw from a seed in the block, on the device too; put the random state back after."""
    import torch

    number = int(np.random.SeedSequence(seed).generate_state(1)[0])
    with kept(number):
        if device.startswith("cuda"):
            torch.cuda.manual_seed(number)
        yield
