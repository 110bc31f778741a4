"""Every family of timm, a family being a module of its source, by the smallest model of each, with random weights.

The table is kept in ``tests/zoo/timm_families.json``, since the documents are made where there may be no timm;
``python -m tests.timm_models.families`` measures it anew (``make families-table``).
"""

import json
import os
import sys
from typing import Any

import timm
import torch

from synbench import timm_models
from tests.zoo.timm_section import TABLE

from . import small


def stored() -> dict[str, Any]:
    """Return the table: the release of timm, and a row a family."""
    table: dict[str, Any] = json.loads(TABLE.read_text())
    return table


def measure(family: str, variant: str) -> dict[str, Any]:
    """Return the row of a family, by embedding one image at its own size."""
    model = timm.create_model(variant).eval()
    contract = timm_models.contract(model, None, None, None)
    with torch.inference_mode():
        vectors = timm_models.forward(model)(contract.normalize(small.images(contract.shape, 1)))
    (one, dimension) = vectors.shape
    assert one == 1
    return {
        "family": family,
        "variant": variant,
        "pooling": pooling(model),
        "size": list(contract.shape[1:]),
        "dimension": dimension,
    }


def pooling(model: Any) -> str | None:
    """Return what timm calls the pooling of a model, if it has a name: that of its head, else its own."""
    for owner in (getattr(model, "head", None), model):
        named = getattr(owner, "global_pool", None) or getattr(owner, "pool_type", None)
        named = getattr(named, "pool_type", named)
        if isinstance(named, str):
            return named
    return None


def settle(model: Any, pixels: torch.Tensor) -> None:
    """Give every batch norm the statistics of these images, as training would have.

    As they are drawn, some deep networks let all that tells images apart fade.
    """
    norms = [part for part in model.modules() if isinstance(part, torch.nn.modules.batchnorm._BatchNorm)]
    model.eval()
    for norm in norms:
        norm.momentum = 1.0
        norm.train()
    if norms:
        with torch.no_grad():
            model(pixels)
    model.train()


if __name__ == "__main__":
    rows = []
    for row in stored()["families"]:
        rows.append(measure(row["family"], row["variant"]))
        sys.stderr.write(f"{rows[-1]}\n")
    lines = ",\n".join(f"    {json.dumps(row)}" for row in rows)
    # Whole or not at all.
    made = TABLE.with_suffix(".new")
    made.write_text(f'{{\n  "timm": "{timm.__version__}",\n  "families": [\n{lines}\n  ]\n}}\n')
    os.replace(made, TABLE)  # noqa: PTH105
