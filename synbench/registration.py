"""Make ``evaluate.load("synbench")`` work by its bare name, from any folder, without a network.

``evaluate`` asks the Hub for a module of that name and, when there is none, takes the newest copy from
its own module cache. ``register`` puts a copy there: two lines that import the installed metric, so that
it is never out of date. ``unregister`` takes it away again.
"""

import hashlib
import os
from pathlib import Path

from .errors import OutputError

_SCRIPT = '''\
"""SynBench, put here by `synbench register`; the metric itself is the installed synbench_metric."""
from synbench_metric import Synbench
'''
_NAME = "evaluate-metric--synbench"


def register() -> Path:
    """Put the module where ``evaluate`` looks, and return its path; doing it twice changes nothing.

    Raises:
        OutputError: the module cache of ``evaluate`` cannot be written.
    """
    script = _script_path()
    try:
        script.parent.mkdir(parents=True, exist_ok=True)
        if not script.exists() or script.read_text() != _SCRIPT:
            half = script.with_suffix(".tmp")
            half.write_text(_SCRIPT)
            half.replace(script)
        # The newest copy is the one that is loaded.
        os.utime(script)
    except OSError as error:
        raise OutputError(
            f"cannot write to the module cache of evaluate at {script.parent}: {error.strerror}. "
            f"Point HF_HOME or HF_MODULES_CACHE to a folder that can be written."
        ) from error
    return script


def unregister() -> bool:
    """Take the module away; return whether it was there. Copies that ``evaluate`` made itself stay.

    Raises:
        OutputError: it is there and cannot be removed.
    """
    script = _script_path()
    if not script.exists():
        return False
    try:
        script.unlink()
        compiled = script.parent / "__pycache__"
        for file in compiled.glob("*.pyc") if compiled.is_dir() else ():
            file.unlink()
        for folder in (compiled, script.parent, script.parent.parent):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
    except OSError as error:
        raise OutputError(f"cannot remove {script}: {error.strerror}. Remove it by hand.") from error
    return True


def _script_path() -> Path:
    from evaluate import config

    modules: Path = Path(config.HF_MODULES_CACHE) / config.MODULE_NAME_FOR_DYNAMIC_MODULES
    # evaluate takes any folder with a name of 64 characters, the length of a hash.
    return modules / "metrics" / _NAME / hashlib.sha256(b"synbench register").hexdigest() / "synbench.py"
