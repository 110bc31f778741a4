"""Two real processes embed together: every image once, in order, and the same number as one process alone."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from synbench.stretches import Stretch, share_out

from .launched import BATCH, STUDIES

ROOT = Path(__file__).parent.parent
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
ACCELERATE = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
ACCELERATE += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]


def start(arguments, **environment):
    # One thread each: the order of a sum depends on how many there are.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    return subprocess.run(
        arguments, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """What one process alone got, and what each of two got."""
    folders = [tmp_path_factory.mktemp(name) for name in ("alone", "two")]
    for folder, launcher in zip(folders, ([sys.executable], TORCHRUN), strict=True):
        done = start([*launcher, "-m", "tests.launched", str(folder)])
        assert done.returncode == 0, done.stderr
    one, both = ([json.loads(file.read_text()) for file in sorted(folder.iterdir())] for folder in folders)
    assert (len(one), len(both)) == (1, 2)
    return one[0], both


def told(report):
    """Return a report without what may differ: time, and how many processes made it."""
    settings = {name: value for name, value in report["settings"].items() if name != "processes"}
    return {**{name: value for name, value in report.items() if name != "seconds"}, "settings": settings}


@pytest.mark.slow
@pytest.mark.parametrize("name", STUDIES)
def test_two_processes_get_the_number_of_one(results, name):
    alone, both = results
    for process in both:
        report = process[name]["report"]
        assert report["settings"]["processes"] == 2
        assert told(report) == told(alone[name]["report"]), "not bit for bit"
    assert alone[name]["report"]["settings"]["processes"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", STUDIES)
def test_every_image_is_embedded_exactly_once(results, name):
    alone, both = results
    shares = [process[name]["embedded"] for process in both]
    assert all(shares), "one process did nothing"

    def images(stretches):
        return [(part, trained, i) for part, trained, start, stop in stretches for i in range(start, stop)]

    together = [image for share in shares for image in images(share)]
    assert len(together) == len(set(together))
    assert sorted(together) == sorted(images(alone[name]["embedded"]))
    trained = [image for image in together if image[1]]
    assert len(trained) == alone[name]["report"]["images"]
    if name.isdigit():
        assert len(trained) == int(name)


@pytest.mark.slow
def test_what_the_main_process_asks_for_in_addition_is_shared_too(results):
    alone, both = results
    assert alone["more"]["report"]["images"] > 512
    assert all(any(start >= 512 for _, _, start, _ in process["more"]["embedded"]) for process in both)


@pytest.mark.slow
def test_a_comparison_is_the_same(results):
    alone, both = results
    assert [process["compare"] for process in both] == [alone["compare"]] * 2


@pytest.mark.slow
def test_an_error_of_one_process_is_raised_by_all(results):
    _, both = results
    for process in both:
        assert [bool(re.search(f"process {k} stumbles", process["errors"][k])) for k in (0, 1)] == [True, True]


@pytest.mark.slow
def test_the_command_speaks_once(tmp_path):
    environment = {"HF_ASSETS_CACHE": str(tmp_path), "SYNBENCH_CACHE_GB": "10"}
    options = ["score", "--images", "256", "--batch-size", str(BATCH), "--json", "--device", "cpu"]
    launched = start([*ACCELERATE, "-m", "synbench", *options], **environment)
    assert launched.returncode == 0, launched.stderr
    report = json.loads(launched.stdout)
    assert report["settings"]["processes"] == 2
    (damaged,) = tmp_path.rglob("*.000000192-000000256.safetensors")
    damaged.write_bytes(damaged.read_bytes()[:-1])
    again = json.loads(start([*TORCHRUN, "-m", "synbench", *options], **environment).stdout)
    assert again["from_cache"] == 192
    assert [w for w in again["warnings"] if "images 192 to 255" in w], "the second process saw it, the first tells it"
    alone = start([sys.executable, "-m", "synbench", *options, "--no-cache"], **environment)
    assert told({**json.loads(alone.stdout), "from_cache": 0}) == told(report)


@pytest.mark.slow
def test_the_command_refuses_once(tmp_path):
    done = start([*TORCHRUN, "-m", "synbench", "score", str(tmp_path / "nothing"), "--device", "cpu"])
    assert done.returncode != 0
    assert done.stderr.count("synbench: cannot load") == 1
    assert "exitcode  : 3" in done.stderr


THROUGH_EVALUATE = """
import json, sys, evaluate, torch
from synbench.embedding import Embedder
torch.set_num_threads(1)
embedded, real = [], Embedder._pass
def noted(self, stretch):
    embedded.append([stretch.start, stretch.stop])
    return real(self, stretch)
Embedder._pass = noted
rank, count = int(sys.argv[1]), int(sys.argv[2])
metric = evaluate.load("synbench", num_process=count, process_id=rank, experiment_id=sys.argv[3])
for images in (82, 99, 512):
    embedded.clear()
    result = metric.compute(model="synbench:demo", images=images, batch_size=16, device="cpu")
    print(json.dumps([embedded, result]))
"""


@pytest.mark.slow
def test_so_does_evaluates_own_way_of_several_processes(tmp_path):
    def run(count):
        started = [
            subprocess.Popen(
                [sys.executable, "-c", THROUGH_EVALUATE, str(rank), str(count), f"pieces-{tmp_path.name}"],
                env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )
            for rank in range(count)
        ]  # fmt: skip
        outputs = [process.communicate(timeout=120) for process in started]
        assert [process.returncode for process in started] == [0] * count, outputs
        return [[json.loads(line) for line in told.splitlines()] for told, _ in outputs]

    (alone,), both = run(1), run(2)
    for number, images in enumerate((82, 99, 512)):
        shares = [process[number][0] for process in both]
        assert all(shares), "one process did nothing"
        assert [i for share in shares for start, stop in share for i in range(start, stop)] == list(range(images))
        (_, result), (_, nothing), (_, expected) = both[0][number], both[1][number], alone[number]
        assert nothing is None
        assert result["settings"]["processes"] == 2
        assert result["images"] == images
        # Of processes that evaluate brings together, none knows what the others found in the cache.
        assert told({**result, "from_cache": 0}) == told(expected)


def test_a_process_that_was_set_up_to_be_alone_is_told_so(monkeypatch):
    from accelerate import PartialState

    from synbench import ArgumentError
    from synbench.processes import launched

    PartialState()
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert launched("cpu").count == 1, "a cluster sets it too, for its own use"
    monkeypatch.setenv("LOCAL_RANK", "0")
    with pytest.raises(ArgumentError, match=r"expected to embed together with the 2 processes .* set up to be alone"):
        launched("cpu")


@pytest.mark.parametrize("images", [1, 63, 64, 82, 99, 512, 1000])
@pytest.mark.parametrize("processes", [1, 2, 3, 7, 64])
def test_shares_are_consecutive_and_make_the_whole(images, processes):
    stretches = [Stretch(0, images, "train", 1.0), Stretch(0, images, "test", 1.0)]
    shares = [share_out(stretches, 64, (p, processes)) for p in range(processes)]
    joined = [piece for share in shares for piece in share]
    assert joined == [piece for stretch in stretches for piece in stretch.pieces(64)]
    assert [(p.part, i) for p in joined for i in range(p.start, p.stop)] == [
        (s.part, i) for s in stretches for i in range(images)
    ]
    counts = [len(share) for share in shares]
    assert max(counts) - min(counts) <= 1


def test_vectors_that_are_missing_from_the_gathered_ones_are_noticed(monkeypatch):
    from synbench import RepresentationError
    from synbench.preparing import prepare
    from synbench.processes import Processes
    from synbench.settings import make_settings

    class Deaf(Processes):
        def gather(self, part):
            return [part]

        def from_main(self, value):
            return value

    study = prepare(lambda images: images.flatten(1), make_settings(images=128), image_size=4, processes=Deaf(0, 2))
    with pytest.raises(RepresentationError, match=r"expected .* 128 images from 2 processes, .* got 0 of 0"):
        next(study.embed())
    assert share_out([Stretch(0, 128)], 256, (0, 2)) == []
