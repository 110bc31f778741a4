"""Models of ``timm``: loading its own checkpoint format, and the vector before the classifier.

``timm`` (an optional package) tells the size, mean and std that a model wants, and computes the vector before the
classifier by itself (``forward_head`` with ``pre_logits``): by hand it would be another rule for every family, since
``forward_features`` gives maps with channels first or last, tokens with or without a class token, or a list.
"""

import contextlib
import importlib.util
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import EncoderError
from .mixture import check_image_shape
from .preprocessing import InputContract, from_arguments
from .random_state import kept

if TYPE_CHECKING:
    import torch

POOLING = "forward_head: pre_logits"
"""Which output becomes the representation, for the record."""

REASON = "the vector before the classifier, as timm gives it for num_classes=0"
"""Why that one, for the record."""

_WEIGHTS = "model.safetensors"
_WRAPPER = "timm_model."


def recognises(config: dict[str, Any]) -> bool:
    """Tell whether a raw ``config.json`` is of timm's own format: an architecture, and no ``model_type``.

    Args:
        config: what the file holds. A checkpoint that ``transformers`` wrote around a timm model has a ``model_type``.

    >>> recognises({"architecture": "resnet18", "num_classes": 10}), recognises({"model_type": "vit"})
    (True, False)
    """
    return "model_type" not in config and isinstance(config.get("architecture"), str)


def load(folder: Path, *, untrained: bool, seed: int) -> "torch.nn.Module":
    """Load a checkpoint of timm's format: float32, on the CPU, in evaluation mode, its classifier still on.

    Every weight of the model has to be in the file, and every weight of the file in the model; the global random
    state stays as it is. Pickles are never read.

    Args:
        folder: holds ``config.json``, and ``model.safetensors`` unless ``untrained``.
        untrained: take the architecture only, and draw the weights from ``seed``.
        seed: for the weights of an untrained twin.

    Raises:
        EncoderError: timm is missing or too old, the configuration is not one that it can build, or the weights are
            missing, not whole, or do not fit.
    """
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if (config.get("model_args") or {}).get("features_only"):
        raise EncoderError(
            f"{config['architecture']!r} in {folder} was saved for feature maps (features_only), expected a whole "
            f"model. Save it as timm.create_model gives it without that argument."
        )
    source = {} if untrained else _source(folder)
    timm = _timm()

    def build(classes: int) -> "torch.nn.Module":
        # With the class count that the weights have, timm loads strictly. It must not go to a place named in
        # config.json for weights, nor shift the rows of a classifier that is not used.
        overlay = {"source": None, "custom_load": False, "label_offset": None, "num_classes": classes, **source}
        made: torch.nn.Module = timm.create_model(
            f"local-dir:{folder}", pretrained=not untrained, num_classes=classes, pretrained_cfg_overlay=overlay
        )
        # A tensor here would be copied and sent along with the module.
        made.pretrained_cfg.pop("state_dict", None)  # type: ignore[union-attr, operator]
        return made.float().eval()

    with _quiet(), kept(seed):
        try:
            return _first_that_fits(build, [0] if untrained else _class_counts(config, folder))
        except (RuntimeError, ValueError, TypeError, KeyError, AssertionError) as error:
            raise EncoderError(_refusal(config, error, timm.__version__)) from error


def made(module: Any) -> bool:
    """Tell whether a module was made by ``timm.create_model``, as a whole model (``features_only`` gives maps).

    >>> import torch
    >>> made(torch.nn.Linear(2, 2))
    False
    """
    calls = all(callable(getattr(module, name, None)) for name in ("forward_features", "forward_head"))
    return calls and isinstance(getattr(module, "pretrained_cfg", None), dict)


def forward(module: Any) -> "Callable[[torch.Tensor], torch.Tensor]":
    """Return the function from normalized images to the vectors before the classifier; the module stays as it is.

    Args:
        module: one that was ``made`` by timm, with or without a classifier.
    """

    def represent(images: "torch.Tensor") -> "torch.Tensor":
        vectors: torch.Tensor = module.forward_head(module.forward_features(images), pre_logits=True)
        return vectors

    return represent


def contract(module: Any, image_size: Any, image_mean: Any, image_std: Any) -> InputContract:
    """Ask timm for the input contract of a module; arguments that are not ``None`` take precedence.

    The size is the one that the model was trained at (``input_size``), not the larger one that timm recommends for
    some models at test time (``test_input_size``).

    Args:
        module: one that was ``made`` by timm.
        image_size: such as 224, (height, width) or (channels, height, width).
        image_mean: by channel, in pixel units of [0, 1].
        image_std: by channel.

    Raises:
        ArgumentError: an argument is not a size, or does not fit the channels.
        EncoderError: timm is missing or cannot be imported.
    """
    given = (image_size, image_mean, image_std)
    _timm()
    import timm.data

    # Older releases know the size of the weights' origin only, not that of this module.
    resolve = getattr(timm.data, "resolve_input_data_config", timm.data.resolve_model_data_config)
    with _quiet():
        own = resolve(module)
    size: Any = own["input_size"]
    if image_size is not None:
        size = check_image_shape(image_size)
        if np.size(image_size) < 3:
            size = (own["input_size"][0], *size[1:])
    found = from_arguments(
        size,
        image_mean if image_mean is not None else own["mean"],
        image_std if image_std is not None else own["std"],
    )
    source = "timm" if given == (None, None, None) else "timm and arguments"
    if all(value is not None for value in given):
        source = "arguments"
    return InputContract(found.shape, found.mean, found.std, found.order, source)


def _timm() -> Any:
    install = "`pip install timm` or `pip install 'synbench[timm]'`"
    if importlib.util.find_spec("timm") is None:
        raise EncoderError(f"this is a model of timm, which is not installed. Install it: {install}.")
    try:
        import timm
    except Exception as error:
        # Any kind: a torchvision that does not belong to this torch ends in whatever the first missing piece raises.
        raise EncoderError(
            f"this is a model of timm, which is installed but cannot be imported ({type(error).__name__}: {error}). "
            f"Install it together with the torchvision that belongs to this torch: {install}."
        ) from error
    return timm


def _source(folder: Path) -> dict[str, Any]:
    """Return where timm shall take the weights from, as an entry of its configuration."""
    from safetensors import SafetensorError, safe_open
    from safetensors.torch import load_file

    file = folder / _WEIGHTS
    if not file.is_file():
        others = sorted(p.name for p in folder.iterdir() if p.suffix in (".bin", ".pth", ".pt", ".ckpt", ".npz"))
        raise EncoderError(
            f"expected the weights of a timm model in {_WEIGHTS}, got {', '.join(others) or 'no weights'} in {folder}. "
            f"Weights are read from safetensors only: save the model by `timm.models.save_for_hf(model, folder, "
            f"safe_serialization=True)`."
        )
    try:
        with safe_open(file, framework="pt") as weights:
            wrapped = any(key.startswith(_WRAPPER) for key in weights.keys())  # noqa: SIM118 - not a dict
    except SafetensorError as error:
        raise EncoderError(f"{file} is not whole ({error}). Fetch the weights again.") from error
    if not wrapped:
        return {"file": str(file)}
    # transformers saves a timm model as a part of its own.
    return {"state_dict": {key.removeprefix(_WRAPPER): value for key, value in load_file(file).items()}}


def _class_counts(config: dict[str, Any], folder: Path) -> list[int]:
    """Return the numbers of classes that the weights may have, the likeliest first: as they are, as configured.

    The configuration may tell of a classifier that was not saved, or of none though there is one.
    """
    from safetensors import safe_open

    source = config.get("pretrained_cfg", config)
    configured = config.get("num_classes", source.get("num_classes", 1000))
    names = source.get("classifier") or ()
    names = [names] if isinstance(names, str) else names
    with safe_open(folder / _WEIGHTS, framework="pt") as weights:
        keys = {key.removeprefix(_WRAPPER): key for key in weights.keys()}  # noqa: SIM118 - not a dict
        rows = [weights.get_slice(keys[f"{n}.weight"]).get_shape()[0] for n in names if f"{n}.weight" in keys]
    # Weights in the format of another library get their names in timm, so the name may be absent.
    return list(dict.fromkeys([rows[0] if rows else 0, int(configured)]))


def _first_that_fits(build: "Callable[[int], torch.nn.Module]", counts: list[int]) -> "torch.nn.Module":
    for count in counts[:-1]:
        with contextlib.suppress(RuntimeError):
            return build(count)
    return build(counts[-1])


def _refusal(config: dict[str, Any], error: Exception, version: str) -> str:
    name, said = config["architecture"], " ".join(str(error).split())
    if "Unknown model" in said:
        return f"timm {version} has no architecture {name!r}. Update it: `pip install --upgrade timm`."
    if "Error(s) in loading state_dict" in said or "is inconsistent with" in said:
        return f"{_WEIGHTS} does not fit config.json ({name!r}): take both from one revision. {said[:500]}"
    return (
        f"timm {version} cannot build {name!r} from config.json ({type(error).__name__}: {said[:500]}). "
        f"Compare it with one that `timm.models.save_for_hf` writes, or update timm."
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep timm's remarks off the screen: weights that do not fit are refused here, by a sentence."""
    logger = logging.getLogger("timm")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
