"""Finding and loading a vision model in ``transformers`` format, from the Hub or from a folder.

Only safetensors are read; code from a repository runs only if asked for with a pinned commit. Whatever
the libraries raise on the way comes out as a sentence with a next step.
"""

import contextlib
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import ArgumentError, EncoderError, SynBenchError

DEMO = "synbench:demo"
"""The name of the encoder that comes with the package."""

_DEMO_FOLDER = Path(__file__).parent / "demo"
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Checkpoint:
    """A loaded vision model, float32, on the CPU.

    Attributes:
        tower: the module that turns pixels into features.
        config: the configuration of the whole model.
        processor: its image processor, or ``None`` if it has none that can be loaded.
        random: the parameters and buffers of the tower that the checkpoint lacks.
        source: ``"hub"``, ``"local"`` or ``"demo"``.
        commit: the commit hash on the Hub.
        weights_sha256: of the safetensors files of a folder, in the order of their names.
    """

    tower: Any
    config: Any
    processor: Any
    random: tuple[Any, ...]
    source: str
    commit: str | None
    weights_sha256: str | None


def load_checkpoint(
    name: str, *, revision: str | None, trust_remote_code: bool, untrained: bool, seed: int
) -> Checkpoint:
    """Load a model by Hub id, folder or ``synbench:demo``.

    Args:
        name: what to load.
        revision: branch, tag or commit; resolved once, so that all files are of one commit.
        trust_remote_code: needs ``revision`` to be a commit hash, unless the model is a folder.
        untrained: take the architecture only, and draw the weights from ``seed``.
        seed: for the weights of an untrained twin.

    Raises:
        ArgumentError: remote code without a pinned commit, a revision of a folder, or an empty name.
        EncoderError: not found, no safetensors, not a vision model, or anything else that loading raised.
    """
    import torch
    import transformers

    folder = _DEMO_FOLDER if name == DEMO else Path(name).expanduser()
    local = folder.is_dir()
    where = str(folder.resolve()) if local else name
    if not name.strip():
        raise ArgumentError("model must be a Hub id or a local folder, got an empty name.")
    if local and revision is not None:
        raise ArgumentError(
            f"revision= is for models on the Hub, but {name!r} is a local folder: it is read as it is. Leave it out."
        )
    if trust_remote_code and not local and not _COMMIT.fullmatch(revision or ""):
        raise ArgumentError(
            f"trust_remote_code=True runs code from {name!r} on this machine, so it needs the commit that you "
            f"looked at: pass revision= with its 40-digit hash, got {revision!r}."
        )
    with _teaching(name), _quiet_transformers():
        # Everything is of the commit that the branch points to now, however long the download takes.
        commit = None if local else _commit(name, revision)
        common: dict[str, Any] = {"trust_remote_code": trust_remote_code, "revision": commit or revision}
        if trust_remote_code:
            _refuse_foreign_code(name, where, commit)
        config = transformers.AutoConfig.from_pretrained(where, **common)
        if getattr(config, "mask_ratio", None):
            # A masked autoencoder hides most of each image at random while it is trained; here it sees all of it.
            config.mask_ratio = 0.0
        _require_vision(name, transformers.AutoModel._model_mapping.get(type(config), None))  # noqa: SLF001
        processor = _processor(where, common)
        if untrained:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed % 2**63)  # what torch takes
                whole = transformers.AutoModel.from_config(
                    config, dtype=torch.float32, trust_remote_code=trust_remote_code
                )
                missing = set()
        else:
            whole, loading = transformers.AutoModel.from_pretrained(
                where, config=config, dtype=torch.float32, use_safetensors=True, output_loading_info=True, **common
            )
            missing = set(loading["missing_keys"])
    _require_vision(name, type(whole))
    tower = whole.get_encoder(modality="image").float().eval()
    absent = {id(t) for key, t in (*whole.named_parameters(), *whole.named_buffers()) if key in missing}
    return Checkpoint(
        tower=tower,
        config=config,
        processor=processor,
        random=tuple(t for t in (*tower.parameters(), *tower.buffers()) if id(t) in absent),
        source="demo" if name == DEMO else "local" if local else "hub",
        commit=commit,
        weights_sha256=_weights_sha256(Path(where)) if local and not untrained else None,
    )


def _commit(name: str, revision: str | None) -> str | None:
    """Return the commit that a revision points to; without a network, the one it was last fetched at."""
    from transformers.utils import cached_file

    # The cache holds each file in a folder named by its commit.
    folder = Path(cached_file(name, "config.json", revision=revision)).parent.name
    return folder if _COMMIT.fullmatch(folder) else None


def _refuse_foreign_code(name: str, where: str, commit: str | None) -> None:
    """Refuse a configuration that takes its code from another repository: no commit of that one is pinned."""
    from transformers.utils import cached_file

    config = json.loads(Path(cached_file(where, "config.json", revision=commit)).read_text())
    foreign = [str(code) for code in config.get("auto_map", {}).values() if "--" in str(code)]
    if foreign:
        raise EncoderError(
            f"{name!r} takes its code from another repository ({foreign[0]}), of which no commit is pinned. "
            f"Copy that code into the model's folder, look at it, and load the folder."
        )


def _require_vision(name: str, found: Any) -> None:
    """Refuse a model class that takes no pixels, by name, before its weights are fetched."""
    classes = found if isinstance(found, tuple) else (found,)
    for one in classes:
        main = getattr(one, "main_input_name", None)
        if main not in (None, "pixel_values") and not hasattr(one, "get_image_features"):
            raise EncoderError(
                f"{name!r} is not a vision encoder: {one.__name__} takes {main!r}, expected 'pixel_values'. "
                f"Choose a model that takes images."
            )


def _processor(where: str, common: dict[str, Any]) -> Any:
    import transformers

    try:
        return transformers.AutoImageProcessor.from_pretrained(where, **common)
    except (OSError, ValueError, ImportError):
        # No preprocessor_config.json, or one for a package that is not here: from_processor says what to do.
        return None


def _weights_sha256(folder: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(folder.glob("*.safetensors")):
        with file.open("rb") as stream:
            while chunk := stream.read(1 << 22):
                digest.update(chunk)
    return digest.hexdigest()


@contextlib.contextmanager
def _teaching(name: str) -> Iterator[None]:
    """Turn what the libraries raise while a model is found and loaded into sentences with a next step."""
    from huggingface_hub import errors as hub
    from safetensors import SafetensorError

    try:
        yield
    except (SynBenchError, MemoryError):
        raise
    except Exception as error:
        causes: list[BaseException] = []
        cause: BaseException | None = error
        while cause is not None and cause not in causes:
            causes.append(cause)
            cause = cause.__cause__ or cause.__context__
        said = " ".join(str(error).split())
        remedies: list[tuple[tuple[type[BaseException], ...], str]] = [
            ((hub.GatedRepoError,), "Ask for access on its page, then log in with `hf auth login`."),
            ((hub.RevisionNotFoundError,), "Check revision=: a branch, a tag or a commit hash."),
            ((hub.RepositoryNotFoundError,), "Check the spelling, or log in if it is private."),
            (
                (hub.LocalEntryNotFoundError, hub.OfflineModeIsEnabled),
                "Check the network, or fetch it first with `hf download`.",
            ),
            ((ImportError,), "Install what it needs."),
            ((SafetensorError,), "Fetch its weights again: the file is not whole."),
        ]
        remedy = next((text for kinds, text in remedies if any(isinstance(c, kinds) for c in causes)), None)
        if remedy is None and "ignore_mismatched_sizes" in said:
            remedy = "Its weights do not fit its config.json: take both from one revision."
        if remedy is None and "safetensors" in said:
            remedy = "Weights are read from safetensors only; convert the checkpoint, or choose another revision."
        raise EncoderError(
            f"cannot load {name!r}: expected the id of a vision model on the Hub, or a local folder with config.json, "
            f"model.safetensors and preprocessor_config.json. {said} {remedy or 'Check the name and its files.'}"
        ) from error


@contextlib.contextmanager
def _quiet_transformers() -> Iterator[None]:
    """Keep load reports off the screen (missing weights are judged here), and bars off log files."""
    import sys

    from huggingface_hub import utils as hub
    from transformers.utils import logging

    verbosity, bars, hub_off = (
        logging.get_verbosity(),
        logging.is_progress_bar_enabled(),
        hub.are_progress_bars_disabled(),
    )
    logging.set_verbosity_error()
    if not sys.stderr.isatty():
        logging.disable_progress_bar()
        hub.disable_progress_bars()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
        if not hub_off and hub.are_progress_bars_disabled():
            hub.enable_progress_bars()
