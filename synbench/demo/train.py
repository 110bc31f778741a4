"""Train the demo encoder: a small vision transformer on scikit-learn's digits, in about a minute on two cores.

    python -m synbench.demo.train FOLDER

The folder gets ``config.json``, ``model.safetensors`` and ``preprocessor_config.json``, and is then loaded
by exactly the code that loads a Hub model. Needs scikit-learn (``pip install synbench[dev]``).
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional
from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

SIDE, EPOCHS, BATCH, SEED = 16, 60, 128, 0


def digits() -> tuple[torch.Tensor, torch.Tensor]:
    """Return scikit-learn's 1,797 digits as (n, 3, 16, 16) images in [0, 1], and their labels."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    gray = torch.tensor(images / 16.0, dtype=torch.float32).view(-1, 1, 8, 8)
    enlarged = functional.interpolate(gray, size=(SIDE, SIDE), mode="bilinear", align_corners=False)
    return enlarged.expand(-1, 3, -1, -1).contiguous(), torch.tensor(labels)


def configuration() -> ViTConfig:
    """Return the architecture: 4 blocks of width 64 on 16 patches; 0.2 million parameters."""
    return ViTConfig(
        image_size=SIDE,
        patch_size=4,
        hidden_size=64,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=256,
        num_labels=10,
        hidden_dropout_prob=0.1,
    )


def train(epochs: int = EPOCHS) -> tuple[ViTForImageClassification, float]:
    """Train on 1,437 digits with small shifts; return the model and its accuracy on the other 360."""
    torch.manual_seed(SEED)
    images, labels = digits()
    order = torch.from_numpy(np.random.default_rng(SEED).permutation(len(images)))
    held_out, used = order[:360], order[360:]
    model = ViTForImageClassification(configuration())
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05)
    steps = epochs * (len(used) // BATCH + 1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=2e-3, total_steps=steps)
    model.train()
    for epoch in range(epochs):
        for rows in used[torch.randperm(len(used))].split(BATCH):
            dx, dy = torch.randint(-1, 2, (2,)).tolist()
            batch = torch.roll(images[rows], (dx, dy), dims=(2, 3)) * 2 - 1
            loss = functional.cross_entropy(model(pixel_values=batch).logits, labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        print(f"epoch {epoch + 1}/{epochs} loss {loss.item():.3f}", file=sys.stderr)
    model.eval()
    with torch.inference_mode():
        guesses = model(pixel_values=images[held_out] * 2 - 1).logits.argmax(dim=1)
    return model, float((guesses == labels[held_out]).float().mean())


def save(model: ViTForImageClassification, folder: Path) -> None:
    """Write the model and its image processor, in the format of the Hub."""
    model.save_pretrained(folder)
    size = {"height": SIDE, "width": SIDE}
    ViTImageProcessor(size=size, image_mean=[0.5] * 3, image_std=[0.5] * 3).save_pretrained(folder)


def main() -> None:
    """Train, save, and print the accuracy on held-out digits."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    model, accuracy = train()
    save(model, folder)
    print(f"accuracy on 360 held-out digits: {accuracy:.3f}")


if __name__ == "__main__":
    main()
