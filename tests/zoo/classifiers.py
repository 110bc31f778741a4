"""Classifiers, which most of the Hub's checkpoints are: the vector is what goes into their last layer."""

from dataclasses import replace
from typing import Any

import torch

from .convolutions import CONVOLUTIONS
from .family import Family
from .hierarchies import HIERARCHIES
from .vision_transformers import TRANSFORMERS

# The classes whose last layer sees the same vector as a linear probe of the encoder would.
_KINDS = {
    "vit": "ViTForImageClassification",
    "deit": "DeiTForImageClassification",
    "vit_msn": "ViTMSNForImageClassification",
    "beit": "BeitForImageClassification",
    "ijepa": "IJepaForImageClassification",
    "hiera": "HieraForImageClassification",
    "swin": "SwinForImageClassification",
    "swinv2": "Swinv2ForImageClassification",
    "pvt": "PvtForImageClassification",
    "focalnet": "FocalNetForImageClassification",
    "convnext": "ConvNextForImageClassification",
    "convnextv2": "ConvNextV2ForImageClassification",
    "resnet": "ResNetForImageClassification",
    "regnet": "RegNetForImageClassification",
    "bit": "BitForImageClassification",
    "efficientnet": "EfficientNetForImageClassification",
    "mobilenet_v1": "MobileNetV1ForImageClassification",
    "mobilenet_v2": "MobileNetV2ForImageClassification",
    "mobilevit": "MobileViTForImageClassification",
}
_ENCODERS = {one.type: one for one in (*TRANSFORMERS, *CONVOLUTIONS, *HIERARCHIES)}


def _classifier(type: str, kind: str) -> Family:  # noqa: A002
    encoder = _ENCODERS[type]
    return replace(encoder, kind=kind, config={**encoder.config, "num_labels": 5}, natural=last_input)


def last_input(model: Any, pixels: torch.Tensor) -> torch.Tensor:
    """Catch what goes into the last linear layer of the model."""
    last = [module for module in model.modules() if isinstance(module, torch.nn.Linear)][-1]
    assert last.out_features == 5
    caught: list[torch.Tensor] = []
    handle = last.register_forward_pre_hook(lambda _, inputs: caught.append(inputs[0]))
    try:
        model(pixels)
    finally:
        handle.remove()
    return caught[0]


CLASSIFIERS = [_classifier(type_, kind) for type_, kind in _KINDS.items()]
# DINOv2's own probe puts the mean of the patches beside the class token.
DINOV2 = replace(_classifier("dinov2", "Dinov2ForImageClassification"), d=64)
