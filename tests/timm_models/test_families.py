"""Every family of timm at its own size, some of them minutes long, so only when asked for (``make families``)."""

import contextlib
import signal

import pytest
import timm
import torch

import synbench
from synbench import timm_models
from tests.zoo.timm_section import timm_section

from . import families, small

ROWS = families.stored()["families"]
LIMIT_SECONDS = 900


@contextlib.contextmanager
def at_most(seconds):
    def stop(*_):
        raise TimeoutError(f"more than {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def test_the_table_holds_for_the_smallest_models():
    few = [row for row in ROWS if row["variant"].startswith("test_")]
    assert len(few) >= 8
    for row in few:
        assert families.measure(row["family"], row["variant"]) == row, "run make families-table"


def test_the_documents_get_a_row_a_family():
    lines = [line for line in timm_section().splitlines() if line.startswith("|")][2:]
    assert [line.split(" | ")[0].removeprefix("| ") for line in lines] == sorted(row["family"] for row in ROWS)
    assert "| convnext | `test_convnext` | `avg` | 160 | 64 |" in lines


@pytest.mark.slow
@pytest.mark.families
def test_the_table_has_every_family_of_this_timm():
    missing = set(timm.list_modules()) ^ {row["family"] for row in ROWS}
    assert not missing, f"change these in {families.TABLE.name} by hand, and run make families-table"
    assert families.stored()["timm"] == timm.__version__, "run make families-table"


@pytest.mark.slow
@pytest.mark.families
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["family"])
def test_a_family_gives_the_vectors_of_timm(row):
    with at_most(LIMIT_SECONDS), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = timm.create_model(row["variant"])
        assert row["variant"] in timm.list_models(module=row["family"])
        contract = timm_models.contract(model, None, None, None)
        pixels = small.images(contract.shape, 2)
        families.settle(model, contract.normalize(pixels))
        encoder = synbench.load_encoder(model)
        measured = {
            **{key: row[key] for key in ("family", "variant")},
            "pooling": families.pooling(model),
            "size": list(encoder.contract.shape[1:]),
            "dimension": encoder.record.dimension,
        }
        assert measured == row, "run make families-table"
        vectors = encoder(pixels)
        assert torch.isfinite(vectors).all()
        assert (vectors[0] - vectors[1]).abs().max() > 1e-5 * vectors.abs().max()
        largest = float(vectors.abs().max())
        torch.testing.assert_close(encoder(pixels[:1]), vectors[:1], rtol=1e-3, atol=1e-3 * largest)
        # Last, since it takes the classifier off.
        torch.testing.assert_close(vectors, small.natural(model, pixels), rtol=1e-5, atol=1e-5 * largest)
