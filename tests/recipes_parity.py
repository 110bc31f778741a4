"""The recipe behind ``parity.json``: representations, and what the authors' script makes of them."""

import json
from pathlib import Path

import numpy as np

CASES = json.loads((Path(__file__).parent / "parity.json").read_text())


def representations(case):
    """Yield (values, labels, scale, split) for each scale, train first."""
    rng = np.random.default_rng(case["seed"])
    columns = np.logspace(0, -case["decades"], case["latent_dim"])
    mixing = rng.standard_normal((case["dim"], case["latent_dim"])) * columns
    direction = rng.standard_normal(case["latent_dim"])
    direction /= np.linalg.norm(direction)
    for scale in case["scales"]:
        for split in ("train", "test"):
            labels = rng.integers(0, 2, case["samples"])
            noise = rng.standard_normal((case["samples"], case["latent_dim"]))
            latent = noise + np.where(labels == 1, 1, -1)[:, None] * case["gain"] * scale * direction
            values = latent @ mixing.T
            if case["nonlinear"]:
                values = np.tanh(values)
            yield (values + case["offset"]).astype(np.float32), labels, scale, split
