"""Finished runs, kept by what was asked: the same question is answered at once, and a link to an answer stays good.

A file each, written whole or not at all; the oldest go when there are too many. Only public models are scored here, so
there is nothing in them that not everybody may see.
"""

import contextlib
import hashlib
import json
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from synbench.cache import replace_file, root
from synbench.errors import ArgumentError
from synbench.report import SCHEMA_VERSION, Report
from synbench.seeding import RENDERER_VERSION
from synbench.versions import version_of

from .admission import Asked

MOST = 2000
"""Runs that are kept: 25 kB each, and as much again for comparisons."""

_KEY = re.compile(r"[0-9a-f]{16}")
_LIBRARIES = ("synbench", "torch", "transformers")


@dataclass(frozen=True)
class Kept:
    """A finished run.

    Args:
        key: that it is found by, in links too.
        report: the result.
        contributions: each draw's part of the error of its score, for a paired comparison, where that is known.
    """

    key: str
    report: Report
    contributions: Float[np.ndarray, " n"] | None


def key_of(asked: Asked, kind: str) -> str:
    """Return the key of a run: of what was asked, the kind of machine, and the versions that bear on the number."""
    versions = [version_of(name) for name in _LIBRARIES]
    told = [asdict(asked), kind, SCHEMA_VERSION, RENDERER_VERSION, versions]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]


def keep(key: str, report: Report, contributions: Float[np.ndarray, " n"] | None) -> Kept:
    """Keep a finished run; where that cannot be, it is only not kept."""
    with contextlib.suppress(OSError):
        folder().mkdir(parents=True, exist_ok=True)
        if contributions is not None:
            replace_file(_file(key, "f64"), np.asarray(contributions, dtype="<f8").tobytes())
        replace_file(_file(key, "json"), json.dumps(report.to_dict()).encode())
        _tidy()
    return Kept(key, report, contributions)


def find(key: str) -> Kept | None:
    """Return a finished run, if it is kept, and can be read by this version."""
    if not _KEY.fullmatch(key):
        return None
    try:
        report = Report.from_dict(json.loads(_file(key, "json").read_bytes()))
    except (OSError, ValueError, ArgumentError):
        return None
    contributions = None
    with contextlib.suppress(OSError, ValueError):
        contributions = np.frombuffer(_file(key, "f64").read_bytes(), dtype="<f8")
    with contextlib.suppress(OSError):
        os.utime(_file(key, "json"))  # used just now
    return Kept(key, report, contributions)


def folder() -> Path:
    """Return the folder of the finished runs."""
    return root() / "runs"


def _file(key: str, ending: str) -> Path:
    return folder() / f"{key}.{ending}"


def _tidy() -> None:
    """Remove what was not used for longest, beyond what may be kept."""
    found = sorted(folder().glob("*.json"), key=lambda file: file.stat().st_mtime, reverse=True)
    for file in found[MOST:]:
        for ending in (".json", ".f64"):
            file.with_suffix(ending).unlink(missing_ok=True)
