"""The vector that each family's authors, or its usual linear probe, take of an image; each written by hand.

Every function takes a model as ``transformers`` loads it, and normalised pixels.
"""

from collections.abc import Callable
from operator import attrgetter
from typing import Any

import torch

Natural = Callable[[Any, torch.Tensor], torch.Tensor]


def class_token(model: Any, pixels: torch.Tensor) -> torch.Tensor:
    return model(pixels).last_hidden_state[:, 0]


def token_mean(model: Any, pixels: torch.Tensor) -> torch.Tensor:
    return model(pixels).last_hidden_state.mean(dim=1)


def patch_mean(model: Any, pixels: torch.Tensor) -> torch.Tensor:
    return model(pixels).last_hidden_state[:, 1:].mean(dim=1)


def map_mean(model: Any, pixels: torch.Tensor) -> torch.Tensor:
    return model(pixels).last_hidden_state.mean(dim=(2, 3))


def attention_pooled(model: Any, pixels: torch.Tensor) -> torch.Tensor:
    """What one learned query gathers from all tokens."""
    return model.head(model(pixels).last_hidden_state)


def phi4(model: Any, pixels: torch.Tensor) -> torch.Tensor:
    """The same, where the head takes the mask of what is seen: here all of it."""
    tokens = model(pixels).last_hidden_state
    return model.head(tokens, torch.ones(tokens.shape[:2], dtype=torch.bool))


def feature_map_mean(model: Any, pixels: torch.Tensor) -> torch.Tensor:
    """The last map of a backbone; tokens in place of a map are averaged likewise."""
    last = model(pixels).feature_maps[-1]
    return last.flatten(2).mean(dim=2) if last.ndim == 4 else last.mean(dim=1)


def normed_class_token(norm: str) -> Natural:
    """The class token under the norm that comes after the last layer."""

    def vector(model: Any, pixels: torch.Tensor) -> torch.Tensor:
        return attrgetter(norm)(model)(model(pixels).last_hidden_state[:, 0])

    return vector


def normed_map_mean(norm: str) -> Natural:
    def vector(model: Any, pixels: torch.Tensor) -> torch.Tensor:
        return attrgetter(norm)(model)(model(pixels).last_hidden_state.mean(dim=(2, 3)))

    return vector


def of(part: str, natural: Natural) -> Natural:
    """The vector of a part of the model, as that part alone gives it."""

    def vector(model: Any, pixels: torch.Tensor) -> torch.Tensor:
        return natural(attrgetter(part)(model), pixels)

    return vector


def masked_autoencoder(model: Any, pixels: torch.Tensor) -> torch.Tensor:
    """The class token of all patches in their own order: nothing is masked, nothing shuffled."""
    embedded = model.embeddings
    positions = embedded.position_embeddings
    patches = embedded.patch_embeddings(pixels) + positions[:, 1:]
    first = (embedded.cls_token + positions[:, :1]).expand(len(pixels), -1, -1)
    tokens = torch.cat([first, patches], dim=1)
    for layer in model.layers:
        tokens = layer(tokens)
    return model.layernorm(tokens)[:, 0]


def beit(model: Any, pixels: torch.Tensor) -> torch.Tensor:
    return model.pooler.layernorm(model(pixels).last_hidden_state[:, 1:].mean(dim=1))


def hiera(model: Any, pixels: torch.Tensor) -> torch.Tensor:
    return model.pooler.layernorm(model(pixels).last_hidden_state.mean(dim=1))


def pixio(model: Any, pixels: torch.Tensor) -> torch.Tensor:
    return model(pixels).last_hidden_state[:, : model.config.n_cls_tokens].mean(dim=1)


def cvt(model: Any, pixels: torch.Tensor) -> torch.Tensor:
    return model(pixels).cls_token_value[:, 0]


def one_at_a_time(model: Any, pixels: torch.Tensor) -> torch.Tensor:
    """Pixtral packs all images of a batch in one sequence: each goes alone here."""
    return torch.cat([model(one[None]).last_hidden_state.mean(dim=1) for one in pixels])


def channels_last_map_mean(model: Any, pixels: torch.Tensor) -> torch.Tensor:
    return model(pixels).last_hidden_state.mean(dim=(1, 2))


def patched(model: Any, pixels: torch.Tensor) -> torch.Tensor:
    """SigLIP 2 in its native-resolution form takes rows of patches, with their grid."""
    p = model.config.patch_size
    n, _, height, width = pixels.shape
    rows = [
        pixels[:, :, top : top + p, left : left + p].permute(0, 2, 3, 1).reshape(n, -1)
        for top in range(0, height, p)
        for left in range(0, width, p)
    ]
    mask = torch.ones(n, len(rows), dtype=torch.int64)
    grid = torch.tensor([[height // p, width // p]] * n)
    output = model(torch.stack(rows, dim=1), pixel_attention_mask=mask, spatial_shapes=grid)
    return output.pooler_output


def radio(model: Any, pixels: torch.Tensor) -> torch.Tensor:
    """Its summary: the class tokens that its teachers were matched with, side by side."""
    return torch.cat([model(pixels).last_hidden_state[:, index] for index in model.config.summary_idxs], dim=1)


def dinov3_convnext(model: Any, pixels: torch.Tensor) -> torch.Tensor:
    hidden = pixels
    for stage in model.model.stages:
        hidden = stage(hidden)
    return model.layer_norm(hidden.mean(dim=(2, 3)))


def backbone_tokens(model: Any, pixels: torch.Tensor) -> torch.Tensor:
    """The mean of a backbone's last tokens without the class token, where it gives tokens in place of a map."""
    return model(pixels).feature_maps[-1][:, 1:].mean(dim=1)


def groupvit(model: Any, pixels: torch.Tensor) -> torch.Tensor:
    """The mean of its groups."""
    return model(pixels).last_hidden_state.mean(dim=1)
