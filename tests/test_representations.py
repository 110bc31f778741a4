"""Representations from outside: everything array-like is taken, everything wrong is refused with a sentence."""

import numpy as np
import pytest
import torch

from synbench import ArgumentError, RepresentationError
from synbench.representations import Representations, by_scale

Z, Y = np.arange(6.0).reshape(3, 2), np.array([0, 1, 1])


def checked(predictions=Z, references=Y, scales=1.0, splits="train", **known):
    return Representations.checked(predictions, references, scales, splits, **known)


@pytest.mark.parametrize(
    "predictions",
    [
        Z,
        Z.astype(np.float16),
        np.asfortranarray(Z),
        Z.tolist(),
        torch.tensor(Z),
        torch.tensor(Z, dtype=torch.bfloat16),
        torch.tensor(Z, dtype=torch.float16, requires_grad=True),
        [torch.tensor(row) for row in Z],
        list(Z),
        Z.astype(int),
    ],
    ids=["float64", "float16", "fortran", "list", "torch", "bfloat16", "gradient", "tensors", "arrays", "int"],
)
def test_array_likes_are_the_same(predictions):
    batch = checked(predictions)
    assert batch.values.dtype == np.float32
    assert np.array_equal(batch.values, Z)


@pytest.mark.parametrize("references", [Y, Y.tolist(), torch.tensor(Y), Y.astype(float), Y.astype(bool)])
def test_labels_come_in_any_number_type(references):
    assert checked(references=references).labels.tolist() == [0, 1, 1]


def test_scalars_serve_a_whole_batch():
    batch = checked(scales=np.float32(0.1), splits="test")
    assert batch.scales.tolist() == [float(np.float32(0.1))] * 3
    assert batch.splits == ["test"] * 3


def test_float32_and_float64_scales_are_one_scale():
    batches = [checked(scales=np.float32(s)) for s in (0.1, 0.7)] + [checked(scales=s) for s in (0.1, 0.7)]
    groups = list(by_scale(batches))
    assert [set(g.scales.tolist()) for g in groups] == [{0.1}, {0.7}]
    assert [len(g) for g in groups] == [6, 6]


def test_an_empty_batch_is_a_batch():
    batch = checked([], [], [], [])
    assert len(batch) == 0
    assert [len(g) for g in by_scale([batch, checked()])] == [3]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"predictions": Z[0]},
            r"representations of shape \(n, d\), numbers with d ≥ 1, got shape \(2,\) of float64\. Pool",
        ),
        ({"predictions": Z[None]}, r"got shape \(1, 3, 2\) of float64\. Pool or flatten"),
        ({"predictions": [["a", "b"]] * 3}, r"got shape \(3, 2\) of <U1"),
        ({"predictions": [[1.0], [1.0, 2.0], [3.0]]}, r"rows of one width, got rows of different lengths\. Embed"),
        (
            {"predictions": np.where(Z == 3, np.nan, Z)},
            r"finite representations, got NaN or infinity in 1 of 3 rows\. Use",
        ),
        ({"predictions": np.where(Z > 1, -np.inf, Z)}, r"NaN or infinity in 2 of 3 rows"),
        (
            {"references": [0, 1]},
            r"one label a representation, 3 in all, got labels of shape \(2,\)\. Pass references=",
        ),
        ({"references": None}, r"got labels of shape \(\)"),
        ({"references": [0, 1, 2]}, r"labels 0 or 1, the two classes of the mixture, got 2\. Pass"),
        ({"references": [0, 1, -1]}, r"got -1"),
        ({"references": [0, 1, 0.5]}, r"got 0\.5"),
        ({"references": np.array([0, 1, 1], dtype=object)}, r"labels 0 or 1, .* got 'dtype object'"),
        ({"predictions": torch.eye(3).to_sparse()}, r"expected a plain array, got Tensor .* Pass dense"),
        ({"predictions": torch.eye(3, device="meta")}, r"expected a plain array, got Tensor"),
        ({"references": ["a", "b", "a"]}, r"got 'a', 'b', 'a'"),
    ],
)
def test_bad_representations_are_refused(arguments, message):
    with pytest.raises(RepresentationError, match=message):
        checked(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scales": None}, r"each image's scale has to be known: pass scales= .* for the paper protocol also splits="),
        ({"coordinates": [1.0]}, r"expected coordinates as 3 numbers, one an image .*, got shape \(1,\)"),
        ({"draws": "0"}, r"expected draws as 3 whole numbers, one an image .* of <U1"),
        ({"draws": [0.0, 0.0, 1.0]}, r"expected draws as 3 whole numbers, .* of float64"),
        ({"coordinates": [0.0, 1e200, 1.0]}, r"expected coordinates as 3 numbers, one an image and none beyond 100"),
        ({"scales": [1.0]}, r"expected scales as 3 numbers, or one for the whole batch, got shape \(1,\)"),
        ({"scales": "1"}, r"expected scales as 3 numbers, .* of <U1"),
        ({"scales": [1.0, -1.0, 1.0]}, r"scales must lie in \(0, 1000\].*got -1"),
        ({"scales": [1.0, np.nan, 1.0]}, r"scales must be finite numbers"),
        ({"splits": "dev"}, r"expected splits as 3 times 'train' or 'test', or one for the whole batch, got 'dev'"),
        ({"splits": 5}, r"got 5"),
        ({"splits": [["train"]] * 3}, r"got \['train'\]"),
        ({"splits": ["train"]}, r"got 1 of them"),
    ],
)
def test_bad_places_are_refused(arguments, message):
    with pytest.raises(ArgumentError, match=message):
        checked(**arguments)


def test_huge_finite_values_are_not_taken_for_infinity():
    huge = np.full((3, 2), np.finfo(np.float32).max)
    assert np.array_equal(checked(huge).values, huge.astype(np.float32))


def test_values_that_float32_cannot_hold_are_refused():
    with pytest.raises(RepresentationError, match=r"NaN or infinity in 3 of 3 rows"):
        checked(np.full((3, 2), 1e300))


def test_widths_must_agree():
    with pytest.raises(
        RepresentationError, match=r"representations of one width d, got widths 1, 2\. Embed every image"
    ):
        list(by_scale([checked(), checked(Z[:, :1])]))
    with pytest.raises(RepresentationError, match=r"of one width d, got none"):
        list(by_scale([]))
