"""Who may be scored here: public models of the Hub with safetensors, of a size that this machine can take.

What is looked at is one commit, and that commit is what is scored. Nothing is fetched but the list of its files, its
configuration, and that of its image processor.
"""

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from hub_tools.at_scale.costs import DOWNLOAD, forward_flops
from hub_tools.client.failures import RequestError
from synbench.errors import EncoderError
from synbench.folders import DEMO

from .hardware import Hardware
from .line import NotHereError

if TYPE_CHECKING:
    from hub_tools.client.hub import Hub

IMAGES = (1024, 2048, 4096, 8192, 16384)
"""Images that can be asked for."""

MOST_COMPARED = 8
"""Models that can be compared at once."""

LARGEST_SIDE = 1024
"""Pixels of an image's side, at most: its height and width come from a file of the model's owner."""

_ADDRESS = re.compile(r"(?:https?://)?(?:www\.)?(?:huggingface\.co|hf\.co)/(?:models/)?([^/\s]+/[^/\s?#]+).*")
_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9_][\w.-]{0,95}", re.ASCII)
_SIDE = 224
_START = 3.0
_BYTES = 4
_DEMO_PARAMETERS = 150_000


@dataclass(frozen=True)
class Asked:
    """What a visitor asks for; plain data, which goes to other processes.

    Args:
        model: id on the Hub, or ``synbench:demo``.
        images: see ``IMAGES``.
        seed: of the images.
        twin: score the untrained twin beside it.
        commit: that is scored; ``None`` of the demo encoder.
    """

    model: str
    images: int = 8192
    seed: int = 0
    twin: bool = True
    commit: str | None = None


@dataclass(frozen=True)
class Admitted:
    """A model that may be scored here, and what is known of it before it is fetched.

    Args:
        asked: what is asked for, with the commit.
        parameters: numbers in the checkpoint; ``None`` where the Hub does not tell.
        fetched: bytes of its weights.
        family: of its architecture, as its configuration has it.
        side: of its images in pixels, where a file tells.
        seconds: that it is reckoned to take.
    """

    asked: Asked
    parameters: int | None
    fetched: int
    family: str | None
    side: int | None
    seconds: float


def parse(model: str) -> str:
    """Return the id of a model from what a visitor typed: an id, or the address of its page.

    Raises:
        EncoderError: it is neither.

    >>> parse(" https://huggingface.co/facebook/dinov2-small/tree/main ")
    'facebook/dinov2-small'
    """
    text = str(model).strip()[:300]  # programs send anything
    address = _ADDRESS.fullmatch(text)
    text = address[1] if address else text
    if text == DEMO or _ID.fullmatch(text):
        return text
    raise EncoderError(
        f"expected the id of a model on the Hub, such as facebook/dinov2-small, or {DEMO}, got {text!r}. Copy it from "
        f"the top of the model's page."
    )


def parse_several(models: Any) -> list[str]:
    """Return the ids of models to compare, each once.

    Raises:
        EncoderError: one is none, or there are not two to eight of them.

    >>> parse_several(["org/one", "https://huggingface.co/org/one", "org/two"])
    ['org/one', 'org/two']
    """
    if not isinstance(models, (list, tuple)):
        raise EncoderError(f"expected a list of models to compare, got {models!r}.")
    ids = list(dict.fromkeys(parse(model) for model in models))
    if not 2 <= len(ids) <= MOST_COMPARED:
        raise EncoderError(f"expected two to {MOST_COMPARED} different models to compare, got {len(ids)}.")
    return ids


def admit(hub: "Hub", asked: Asked, hardware: Hardware) -> Admitted:
    """Look at a model on the Hub, without its weights, and let it in or say why not.

    Args:
        hub: without a token: what only some may see is for nobody here.
        asked: what is asked for.
        hardware: of this machine.

    Raises:
        EncoderError: it is no model that can be scored.
        NotHereError: it is, but not here.
    """
    model = parse(asked.model)
    # Programs may write 8192.0.
    asked = replace(asked, images=next((n for n in IMAGES if n == asked.images), asked.images))
    if isinstance(asked.images, bool) or asked.images not in IMAGES:
        raise EncoderError(f"images must be one of {', '.join(map(str, IMAGES))}, got {asked.images!r}.")
    if isinstance(asked.seed, bool) or not isinstance(asked.seed, int) or not 0 <= asked.seed < 2**31:
        raise EncoderError(f"seed must be a whole number of at least 0 and below 2147483648, got {asked.seed!r}.")
    if not isinstance(asked.twin, bool):
        raise EncoderError(f"the untrained twin is asked for by true or false, got {asked.twin!r}.")
    if model == DEMO:
        whole = Asked(model, asked.images, asked.seed, asked.twin)
        return Admitted(whole, _DEMO_PARAMETERS, 0, "vit", 16, _reckoned(_DEMO_PARAMETERS, 16, 0, whole, hardware))
    info = _look(hub, model)
    if info.private or info.disabled:
        raise EncoderError(f"there is no public model {model!r} on the Hub. Check the spelling.")
    if info.gated:
        raise NotHereError(
            f"{model!r} is gated: what it gives is only for those whom its owner let in, and what is scored here is "
            f"for all to see. Score it on your own machine: synbench score {model}."
        )
    files = {str(file.rfilename): int(file.size or 0) for file in info.siblings or []}
    # In folders too: an index can name what lies there.
    fetched = sum(size for name, size in files.items() if name.endswith(".safetensors"))
    if not any(name.endswith(".safetensors") and "/" not in name for name in files) or not fetched:
        raise EncoderError(f"{model!r} has no safetensors, and nothing else is read here. Pick another model.")
    if fetched > hardware.largest_gb * 1e9:
        raise NotHereError(
            f"{model!r} has {fetched / 1e9:.1f} GB of weights, and this app fetches {hardware.largest_gb:g} GB at "
            f"most, as it runs on {hardware.told}. Score it on your own machine: synbench score {model}."
        )
    commit = str(info.sha)
    config, processor = (_json(hub, model, name, commit, files) for name in ("config.json", "preprocessor_config.json"))
    side = _side(processor) or _side(config)
    if side is not None and side > LARGEST_SIDE:
        raise NotHereError(
            f"{model!r} takes images of {side} × {side} pixels, and this app draws {LARGEST_SIDE} × {LARGEST_SIDE} at "
            f"most. Score it on your own machine: synbench score {model}."
        )
    parameters = _parameters(info)
    whole = Asked(model, asked.images, asked.seed, asked.twin, commit)

    def reckoned(asked: Asked) -> float:
        return _reckoned(parameters or fetched / _BYTES, side or _SIDE, fetched, asked, hardware)

    _check_time(whole, hardware, reckoned)
    return Admitted(whole, parameters, fetched, _family(config, info), side, reckoned(whole))


def _check_time(asked: Asked, hardware: Hardware, reckoned: Callable[[Asked], float]) -> None:
    """Refuse what would keep everybody else waiting, and say what would not."""
    seconds, most = reckoned(asked), hardware.seconds
    if seconds <= most:
        return
    fewer = [n for n in IMAGES if n <= asked.images and reckoned(replace(asked, images=n, twin=False)) <= most]
    way = (
        f"Take {fewer[-1]:,} images{' without the untrained twin' if asked.twin else ''}, or score"
        if fewer
        else "Score"
    )
    raise NotHereError(
        f"{asked.model!r} would take about {math.ceil(seconds / 60)} minutes on {hardware.told}, and "
        f"{most / 60:.0f} are allowed here. {way} it on your own machine: synbench score {asked.model}."
    )


def _look(hub: "Hub", model: str) -> Any:
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, HFValidationError, HTTPError

    try:
        return hub.api.model_info(model, files_metadata=True, timeout=10)
    except GatedRepoError:
        raise NotHereError(f"{model!r} is gated, and not for this app. Score it on your own machine.") from None
    except (HfHubHTTPError, HFValidationError) as error:
        status = getattr(getattr(error, "response", None), "status_code", 404)
        if status in (401, 403, 404):
            raise EncoderError(f"there is no public model {model!r} on the Hub. Check the spelling.") from None
    except (HTTPError, OSError, ValueError, KeyError, TypeError, AttributeError):
        pass  # no answer, or that of something else in the Hub's place
    raise NotHereError("the Hub does not answer just now. Try again in a minute.")


def _json(hub: "Hub", model: str, name: str, commit: str, files: dict[str, int]) -> dict[str, Any]:
    if not 0 < files.get(name, 0) <= 1_000_000:
        return {}
    try:
        found = json.loads(hub.read(model, name, commit) or b"{}")
    except RequestError:
        raise NotHereError("the Hub does not answer just now. Try again in a minute.") from None
    except (ValueError, RecursionError):
        return {}  # loading says what is wrong with it
    return found if isinstance(found, dict) else {}


def _side(config: dict[str, Any]) -> int | None:
    """Return the larger side of the images that a configuration tells of."""
    size: Any = config.get("crop_size") or config.get("size") or config.get("image_size")
    vision = config.get("vision_config")
    if size is None and isinstance(vision, dict):
        size = vision.get("image_size")
    if isinstance(size, dict):
        size = [size.get(name) for name in ("height", "width", "shortest_edge")]
    values = size if isinstance(size, list) else [size]
    sides = [v for v in values if isinstance(v, int) and not isinstance(v, bool) and v > 0]
    return max(sides, default=None)


def _family(config: dict[str, Any], info: Any) -> str | None:
    found = config.get("model_type") or config.get("architecture") or (info.config or {}).get("model_type")
    return str(found)[:60] if isinstance(found, str) else None


def _parameters(info: Any) -> int | None:
    total = getattr(getattr(info, "safetensors", None), "total", None)
    return int(total) if isinstance(total, int) and total > 0 else None


def _reckoned(parameters: float, side: int, fetched: int, asked: Asked, hardware: Hardware) -> float:
    """Return seconds: a start, the way from the Hub, and the forward passes."""
    passes = asked.images * (2 if asked.twin else 1)
    return _START + fetched / DOWNLOAD + passes * forward_flops(parameters, side) / hardware.flops
