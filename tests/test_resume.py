"""A study that is killed or interrupted anywhere goes on where it was, and comes to the same result."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

KILLS = 30


@pytest.mark.skipif(sys.platform == "win32", reason="forks")
def test_a_study_killed_at_thirty_random_moments_ends_as_if_nothing_had_happened(tmp_path):
    script = [sys.executable, "-m", "tests.killed", str(KILLS)]
    environment = {**os.environ, "HF_ASSETS_CACHE": str(tmp_path), "OMP_NUM_THREADS": "1", "SYNBENCH_CACHE_GB": "10"}
    done = subprocess.run(
        script,
        cwd=Path(__file__).parent.parent,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    whole, *cycles = json.loads(done.stdout)
    assert whole == {
        "kills": 0,
        "same": True,
        "from_cache": 0,
        "twice": 0,
        "pieces": 32,
        "half_written": 0,
        "images": 2048,
    }
    assert sum(cycle["kills"] for cycle in cycles) == KILLS
    for cycle in cycles:
        assert cycle["same"], "not the uninterrupted result, bit for bit"
        assert cycle["pieces"] == 32
        assert cycle["images"] == 2048
        assert cycle["twice"] <= cycle["kills"], "more was embedded twice than the piece in flight"
        assert cycle["half_written"] <= cycle["kills"]
    assert any(cycle["from_cache"] > 0 for cycle in cycles)


def test_an_interrupted_command_goes_on_from_the_cache(tmp_path):
    environment = {**os.environ, "HF_ASSETS_CACHE": str(tmp_path), "OMP_NUM_THREADS": "1", "SYNBENCH_CACHE_GB": "10"}
    command = [sys.executable, "-m", "synbench", "score", "--images", "65536", "--batch-size", "64", "--json"]
    # Where the tests run in the background, the signal is ignored by all that they start.
    answering = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.default_int_handler)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    run = subprocess.Popen(command, env=environment, **pipes, **answering)
    until = time.monotonic() + 120
    while len(list(tmp_path.rglob("*.safetensors"))) < 20:
        assert time.monotonic() < until
        assert run.poll() is None
        time.sleep(0.02)
    run.send_signal(signal.SIGINT)
    told, said = run.communicate(timeout=60)
    assert (run.returncode, told) == (130, "")
    assert "interrupted" in said
    assert "What is in the cache already is used by the next call." in said
    kept = len(list(tmp_path.rglob("*.safetensors")))
    again = subprocess.run(
        [*command[:5], "1024", *command[6:]], env=environment, capture_output=True, text=True, timeout=120, check=True
    )
    assert json.loads(again.stdout)["from_cache"] == min(64 * kept, 1024)
