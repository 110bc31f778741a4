"""The page docs/encoders.md: what the library makes of each family, as it says itself."""

import importlib
import importlib.util
from collections.abc import Callable, Iterable
from pathlib import Path

import transformers

from synbench import load_encoder

from . import GROUPS
from .family import Family
from .refused import REFUSALS

_INTRODUCTION = """# Which encoders, and which vector of each

A score is about one vector an image. Which one SynBench takes is told here for each kind of model, and in each
result under `settings` → `model` → `pooling` and `pooling_reason`.

## The rule

1. Of a model of images and text, of a detector and the like, the part that sees images: its image tower, or its
   backbone.
2. That part's own pooled vector, as it is, before any projection into a space shared with text.
3. But not a pooler that is a dense layer with tanh on the class token: it was made for another task, checkpoints often
   lack its weights, and no linear probe uses it.
4. Where there is none: the class token of the last layer if the model has one, else the mean of its tokens, or of its
   map over space. A model that is configured to average its patches is averaged over them.
5. Never a vector that depends on weights that the checkpoint lacks: it would be random.
6. Images enter as the model's own image processor would scale them, at its own size. If the model does not take that
   size, at the size of its configuration.

## Another choice

`pooling=` asks for another vector; a model that cannot give it says which ones it can.

| `pooling=` | the vector |
|---|---|
| `None` | by the rule |
| `"cls"` | the class token of the last layer |
| `"mean"` | the mean of the patch tokens, or of the map |
| `"cls+mean"` | both, one after the other |
| `"pooler"` | the model's own pooled output, whatever layer makes it |
| `"projected"` | the vector that is compared with that of a text, of a model that has one for texts too |

**CLIP and its relatives** have two vectors: the pooled one of the image tower, and its projection, which is compared
with text. The rule takes the first, as linear probes do and as timm does for the same weights; `"projected"` gives the
second, also of an image tower that was saved with its projection (`CLIPVisionModelWithProjection`). They differ in
dimension and in score, so say which one you report. The projection of a vision-language model leads into its language
model, and is compared with nothing: it cannot be asked for.

**DINOv2** is taken by its class token. Its authors' probe puts the mean of the patches beside it: `"cls+mean"`.

**Masked autoencoders** (ViT-MAE) hide most of each image while they are trained. Here they see all of it, in order.

**Detectors and segmenters** find objects with queries, which are no vector of an image. They are taken by the mean of
the last map of their backbone, also where that is one of timm; where no backbone can be found, they are refused.
**Vision-language models** are taken by their image tower alone, without the projection into the language model. To get
at that tower the whole model is read, in float32: four bytes of main memory a parameter while it is loaded, such as
28 GB for 7 billion, of which the tower alone stays. Where that is too much, load the model in its own precision
yourself, and pass its image tower, cast to float32, as a module.

**Images of any size:** where the file of a processor leaves a range of sizes, the size of the configuration is taken if
it lies in the range; where it cuts a large canvas into tiles, the size of a tile.

**Classifiers** give the vector that goes into their last layer, not logits, wherever that layer sees what the rule
takes. Some keep a norm, or a second pooling, between the two; DINOv2's is above. Classifiers made of CLIP or SigLIP
average the patches and never read the tower's own pooler: what they do not read was not trained with them, and may be
random, so it is passed over, whether the classifier comes from a folder or was loaded by the caller. `"mean"` gives
what their last layer sees.
"""

_TABLES = """
## Families

Each was built small with random weights, saved, loaded by SynBench, and its vectors were found equal to those of a
function written by hand for that family: alone and in a batch, and after a second load. "Size from" is where the size
of the images comes from. Made with transformers {version} and without torchvision, which some processors need: of
these, and of those that take more than an image, the file is read in place of asking them.
"""

_REFUSED = """
## Refused

These are refused when they are loaded, with the reason. A function from images (n, C, H, W) to vectors (n, d) that you
write around such a model can be scored.

| model type | why |
|---|---|
"""

_UNTRIED = """
`dinat` and `edgetam_vision_model` need packages of their own and `timm_backbone` is saved by timm: they are not tried
here. A model type in no table is loaded by the same rule, or refused; look at `pooling` in its result.
"""

_SOURCES = {"image processor": "processor", "preprocessor_config.json": "processor's file"}


def document(folder: Callable[[Family], Path]) -> str:
    """Return the page.

    Args:
        folder: builds the checkpoint of a family, and says where.
    """
    parts = [_INTRODUCTION, _TABLES.format(version=".".join(transformers.__version__.split(".")[:2]))]
    for title, families in GROUPS.items():
        parts.append(f"\n### {title}\n\n{_table(families, folder)}")
    parts.append(_REFUSED + "".join(f"| `{one}` | {one.why} |\n" for one in REFUSALS))
    parts.append(_UNTRIED)
    if importlib.util.find_spec(f"{__package__}.timm_section"):
        section = importlib.import_module(f"{__package__}.timm_section").timm_section()
        parts.append("\n## timm\n\n" + section.strip() + "\n")
    return "".join(parts)


def _table(families: Iterable[Family], folder: Callable[[Family], Path]) -> str:
    lines = ["| model type | scored part | vector | why | size from | special |", "|---|---|---|---|---|---|"]
    for family in families:
        encoder = load_encoder(folder(family), **family.arguments)
        record = encoder.record
        asked = "`image_size=`" if "image_size" in family.arguments else ""
        source = asked or _SOURCES.get(encoder.contract.source, encoder.contract.source)
        cells = (f"`{family.type}`", record.architecture, record.pooling, record.pooling_reason, source, family.note)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
