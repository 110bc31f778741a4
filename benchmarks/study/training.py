"""From a recipe and pictures to a trained encoder."""

from collections.abc import Sequence
from typing import Any

import torch
from real_encoders import WARM_UP, WEIGHT_DECAY, normalized
from torch import Tensor, nn

from synbench.errors import ArgumentError, EncoderError
from synbench.pooling import choose

from .architectures import FAMILIES
from .pretexts import PRETEXTS
from .recipes import Recipe

BATCH = 128


def of_classes(images: Tensor, labels: Tensor, classes: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Return the pictures of some classes alone, each class numbered by its place among them.

    Raises:
        ArgumentError: one of the classes has no picture, or stands there twice.
    """
    there = set(labels.tolist())
    if len(set(classes)) < max(2, len(classes)) or not set(classes) <= there:
        raise ArgumentError(
            f"expected two or more different classes out of {sorted(there)}, got {list(classes)}. "
            f"Name classes that the data have."
        )
    place = {found: at for at, found in enumerate(classes)}
    kept = torch.isin(labels, torch.tensor(classes))
    return images[kept], torch.tensor([place[found] for found in labels[kept].tolist()])


def chosen(recipe: Recipe, images: Tensor, labels: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Return the pictures that a recipe trains on, and the labels it is given for them."""
    if recipe.pretext == "untrained":
        return images[:0], labels[:0]
    images, labels = images[: recipe.most], labels[: recipe.most]
    if recipe.pretext == "shuffled":
        drawn = torch.Generator().manual_seed(recipe.seed)
        labels = torch.randint(0, classes, labels.shape, generator=drawn)
    return images, labels


def train(
    recipe: Recipe, images: Tensor, labels: Tensor, classes: int, epochs: int
) -> tuple[Any, nn.Module | None, float | None]:
    """Train an encoder with the head of its task.

    Args:
        recipe: of the encoder.
        images: bytes (n, 3, 32, 32), of the classes to train on alone.
        labels: 0 to classes − 1.
        classes: how many there are.
        epochs: how often every picture is seen; 0 leaves the encoder as it was made.

    Returns:
        the encoder, its head, and the mean loss of the last tenth of the steps; an untrained one has neither.

    Raises:
        EncoderError: the loss is not finite in the end.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        family = FAMILIES[recipe.family]
        model = family.make(recipe.width).to(memory_format=torch.channels_last).eval()
        if recipe.pretext == "untrained":
            return model, None, None
        task = PRETEXTS[recipe.pretext]
        with torch.inference_mode():
            output = model(pixel_values=normalized(images[:2]))
            pooling = choose(model, output)
            width = pooling(output).shape[1]
        head = task.head(width, classes)
        every = [*model.parameters(), *head.parameters()]
        groups = [
            {"params": [p for p in every if p.ndim > 1], "weight_decay": WEIGHT_DECAY},
            {"params": [p for p in every if p.ndim < 2], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=family.rate)
        a_pass = max(1, len(images) // BATCH)
        steps = max(2, epochs * a_pass)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, max_lr=family.rate, total_steps=steps, pct_start=WARM_UP, cycle_momentum=False
        )
        losses = []
        order = torch.empty(0, dtype=torch.long)
        model.train()
        for step in range(steps):
            if step % a_pass == 0:
                order = torch.randperm(len(images))
            rows = order[step % a_pass * BATCH :][:BATCH]
            batch, targets = task.batch(images[rows], labels[rows], recipe.noise)
            with torch.autocast("cpu", torch.bfloat16):
                vectors = pooling(model(pixel_values=batch.contiguous(memory_format=torch.channels_last)))
            loss = task.loss(head(vectors.float()), targets)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(every, 1.0)
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        last = losses[-max(1, steps // 10) :]
        final = sum(last) / len(last)
    if not final < float("inf"):
        raise EncoderError(
            f"{recipe.name}: expected a finite loss, got {final}. Take a lower rate for {recipe.family}."
        )
    return model.eval(), head.eval(), final
