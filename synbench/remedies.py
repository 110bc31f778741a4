"""What the libraries say while a model is found and loaded: made into sentences with a next step, or kept quiet."""

import contextlib
import re
from collections.abc import Iterator

from .errors import EncoderError, SynBenchError


@contextlib.contextmanager
def teaching(name: str) -> Iterator[None]:
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
        # Where to look on the Hub is no help for a folder.
        said = re.sub(r" Checkout '\S+' for available files\.", "", " ".join(str(error).split()))
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
        if remedy is None and "file named config.json" in said:
            remedy = "Load a model of another library with that library, and pass it as a module or a function."
        raise EncoderError(
            f"cannot load {name!r}: expected the id of a vision model on the Hub, or a local folder with config.json, "
            f"model.safetensors and preprocessor_config.json. {said} {remedy or 'Check the name and its files.'}"
        ) from error


@contextlib.contextmanager
def quiet_transformers() -> Iterator[None]:
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
