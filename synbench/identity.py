"""What decides the vectors of a checkpoint, told without loading it: a commit on the Hub, or the digest of a folder."""

import re
from pathlib import Path

from .checkpoints import DEMO
from .fingerprints import folder_sha256, weights_sha256
from .remedies import quiet_transformers

_DEMO_FOLDER = Path(__file__).parent / "demo"
_COMMIT = re.compile(r"[0-9a-f]{40}")


def identify(
    name: str, *, revision: str | None = None, trust_remote_code: bool = False, untrained: bool = False, seed: int = 0
) -> str | None:
    """Return what ``Encoder.identity`` will be.

    Args:
        name: a Hub id, a local folder or ``synbench:demo``.
        revision: branch, tag or commit on the Hub.
        trust_remote_code: refused as ``load_encoder`` does, which is why nothing is told then.
        untrained: whether the weights are drawn anew, from ``seed``.
        seed: see there.

    Returns:
        The identity, or ``None`` if it cannot be told, or if loading the model has to be refused first.
    """
    folder = _DEMO_FOLDER if name == DEMO else Path(name).expanduser()
    ending = f":untrained:{seed}" if untrained else ""
    if not name.strip() or trust_remote_code:
        return None
    if not folder.is_dir():
        from transformers.utils import cached_file

        try:
            with quiet_transformers():
                commit = Path(cached_file(name, "config.json", revision=revision)).parent.name
        except Exception:  # noqa: BLE001 - loading says what is wrong, and what to do
            return None
        return f"hub:{name}@{commit}{ending}" if _COMMIT.fullmatch(commit) else None
    if revision is not None or not (folder / "config.json").is_file():
        return None
    try:
        weights = None if untrained else weights_sha256(folder.resolve())
        return f"local:{folder_sha256(folder.resolve(), weights)}{ending}"
    except OSError:
        return None
