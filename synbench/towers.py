"""Which class loads a checkpoint, and which part of the loaded model takes an image to features."""

import copy
import importlib
import inspect
from collections.abc import Iterator, Mapping
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


def loading_class(config: Any, *, projected: bool = False) -> Any:
    """Return the class to load a checkpoint with: that of its configuration, but for two kinds of saved models.

    A classifier that was made of a model of images and text is loaded as such: what it does not read of its tower was
    not trained with it, and the base class could not tell. And a tower that was saved with its projection keeps it if
    that is asked for.

    Args:
        config: of the checkpoint.
        projected: whether the vector that is compared with text is asked for.
    """
    kind, saved = model_class(config), saved_class(config)
    written = getattr(saved, "__name__", "")
    classifies = written.endswith("ForImageClassification") and hasattr(kind, "get_image_features")
    return saved if classifies or (projected and written.endswith("VisionModelWithProjection")) else kind


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


def refuse_pretrained_parts(config: Any) -> None:
    """Keep a model from fetching weights for its backbone from elsewhere, as a configuration may ask it to.

    They would be fetched only to be written over; and in an untrained twin they would stay.
    """
    for part in _with_parts(config, set()):
        if getattr(part, "use_pretrained_backbone", None):
            part.use_pretrained_backbone = False


def _with_parts(config: Any, seen: set[int]) -> Iterator[Any]:
    from transformers import PretrainedConfig

    if isinstance(config, PretrainedConfig) and id(config) not in seen:
        seen.add(id(config))
        yield config
        for part in list(vars(config).values()):
            yield from _with_parts(part, seen)


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
    _refuse_queries(name, tower)
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
        if "embeddings" not in path.split("."):
            if isinstance(module, _backbones()):
                return module
            if _gives_maps(module):
                return _timm_backbone(module, whole.config)
    base = whole.base_model
    if base is not whole and "pixel_values" in inspect.signature(base.forward).parameters:
        return base
    return whole


def _gives_maps(module: Any) -> bool:
    """Tell whether a module is one that timm made for its feature maps: detectors hold it without its wrapper."""
    return any(kind.__module__ in ("timm.models._features", "timm.models.features") for kind in type(module).__mro__)


def _timm_backbone(net: Any, config: Any) -> Any:
    """Wrap a module of timm as ``transformers`` does: pixels to a list of maps, by name."""
    import torch

    class TimmBackbone(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net
            self.config = getattr(config, "backbone_config", None)

        def forward(self, pixel_values: Any) -> dict[str, Any]:
            maps = self.net(pixel_values)
            return {"feature_maps": tuple(maps.values() if isinstance(maps, Mapping) else maps)}

    return TimmBackbone().train(net.training)


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


def _refuse_queries(name: str, tower: Any) -> None:
    """Refuse what looks for objects: its last hidden state tells of its queries, not of the image."""
    config = getattr(tower, "config", None)
    if getattr(config, "num_queries", None) or getattr(config, "is_encoder_decoder", False):
        raise EncoderError(
            f"{name!r}: {type(tower).__name__} decodes queries, expected an encoder of images, and no backbone was "
            f"found in it. Wrap its backbone in a function from images (n, C, H, W) to vectors (n, d)."
        )


def _hint(needed: list[str]) -> str:
    for words, hint in (
        (("grid", "shape", "target_sizes", "position_ids"), "it takes patches of any resolution, with their grid"),
        (("prompt",), "it takes prompts"),
        (("aspect_ratio",), "it takes tiles of an image, with their layout"),
    ):
        if any(word in one for word in words for one in needed):
            return f" ({hint})"
    return ""
