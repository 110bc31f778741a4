"""From what a vision model returns to one vector an image: one general rule, no list of model names.

1. Field: the first of ``pooler_output``, ``image_embeds``, ``summary``, ``cls_token_value``; else
   ``last_hidden_state``, ``features``, or the last of ``feature_maps``. Three kinds of pooled field are
   passed over: a dense layer with tanh on top of the class token (BERT's, which no linear probe uses),
   one whose weights are not in the checkpoint (its vector would be random), and one with a vector for
   each of many tokens.
2. Reduction: a vector as it is; a map by its mean over space; tokens by the class token where the
   model has one, else by their mean (without the class token if the model is configured so, or if
   they stand for the feature map of a backbone).

Another choice can be asked for:

- ``"cls"``: the class token of the last hidden state, or the model's summary in its place;
- ``"mean"``: the mean of the patch tokens, or of the map;
- ``"cls+mean"``: both, one after the other, as the linear probe of DINOv2 has them;
- ``"pooler"``: the model's own pooled output, whatever layer makes it;
- ``"projected"``: the vector that is compared with text, of a model of images and text.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isqrt
from typing import TYPE_CHECKING, Any

from . import families
from .errors import ArgumentError, EncoderError

if TYPE_CHECKING:
    import torch

CHOICES = ("cls", "mean", "cls+mean", "pooler", "projected")
"""What can be asked for in place of the rule."""

_POOLED = ("pooler_output", "image_embeds", "summary", "cls_token_value")
_UNPOOLED = ("last_hidden_state", "features", "feature_maps")
_CLASS_TOKENS = ("cls_token", "class_token", "class_embedding", "cls_register_token")
_PROJECTED = "image_features"
# Registers, distillation and class tokens: no model has more of them.
_MOST_EXTRA_TOKENS = 64


@dataclass(frozen=True)
class Pooling:
    """Which field of the output is the representation, how it becomes one vector, and why.

    Attributes:
        field: of the output.
        reduction: the name of the step from there to a vector.
        reason: why this one.
        patches: for means over patch tokens alone, which they are: (first, behind the last).
    """

    field: str
    reduction: str
    reason: str
    patches: tuple[int, int | None] = (1, None)

    def __call__(self, output: Any) -> "torch.Tensor":
        """Return (n, d)."""
        value = _field(output, self.field)
        if "patch" in self.reduction:
            import torch

            mean: torch.Tensor = value[:, slice(*self.patches)].mean(dim=1)
            return mean if self.reduction == "patch token mean" else torch.cat([value[:, 0], mean], dim=1)
        vectors: torch.Tensor = _REDUCTIONS[self.reduction](value)
        return vectors


def choose(
    module: Any,
    output: Any,
    is_random: Callable[[Pooling], bool] = lambda _: False,
    *,
    asked: str | None = None,
    size: tuple[int, int] | None = None,
    missing: Sequence[str] = (),
    lack: str = "are missing from the checkpoint",
    projects: bool = False,
) -> Pooling:
    """Choose the pooling of a module from what it returned for a few images.

    Args:
        module: the vision model, asked for its class token and configuration.
        output: what it returned.
        is_random: whether a pooling depends on weights that the checkpoint lacks.
        asked: one of ``CHOICES``, or ``None`` for the rule.
        size: (height, width) of the images, which tells patch tokens from others.
        missing: the names of these weights, for the message.
        lack: what is wrong with them, for the message.
        projects: whether the model could give the projected vector, for the message.

    Raises:
        ArgumentError: what is asked for is not among what this model can give.
        EncoderError: no field of the output can be pooled without random weights.
    """
    if asked is not None:
        able = available(module, output, size)
        if asked not in able:
            names = [*able, *(["projected"] * projects)]
            raise ArgumentError(
                f"pooling={asked!r} is not what {type(module).__name__} can give, "
                f"{'expected ' + ' or '.join(map(repr, names)) if names else 'and neither is any other'}. "
                f"Leave it out for the rule."
            )
        if is_random(able[asked]):
            raise EncoderError(
                f"pooling={asked!r} depends on weights that {lack}{':' * bool(missing)}{_some(missing)}; its "
                f"vector would be random. Ask for another, or leave it out for the rule."
            )
        return able[asked]
    passed_over: list[str] = []
    random = False
    no_pooler = _no_pooler(module)
    for pooling in _candidates(module, output, size):
        if pooling.field == "pooler_output" and no_pooler:
            passed_over.append(no_pooler)
        elif is_random(pooling):
            random = True
            passed_over.append(f"{pooling.field} depends on weights that {lack}")
        else:
            reason = "; ".join([*passed_over, pooling.reason])
            return Pooling(pooling.field, pooling.reduction, reason, pooling.patches)
    fields = ", ".join(output.keys()) if isinstance(output, Mapping) else type(output).__name__
    remedy = "Wrap the model in a function from images (n, C, H, W) to vectors (n, d) and pass that."
    if random and missing:
        remedy = f"These weights are{_some(missing)}: take a checkpoint that has them."
    raise EncoderError(
        f"expected an output with a vector, a map or tokens for each image, got {fields}"
        f"{': ' + '; '.join(passed_over) if passed_over else ''}. {remedy}"
    )


def available(module: Any, output: Any, size: tuple[int, int] | None = None) -> dict[str, Pooling]:
    """Return what can be asked for, by its name, as ``choose`` would make it."""
    found: dict[str, Pooling] = {}

    def add(name: str, field: str, reduction: str, patches: tuple[int, int | None] = (1, None)) -> None:
        found.setdefault(name, Pooling(field, reduction, "asked for", patches))

    for pooling in _candidates(module, output, size):
        value = _field(output, pooling.field)
        if pooling.field == _PROJECTED:
            return {"projected": Pooling(pooling.field, pooling.reduction, "asked for", pooling.patches)}
        if pooling.field == "pooler_output":
            add("pooler", pooling.field, pooling.reduction)
        elif pooling.field in ("summary", "cls_token_value"):
            add("cls", pooling.field, pooling.reduction)
        elif pooling.field in _UNPOOLED and value.ndim == 4:
            add("mean", pooling.field, pooling.reduction)
        elif pooling.field in _UNPOOLED and value.ndim == 3:
            patches = _patches(module, value.shape[1], size)
            if patches is None:
                add("mean", pooling.field, "token mean")
            else:
                add("cls", pooling.field, "class token")
                add("mean", pooling.field, "patch token mean", patches)
                if found["cls"].field == pooling.field:
                    add("cls+mean", pooling.field, "class token + patch token mean", patches)
    return {name: found[name] for name in CHOICES if name in found}


def _candidates(module: Any, output: Any, size: tuple[int, int] | None) -> Iterator[Pooling]:
    for name in (_PROJECTED, *_POOLED, *_UNPOOLED):
        value = _field(output, name)
        if value is None or not hasattr(value, "ndim"):
            continue
        if value.ndim == 2:
            yield Pooling(name, "vector", f"{name} is one vector an image")
        elif value.ndim == 4:
            reduction = "map mean, channels last" if _channels_last(value.shape[1:], size) else "map mean"
            yield Pooling(name, reduction, f"{name} is a map")
        elif value.ndim == 3 and name in _POOLED:
            if value.shape[1] == 1:
                yield Pooling(name, "class token", f"{name} is one token an image")
        elif value.ndim == 3:
            yield _token_pooling(module, name, value, size)


def _channels_last(shape: Sequence[int], size: tuple[int, int] | None) -> bool:
    first, second, last = shape
    if size is None or size[0] == size[1]:
        return first == second != last
    # Which two of the three have the proportions of the image?
    skew = size[0] / size[1]
    off = [abs(height / width / skew - 1) for height, width in ((second, last), (first, second))]
    return off[1] < off[0]


def _token_pooling(module: Any, name: str, tokens: Any, size: tuple[int, int] | None) -> Pooling:
    patches = _patches(module, tokens.shape[1], size)
    if patches is None:
        return Pooling(name, "token mean", "the model has no class token")
    if name == "feature_maps":
        return Pooling(name, "patch token mean", "the feature maps of the backbone are of its patches", patches)
    if name != _PROJECTED and getattr(getattr(module, "config", None), "use_mean_pooling", False):
        return Pooling(name, "patch token mean", "the model is configured to average its patch tokens", patches)
    return Pooling(name, "class token", "the model has a class token")


def _patches(module: Any, count: int, size: tuple[int, int] | None) -> tuple[int, int | None] | None:
    """Return where the patch tokens are among others, or ``None`` if there are no others: no class token."""
    names = {parameter.rsplit(".", 1)[-1] for parameter, _ in module.named_parameters()}
    if not names.intersection(_CLASS_TOKENS):
        return None
    grid = _grid(module, size)
    if grid is not None and grid <= count <= grid + _MOST_EXTRA_TOKENS:
        # Tokens for objects to detect come last, all others first.
        behind = int(getattr(module.config, "num_detection_tokens", 0)) if "detection_tokens" in names else 0
        return None if count == grid else (count - grid - behind, count - behind)
    return None if isqrt(count) ** 2 == count else (1, None)


def _grid(module: Any, size: tuple[int, int] | None) -> int | None:
    """Return the number of patches of an image, if it is cut into patches once."""
    patch = getattr(getattr(module, "config", None), "patch_size", None)
    if isinstance(patch, int):
        patch = (patch, patch)
    if size is None or not isinstance(patch, (list, tuple)) or len(patch) != 2 or not all(patch):
        return None
    return (size[0] // int(patch[0])) * (size[1] // int(patch[1]))


def _field(output: Any, name: str) -> Any:
    value = output.get(name) if isinstance(output, Mapping) else getattr(output, name, None)
    return value[-1] if isinstance(value, (list, tuple)) and value else value


def _no_pooler(module: Any) -> str | None:
    """Return why what a module calls its pooled output is not taken."""
    if hasattr(getattr(module, "pooler", None), "dense"):
        return "its pooler is a dense layer with tanh"
    return families.of(getattr(module, "config", None)).no_pooler


def _some(names: Sequence[str]) -> str:
    rest = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f" {', '.join(names[:3])}{rest}" if names else ""


_REDUCTIONS: dict[str, Callable[[Any], Any]] = {
    "vector": lambda x: x,
    "map mean": lambda x: x.mean(dim=(2, 3)),
    "map mean, channels last": lambda x: x.mean(dim=(1, 2)),
    "class token": lambda x: x[:, 0],
    "token mean": lambda x: x.mean(dim=1),
}
