"""From what a vision model returns to one vector an image: one general rule, no list of model names.

1. Field: the first of ``pooler_output``, ``image_embeds``, ``summary``, ``cls_token_value``; else
   ``last_hidden_state``, ``features``, or the last of ``feature_maps``. Two kinds of pooler are passed
   over: a dense layer with tanh on top of the class token (BERT's, which no linear probe uses), and
   one whose weights are not in the checkpoint (its vector would be random).
2. Reduction: a vector as it is; a map by its mean over space; tokens by the class token where the
   model has one, else by their mean (without the class token if the model is configured so).
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import isqrt
from typing import TYPE_CHECKING, Any

from .errors import EncoderError

if TYPE_CHECKING:
    import torch

_POOLED = ("pooler_output", "image_embeds", "summary", "cls_token_value")
_UNPOOLED = ("last_hidden_state", "features", "feature_maps")
_CLASS_TOKENS = ("cls_token", "class_token", "class_embedding")


@dataclass(frozen=True)
class Pooling:
    """Which field of the output is the representation, how it becomes one vector, and why."""

    field: str
    reduction: str
    reason: str

    def __call__(self, output: Any) -> "torch.Tensor":
        """Return (n, d)."""
        vectors: torch.Tensor = _REDUCTIONS[self.reduction](_field(output, self.field))
        return vectors


def choose(module: Any, output: Any, is_random: Callable[[Pooling], bool] = lambda _: False) -> Pooling:
    """Choose the pooling of a module from what it returned for a few images.

    Args:
        module: the vision model, asked for its class token and configuration.
        output: what it returned.
        is_random: whether a pooling depends on weights that the checkpoint lacks.

    Raises:
        EncoderError: no field of the output can be pooled without random weights.
    """
    passed_over: list[str] = []
    for pooling in _candidates(module, output):
        if pooling.field == "pooler_output" and _dense_pooler(module):
            passed_over.append("its pooler is a dense layer with tanh")
        elif is_random(pooling):
            passed_over.append(f"{pooling.field} depends on weights that are missing from the checkpoint")
        else:
            reason = "; ".join([*passed_over, pooling.reason])
            return Pooling(pooling.field, pooling.reduction, reason)
    names = ", ".join(output.keys()) if isinstance(output, Mapping) else type(output).__name__
    raise EncoderError(
        f"expected an output with a vector, a map or tokens for each image, got {names}"
        f"{': ' + '; '.join(passed_over) if passed_over else ''}. "
        f"Wrap the model in a function from images (n, C, H, W) to vectors (n, d) and pass that."
    )


def _candidates(module: Any, output: Any) -> Iterator[Pooling]:
    for name in (*_POOLED, *_UNPOOLED):
        value = _field(output, name)
        if value is None or not hasattr(value, "ndim"):
            continue
        if value.ndim == 2:
            yield Pooling(name, "vector", f"{name} is one vector an image")
        elif value.ndim == 4:
            height, width, last = value.shape[1:]
            by_last = height == width != last
            yield Pooling(name, "map mean, channels last" if by_last else "map mean", f"{name} is a map")
        elif value.ndim == 3:
            yield _token_pooling(module, name, value)


def _token_pooling(module: Any, name: str, tokens: Any) -> Pooling:
    count = tokens.shape[1]
    has_class_token = isqrt(count) ** 2 != count and any(
        parameter.rsplit(".", 1)[-1] in _CLASS_TOKENS for parameter, _ in module.named_parameters()
    )
    if getattr(getattr(module, "config", None), "use_mean_pooling", False) and has_class_token:
        return Pooling(name, "patch token mean", "the model is configured to average its patch tokens")
    if has_class_token:
        return Pooling(name, "class token", "the model has a class token")
    return Pooling(name, "token mean", "the model has no class token")


def _field(output: Any, name: str) -> Any:
    value = output.get(name) if isinstance(output, Mapping) else getattr(output, name, None)
    return value[-1] if isinstance(value, (list, tuple)) and value else value


def _dense_pooler(module: Any) -> bool:
    return hasattr(getattr(module, "pooler", None), "dense")


_REDUCTIONS: dict[str, Callable[[Any], Any]] = {
    "vector": lambda x: x,
    "map mean": lambda x: x.mean(dim=(2, 3)),
    "map mean, channels last": lambda x: x.mean(dim=(1, 2)),
    "class token": lambda x: x[:, 0],
    "token mean": lambda x: x.mean(dim=1),
    "patch token mean": lambda x: x[:, 1:].mean(dim=1),
}
