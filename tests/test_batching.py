"""The batch size finds itself: it halves while memory runs out, and on no other error."""

import re
import subprocess
import sys

import numpy as np
import pytest
import torch

import synbench
from synbench import EncoderError, embedding
from synbench.batching import BatchSize, default_batch_size, out_of_memory

FULL = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    MemoryError("Unable to allocate 3 GiB for an array"),
    RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 99 bytes."),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("MPS backend out of memory (MPS allocated: 17 GB)"),
]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_ASSETS_CACHE", str(tmp_path / "assets"))
    monkeypatch.delenv("SYNBENCH_CACHE_GB")


class Narrow:
    """An encoder that takes a limited number of images at once."""

    def __init__(self, capacity, error):
        self.capacity, self.error, self.sizes = capacity, error, []

    def __call__(self, images):
        self.sizes.append(len(images))
        if len(images) > self.capacity:
            raise self.error
        return images.flatten(1)


def embed(model, images, **how):
    encoder = synbench.load_encoder(model, image_size=4)
    model.sizes.clear()
    spec = synbench.MixtureSpec(4)
    return embedding.embed_population(encoder, spec, 0, images, **how)


@pytest.mark.parametrize("error", FULL, ids=lambda e: type(e).__name__ + str(e)[:12])
def test_running_out_of_memory_halves_the_batch_and_loses_no_image(error):
    size, model = BatchSize(64), Narrow(20, error)
    rows = embed(model, 100, batch_size=size)
    # 64 and 32 fail, 16 fits; the images in hand are tried again, and no larger size ever is.
    assert model.sizes == [64, 32, 16, 16, 16, 16, 16, 16, 4]
    assert (size.size, size.tried) == (16, [64, 32])
    assert np.array_equal(rows.values, embed(Narrow(1000, error), 100, batch_size=100).values)


def test_no_batch_is_held_while_another_is_drawn(monkeypatch):
    import weakref

    from synbench.drawing import Renderer

    drawn, held, real = [], [], Renderer.population

    def population(self, rows):
        held.append(sum(image() is not None for image in drawn))
        images, coordinates = real(self, rows)
        drawn.append(weakref.ref(images))
        return images, coordinates

    class Full(Narrow):
        def __call__(self, images):
            # A new error each time: one that is kept would keep what it came from.
            self.error = MemoryError()
            try:
                return super().__call__(images)
            finally:
                del self.error

    monkeypatch.setattr(Renderer, "population", population)
    embed(Full(20, None), 100, batch_size=BatchSize(64))
    assert len(drawn) == 9
    assert held == [0] * 9


def test_it_goes_down_to_one_image_and_no_further():
    size, model = BatchSize(8), Narrow(0, MemoryError())
    with pytest.raises(MemoryError):
        embed_only(model, size)
    assert model.sizes == [8, 4, 2, 1]
    alone = Narrow(1, MemoryError())
    embed_only(alone, BatchSize(4))
    assert alone.sizes == [4, 2] + [1] * 12


def embed_only(model, size):
    """Embed twelve images with an encoder that is not tried when it is made."""
    free, model.capacity = model.capacity, 1000
    try:
        encoder = synbench.load_encoder(model, image_size=4)
    finally:
        model.capacity = free
    model.sizes.clear()
    embedding.embed_population(encoder, synbench.MixtureSpec(4), 0, 12, batch_size=size)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("out of memory, says somebody else"),
        RuntimeError("shapes cannot be multiplied"),
        RuntimeError("cuDNN error: CUDNN_STATUS_NOT_SUPPORTED. This may be for an input that is not contiguous."),
        KeyboardInterrupt(),
    ],
    ids=["value", "shapes", "unsupported", "interrupt"],
)
def test_no_other_error_is_tried_again(error):
    model, size = Narrow(20, error), BatchSize(64)
    with pytest.raises((EncoderError, KeyboardInterrupt)):
        embed(model, 100, batch_size=size)
    assert model.sizes == [64]
    assert size.size == 64


def test_a_size_that_was_asked_for_is_kept():
    model = Narrow(20, MemoryError())
    with pytest.raises(MemoryError):
        embed(model, 100, batch_size=64)
    assert model.sizes == [64]
    with pytest.raises(EncoderError, match=r"do not fit into memory .*Lower batch_size="):
        synbench.score(model, image_size=4, images=128, batch_size=64)


def test_the_score_is_the_same_and_the_report_says_so():
    report = synbench.score(Narrow(20, MemoryError()), image_size=4, images=512)
    whole = synbench.score(Narrow(1000, MemoryError()), image_size=4, images=512)
    assert report.settings.batch_size == 16
    assert [w for w in report.warnings if "batch size was lowered from 256 to 16 images, because memory ran out" in w]
    assert report.scores == whole.scores
    assert whole.settings.batch_size == 256


def test_the_size_that_was_found_is_remembered_for_the_model(monkeypatch):
    """A real model, whose forward pass fails above 40 images."""
    from synbench.encoders import Encoder

    real, sizes = Encoder.represent, []

    def narrow(self, images):
        sizes.append(len(images))
        if len(images) > 40:
            raise MemoryError
        return real(self, images)

    monkeypatch.setattr(Encoder, "represent", narrow)
    first = synbench.score("synbench:demo", images=512)
    # Pieces of 256 images: one at once, then in halves.
    assert [s for s in sizes if s > 8] == [256, 128, 64, *[32] * 16]
    sizes.clear()
    again = synbench.score("synbench:demo", images=512, seed=1)
    assert {s for s in sizes if s > 8} == {32}
    assert (first.settings.batch_size, again.settings.batch_size) == (32, 32)
    assert [w for w in first.warnings if "lowered from 256 to 32" in w]
    assert [w for w in again.warnings if "Batches had 32 images, as memory ran out above that before" in w]
    sizes.clear()
    synbench.score("synbench:demo", images=512, seed=1, fresh=True)
    assert 256 in sizes, "a fresh start tries anew"


def test_a_size_is_remembered_only_when_it_has_worked(monkeypatch):
    from synbench.encoders import Encoder

    def full(self, images):
        raise MemoryError

    with monkeypatch.context() as patched:
        synbench.load_encoder("synbench:demo")
        synbench.score("synbench:demo", images=64)
        patched.setattr(Encoder, "represent", full)
        with pytest.raises(EncoderError, match="do not fit into memory"):
            synbench.score("synbench:demo", images=128)
    after = synbench.score("synbench:demo", images=256)
    assert after.settings.batch_size == 256
    assert not [w for w in after.warnings if "atch" in w]


@pytest.mark.parametrize("value", [0, -4, "x", None, 10**9, True, [3]])
def test_a_remembered_size_that_makes_no_sense_is_not_used(value, monkeypatch):
    from synbench import cache

    monkeypatch.setattr(cache, "recall", lambda kind, key: {"size": value} if kind == "batch-sizes" else None)
    found = synbench.score("synbench:demo", images=64).settings.batch_size
    assert found == 256


@pytest.mark.parametrize("error", FULL, ids=lambda e: type(e).__name__ + str(e)[:12])
def test_every_way_of_running_out_is_known(error):
    assert out_of_memory(error)


def test_pieces_stay_when_the_size_shrinks():
    size = BatchSize(128)
    assert size.piece == 128
    size.shrink(MemoryError())
    assert (size.size, size.piece) == (64, 128)
    assert BatchSize(16, first=256).piece == 256, "what one process remembers does not move the pieces of all"
    assert [BatchSize(n).piece for n in (1, 7, 48, 64, 100, 256)] == [64, 70, 96, 64, 100, 256]


def test_default_sizes_are_powers_of_two_within_the_values_a_batch():
    for side in (1, 16, 32, 224, 384, 518, 1024, 4096):
        for device, values in (("cpu", 2.5e6), ("cuda:1", 4e7)):
            size = default_batch_size((3, side, side), device)
            assert size & (size - 1) == 0
            assert size == 1 or size * 3 * side * side <= values
            assert size == 256 or 2 * size * 3 * side * side > values


REAL = """
import resource, sys
import torch
import synbench
from synbench import batching

torch.set_num_threads(1)

class Hungry(torch.nn.Module):
    def forward(self, images):
        # 64 MB an image, for a moment.
        wide = torch.ones(len(images), 16_000_000)
        return images.flatten(1) + wide[:, :1]

synbench.score(Hungry(), image_size=4, images=64, batch_size=2)
now = int(next(line for line in open("/proc/self/status") if line.startswith("VmSize")).split()[1]) * 1024
resource.setrlimit(resource.RLIMIT_AS, (now + 1_000_000_000,) * 2)
report = synbench.score(Hungry(), image_size=4, images=64)
print(report.settings.batch_size, report.warnings)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the limit of a process's memory is read and set the Linux way")
def test_the_real_error_of_the_cpu_allocator_is_survived():
    done = subprocess.run([sys.executable, "-c", REAL], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    size, told = re.fullmatch(r"(\d+) (\[.*\])\n", done.stdout).groups()
    assert 2 <= int(size) <= 14, "of 64 MB an image, 15 fit into 1 GB"
    assert f"lowered from 64 to {size} images" in told or f"lowered from 256 to {size} images" in told


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_real_error_of_a_gpu_is_survived():
    class Hungry(torch.nn.Module):
        def forward(self, images):
            share = torch.cuda.get_device_properties(0).total_memory // 40
            wide = torch.ones(len(images), share // 4, device=images.device)
            return images.flatten(1) + wide[:, :1]

    report = synbench.score(Hungry(), image_size=4, images=128, device="cuda")
    assert report.settings.batch_size in (16, 32)
