"""Which class loads a checkpoint, and which part of the loaded model takes an image to features."""

import copy
import importlib
import inspect
from collections.abc import Mapping
from typing import Any

from . import families
from .errors import EncoderError


def model_class(config: Any) -> Any:
    """Return the class of ``transformers`` that loads a configuration, or ``None`` if there is none.

    That is the one that ``AutoModel`` takes, or else ``AutoBackbone``; else the one that the checkpoint was saved
    with, or that is made for this configuration, from the model's own module.
    """
    from transformers import AutoBackbone, AutoModel

    for auto in (AutoModel, AutoBackbone):
        found = auto._model_mapping.get(type(config), None)  # noqa: SLF001
        if found is not None:
            return found[0] if isinstance(found, tuple) else found
    saved = saved_class(config)
    if saved is not None:
        return saved
    made_for = [
        one
        for name, one in getattr(_own_module(config), "__dict__", {}).items()
        if not name.startswith("_") and getattr(one, "config_class", None) is type(config) and takes_pixels(one)
    ]
    # Of several, the plainest: without a head for a task.
    return min(made_for, key=lambda one: ("For" in one.__name__, len(one.__name__)), default=None)


def saved_class(config: Any) -> Any:
    """Return the class that a checkpoint was saved with, from the model's own module; ``None`` if it is not there."""
    names = getattr(config, "architectures", None) or ()
    return next((found for name in names if (found := getattr(_own_module(config), name, None)) is not None), None)


def _own_module(config: Any) -> Any:
    """Return the module that defines the classes of a configuration of ``transformers``; ``None`` of another."""
    own = type(config).__module__
    if not own.startswith("transformers.models.") or ".configuration_" not in own:
        return None
    return importlib.import_module(own.replace(".configuration_", ".modeling_"))


def takes_pixels(kind: Any) -> bool:
    """Tell whether a model class may take images: by its signature, or by having features of images."""
    if hasattr(kind, "get_image_features") or getattr(kind, "main_input_name", None) in (None, "pixel_values"):
        return True
    return "pixel_values" in inspect.signature(kind.forward).parameters


def refuse_by_configuration(name: str, config: Any) -> None:
    """Refuse a model that the table of families knows to give no vector of an image.

    Raises:
        EncoderError: with the reason.
    """
    refusal = families.of(config).refusal
    if refusal is not None:
        raise EncoderError(f"{name!r} {refusal}.")


def refuse_without_pixels(name: str, kind: Any) -> None:
    """Refuse a model class that takes no pixels, before its weights are fetched.

    Raises:
        EncoderError: it takes something else, such as text.
    """
    if not takes_pixels(kind):
        raise EncoderError(
            f"{name!r} is not a vision encoder: {kind.__name__} takes {kind.main_input_name!r}, expected "
            f"'pixel_values'. Choose a model that takes images."
        )


def refuse_by_structure(name: str, kind: Any, config: Any) -> None:
    """Refuse a model of images and text no part of which does with images, before its weights are fetched.

    Args:
        name: the model, for messages.
        kind: its class.
        config: its configuration.

    Raises:
        EncoderError: as ``tower_of``.
    """
    import torch

    if not hasattr(kind, "get_image_features"):
        return
    try:
        with torch.device("meta"), torch.random.fork_rng(devices=[]):
            skeleton = kind._from_config(copy.deepcopy(config))  # noqa: SLF001
    except Exception:  # noqa: BLE001
        return  # not every model can be built without values; this one is looked at once it is loaded
    tower_of(name, skeleton)


def tower_of(name: str, whole: Any) -> Any:
    """Return the part of a ``transformers`` model that takes images to features: itself, if it is a plain encoder.

    Args:
        name: the model, for messages.
        whole: a dual encoder, a detector, a classifier, a multimodal model, or an encoder.

    Raises:
        EncoderError: no part does with images alone.
    """
    refuse_without_pixels(name, type(whole))
    refuse_by_configuration(name, whole.config)
    tower = _found(whole)
    if tower is None:
        raise EncoderError(f"{name!r} was saved without its vision part. Choose a checkpoint that has one.")
    config = getattr(tower, "config", None)
    if config is not None:
        refuse_by_configuration(name, config)
    _refuse_more_than_pixels(name, tower)
    return tower


def _backbones() -> Any:
    """Return the class that all backbones share, from where this release of ``transformers`` has it."""
    try:
        from transformers.backbone_utils import BackboneMixin
    except ImportError:
        from transformers.utils.backbone_utils import BackboneMixin
    return BackboneMixin


def _found(whole: Any) -> Any:
    part = families.of(whole.config).part
    for one in (whole, whole.base_model):
        if part is not None and hasattr(one, part):
            return _found(getattr(one, part))
    image = whole.get_encoder(modality="image")
    if image is not whole:
        return image
    if isinstance(whole, _backbones()):
        return whole
    for path, module in whole.named_modules():
        # A hybrid embeds its patches with a backbone: that is its first layer, not its encoder.
        if isinstance(module, _backbones()) and "embeddings" not in path.split("."):
            return module
    base = whole.base_model
    if base is not whole and "pixel_values" in inspect.signature(base.forward).parameters:
        return base
    return whole


def input_name(tower: Any) -> str:
    """Return what a vision part calls the images that it takes: ``pixel_values``, or its only input."""
    parameters = inspect.signature(tower.forward).parameters
    needed = _needed(parameters)
    return needed[0] if "pixel_values" not in parameters and len(needed) == 1 else "pixel_values"


def _needed(parameters: Mapping[str, inspect.Parameter]) -> list[str]:
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [p.name for p in parameters.values() if p.default is p.empty and p.kind in kinds]


def _refuse_more_than_pixels(name: str, tower: Any) -> None:
    parameters = inspect.signature(tower.forward).parameters
    kind = type(tower).__name__
    needed = [one for one in _needed(parameters) if one != "pixel_values"]
    wrap = "Wrap it in a function from images (n, C, H, W) to vectors (n, d)."
    if "pixel_values" not in parameters and len(needed) == 1:
        return
    if "pixel_values" not in parameters and needed:
        takes = ", ".join(map(repr, needed))
        raise EncoderError(f"{name!r}: {kind} takes {takes}, expected 'pixel_values'{_hint(needed)}. {wrap}")
    if "input_ids" in parameters:
        raise EncoderError(
            f"{name!r} needs text beside an image: {kind} takes both, and no vision part of it stands alone. "
            f"Choose an image encoder, or wrap it with a fixed text in a function from images to vectors (n, d)."
        )
    # A family with a call of its own is given what it needs.
    if needed and families.of(getattr(tower, "config", None)).call is None:
        raise EncoderError(f"{name!r}: {kind} needs {', '.join(needed)} beside the pixels{_hint(needed)}. {wrap}")


def _hint(needed: list[str]) -> str:
    for words, hint in (
        (("grid", "shape", "target_sizes", "position_ids"), "it takes patches of any resolution, with their grid"),
        (("prompt",), "it takes prompts"),
        (("aspect_ratio",), "it takes tiles of an image, with their layout"),
    ):
        if any(word in one for word in words for one in needed):
            return f" ({hint})"
    return ""
