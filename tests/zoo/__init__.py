"""Tiny checkpoints of every kind of vision model in ``transformers``, each with its vector written by hand."""

from .backbones import BACKBONES
from .convolutions import CONVOLUTIONS
from .dense import DENSE
from .detectors import DETECTORS
from .duals import DUALS
from .family import Family
from .hierarchies import HIERARCHIES
from .multimodal import MULTIMODAL
from .towers import TOWERS
from .vision_transformers import TRANSFORMERS

GROUPS: dict[str, list[Family]] = {
    "Vision transformers": TRANSFORMERS,
    "Convolutional networks": CONVOLUTIONS,
    "Encoders in stages": HIERARCHIES,
    "Encoders of detectors and segmenters": BACKBONES,
    "Image and text": DUALS,
    "Detectors": DETECTORS,
    "Segmentation, depth, pose": DENSE,
    "Image towers of larger models": TOWERS,
    "Vision-language models": MULTIMODAL,
}
FAMILIES: dict[str, Family] = {one.type: one for group in GROUPS.values() for one in group}
