"""What every test runs under: no network but loopback, a Hugging Face home of its own, the metric registered."""

import importlib.util
import os
import tempfile
from pathlib import Path

# Before any Hugging Face library is imported: they read these once.
_HOME = tempfile.TemporaryDirectory(prefix="synbench-tests-")
os.environ["HF_HOME"] = _HOME.name
# Tests run side by side: more threads than cores would only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# What one test embedded must not be what another reads; those of the cache switch it on.
os.environ["SYNBENCH_CACHE_GB"] = "0"
os.environ["HF_EVALUATE_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
for _variable in ("HF_MODULES_CACHE", "HF_METRICS_CACHE", "HF_TOKEN", "HF_ENDPOINT", "HF_HUB_OFFLINE"):
    os.environ.pop(_variable, None)

import pytest  # noqa: E402

from .closed import sitecustomize  # noqa: E402, F401 - closes the sockets of this process

ROOT = Path(__file__).parent.parent
# They run in a session of their own, which has timm (see the Makefile).
collect_ignore = [] if importlib.util.find_spec("timm") else ["timm_models"]
# Child processes have no pytest: Python itself starts them with the same closed sockets.
_PATHS = [str(ROOT / "tests" / "closed"), os.environ.get("PYTHONPATH")]
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, _PATHS))


@pytest.fixture(scope="session", autouse=True)
def _registered():
    from synbench import register

    register()
    yield
    _HOME.cleanup()


@pytest.fixture(scope="session")
def metric():
    import evaluate

    return evaluate.load("synbench")
