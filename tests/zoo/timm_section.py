"""The part of docs/encoders.md about timm, from a table that ``make families-table`` measures."""

import json
from pathlib import Path

TABLE = Path(__file__).with_name("timm_families.json")

_INTRODUCTION = """\
Models of `timm` need that package: `pip install timm` or `pip install 'synbench[timm]'`. A repository or folder in its
own format (`config.json` with an `architecture` and no `model_type`, weights in `model.safetensors`) is loaded by it,
and a module made by `timm.create_model` is recognised. The representation is the vector before the classifier, as timm
gives it for `num_classes=0`, whatever the family; size, mean and std are those of its own configuration, at the size it
was trained at (`input_size`; a larger `test_input_size` is for `image_size=`). Every weight has to fit.

Checked, one by one, against timm's own `num_classes=0`: the {count} families of timm {version}, each by its smallest
model. `pooling` is timm's name for what precedes the vector, where it has one; some heads add a layer to it."""


def timm_section() -> str:
    """Return the section, in Markdown, its heading left to the document."""
    table = json.loads(TABLE.read_text())
    rows = table["families"]
    lines = [_INTRODUCTION.format(count=len(rows), version=table["timm"]), ""]
    lines += ["| family | model | pooling | size | dimension |", "|---|---|---|---|---|"]
    for row in rows:
        height, width = row["size"]
        size = f"{height}" if height == width else f"{height}×{width}"
        pooling = f"`{row['pooling']}`" if row["pooling"] else "–"
        lines.append(f"| {row['family']} | `{row['variant']}` | {pooling} | {size} | {row['dimension']} |")
    return "\n".join(lines) + "\n"
