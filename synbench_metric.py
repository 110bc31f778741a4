"""The `evaluate` module of SynBench: one thin class over the package `synbench`, with no arithmetic of its own."""

import contextlib
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import datasets
import evaluate
import numpy as np
import pyarrow as pa

import synbench
from synbench.errors import ArgumentError
from synbench.preparing import prepare
from synbench.report import Report
from synbench.representations import Representations, by_scale
from synbench.scoring import Scored, beside, check_baseline, conclude, prepared_and_run, run
from synbench.settings import SCALES, Settings, make_settings, with_sizes
from synbench.study import Study

_DESCRIPTION = """\
SynBench tells how much of a known optimum a pretrained vision encoder keeps, without any data. It draws two Gaussian
classes in image space, where the best trade-off between accuracy and robustness is known in closed form, embeds them,
and reports how much of that optimum the representations keep: 1 is all of it, 0 is nothing.
"""

_CITATION = """\
@inproceedings{ko2024what,
  title     = {What Would Gauss Say About Representations?
               Probing Pretrained Image Models using Synthetic Gaussian Benchmarks},
  author    = {Ko, Ching-Yun and Chen, Pin-Yu and Das, Payel and Mohapatra, Jeet and Daniel, Luca},
  booktitle = {Proceedings of the 41st International Conference on Machine Learning},
  series    = {PMLR},
  volume    = {235},
  pages     = {24829--24858},
  year      = {2024}
}
"""

_INPUTS = """
Score a model, or representations that you made elsewhere.

With a model:
    model: Hub id, local folder, `torch.nn.Module`, or a callable from (n, C, H, W) float32 tensors to (n, d) arrays.
    protocol (`str`): "population" (default: one pass, with intervals) or "paper" (default where samples, splits or
        as_published are given).
    images (`int`): of the population protocol: images in all, at least 64; default 8192.
    target_stderr (`float`): of the population protocol: draw more until the headline's standard error is at most this.
    max_images (`int`): where to stop on the way there; default 65536.
    samples (`int`): of the paper protocol: images per scale and split, at least 3; default 2048.
    scales (list of `float`): half the distance between the class means in image space, in (0, 1000]; default
        0.1, 0.2, ..., 4.9.
    seed (`int`): of the drawn images, at least 0; default 0. Same seed, same number.
    direction (`str`): what the classes differ along: "uniform" (default), "random", or "texture": of the population
        protocol, and to be read by `kappa`, as its scores are mostly 0 (docs/validity.md).
    revision (`str`): branch, tag or commit on the Hub; the result holds the commit hash.
    pooling (`str`): "cls", "mean", "cls+mean", "pooler" or "projected"; default by the rule in docs/encoders.md.
    device (`str`): such as "cuda:0"; default the accelerator, or the CPU.
    dtype (`str`): "float32" (default), "bfloat16", "float16" or "float64"; a module keeps its own.
    batch_size (`int`): images a forward pass, at least 1; by default it is found: up to 256, halved while memory runs
        out. Does not change the pixels.
    cache (`bool`): keep representations in the Hugging Face assets cache and go on from there; default True.
    fresh (`bool`): use none that were kept before; default False.
    image_size (`int` or tuple): size, (height, width) or (channels, height, width) in pixels; default the Hub model's
        own; needed for a module or callable.
    image_mean, image_std (`float` or list): by channel, in pixel units of [0, 1]; default the Hub model's own, else no
        normalisation.
    trust_remote_code (`bool`): run the repository's own code; needs `revision` to be a commit hash; default False.
    untrained (`bool`): score the untrained twin, the same architecture with random weights; default False.
    baseline (`str`): "untrained" scores the untrained twin too, on the same images, and tells the difference.

With representations, here or by `add_batch` before:
    predictions: (n, d) finite numbers, one row an image.
    references: n labels, 0 or 1.
    scales: n scales, or one for the whole batch.
    splits: n times "train" or "test", or one for the whole batch; needed by the paper protocol, and asks for it.
    coordinates, draws: n numbers each, the columns `coordinate` and `draw` of the population protocol's images; with
        them the estimate is sharper, and without draws the mirrored images of `mixture()` count as independent, which
        they are not. `evaluate.combine` does not pass them on: use the paper protocol's images there.

With both:
    epsilons (list of `float`): robustness levels in [0, 1), relative to the norm of half the difference of the class
        means; default 0, 0.2, 0.4, 0.6, 0.8.
    thresholds (list of `float`): threshold accuracies in [0.6, 1); default 0.6, 0.65, ..., 0.95, 0.99.
    as_published (`bool`): reproduce the authors' script to the digit: absolute eigenvalue cut-off 1e-6, averages over
        batches of 256; default False, or True with the configuration "as_published".

Returns a flat dict: `synbench_score` (at epsilon 0 and threshold 0.7) with its `stderr` and 95 % `interval`, `meaning`
(a sentence), `scores`, `scores_stderr` and `scores_interval` (one row per epsilon, one column per threshold),
`epsilon_covariance` (for each threshold, of the errors of its scores; None under the paper protocol), `kappa`,
`kappa_stderr` and `kappa_interval` (one per epsilon: the share of the images' discriminability that is kept; None under
the paper protocol), `epsilons`, `thresholds`, `scales`, `accuracy` and `bound` (one row per epsilon, one column per
scale), `raw_accuracy`, `raw_bound`, `protocol`, `diagnostics`, `baseline`, `settings`, `warnings`, `schema_version`,
`seconds`, `images`, `from_cache` (how many of them were not embedded anew). What is undefined is None, with a warning.

Raises `synbench.ArgumentError`, `synbench.EncoderError` or `synbench.RepresentationError`; each says what was expected,
what came, and what to do.

Examples:

    >>> import evaluate
    >>> metric = evaluate.load("synbench")
    >>> result = metric.compute(model="synbench:demo", images=1024)
    >>> low, high = result["interval"]
    >>> low < result["synbench_score"] < high
    True
    >>> for batch in metric.mixture(image_size=8, images=1024).iter(64):
    ...     metric.add_batch(
    ...         predictions=batch["pixel_values"].reshape(len(batch["label"]), -1),
    ...         references=batch["label"],
    ...         scales=batch["scale"],
    ...         coordinates=batch["coordinate"],
    ...         draws=batch["draw"],
    ...     )
    >>> round(metric.compute()["kappa"][0], 6)
    1.0
"""

_CONFIGURATIONS = {"default": False, "as_published": True}
_ROWS = 4096


class Synbench(evaluate.Metric):
    """SynBench as an `evaluate` metric; `compute` scores a model, or the representations added so far."""

    # What evaluate keeps while rows are added.
    writer: Any
    filelock: Any
    filelocks: Any
    file_paths: Any
    cache_file_name: Any

    def _info(self) -> evaluate.MetricInfo:
        if self.config_name not in _CONFIGURATIONS:
            raise ArgumentError(
                f"config_name must be one of {', '.join(map(repr, _CONFIGURATIONS))}, got {self.config_name!r}."
            )
        info = evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_INPUTS,
            features=datasets.Features(
                {
                    "predictions": datasets.List(datasets.Value("float32")),
                    "references": datasets.Value("int64"),
                    "scales": datasets.Value("float64"),
                    "splits": datasets.Value("string"),
                }
            ),
            reference_urls=["https://arxiv.org/abs/2210.02989", "https://proceedings.mlr.press/v235/ko24a.html"],
        )
        # Not through the constructor, which refuses a format for anything but plain values.
        info.format = "arrow"
        return info

    def mixture(
        self,
        *,
        image_size: Any,
        protocol: str | None = None,
        images: int | None = None,
        split: str | None = None,
        samples: int | None = None,
        scales: Any = None,
        seed: int = 0,
        direction: Any = "uniform",
    ) -> datasets.Dataset:
        """Return the images to embed as a dataset; `pixel_values` are drawn when a row is read.

        Args:
            image_size: size, (height, width) or (channels, height, width); 3 channels by default.
            protocol: "population" or "paper"; as `compute`, "paper" where samples or a split are given.
            images: of the population protocol: images in all; default 8192.
            split: of the paper protocol: "train", "test", or both by default.
            samples: of the paper protocol: images per scale and split; default 2048.
            scales: default 0.1, 0.2, ..., 4.9.
            seed: same seed, same pixels.
            direction: of the class means: "uniform", "random", or an array in the shape of the image.
        """
        if protocol is None and split is not None:
            protocol = "paper"
        settings = with_sizes(make_settings(protocol=protocol, images=images, samples=samples, scales=scales))
        if split is not None and settings.protocol != "paper":
            raise ArgumentError("split= belongs to protocol='paper': the population protocol has no splits.")
        spec = synbench.MixtureSpec(image_size, SCALES if scales is None else scales, direction, seed)
        if settings.protocol == "population":
            return spec.to_population_dataset(settings.images or 0)
        return spec.to_dataset(settings.samples or 0, split)

    def add_batch(
        self,
        *,
        predictions: Any = None,
        references: Any = None,
        scales: Any = None,
        splits: Any = None,
        coordinates: Any = None,
        draws: Any = None,
        **kwargs: Any,
    ) -> None:
        """Add a batch of representations."""
        _refuse_unknown(kwargs)
        batch = Representations.checked(predictions, references, scales, splits, coordinates, draws)
        self._write(batch, divided=splits is not None)

    def _write(self, batch: Representations, *, divided: bool) -> None:
        if self.writer is None:
            # Not among the features that are told: evaluate.combine asks for every one of those.
            self.selected_feature_format = datasets.Features(
                {**self.features, "coordinates": datasets.Value("float64"), "draws": datasets.Value("int64")}
            )
            self._init_writer()
        # Written as Arrow columns: evaluate's own way makes a Python object of each number.
        for start in range(0, max(len(batch), 1), _ROWS):
            rows = slice(start, start + _ROWS)
            values = batch.values[rows]
            offsets = np.arange(len(values) + 1, dtype=np.int32) * values.shape[1]
            columns = {
                "predictions": pa.ListArray.from_arrays(pa.array(offsets), pa.array(values.reshape(-1))),
                "references": pa.array(batch.labels[rows]),
                "scales": pa.array(batch.scales[rows]),
                "splits": pa.array(batch.splits[rows] if divided else [""] * len(values), type=pa.string()),
                "coordinates": pa.array(batch.coordinates[rows]),
                "draws": pa.array(batch.draws[rows]),
            }
            self.writer.write_table(pa.table(columns))

    def add(
        self, *, prediction: Any = None, reference: Any = None, scales: Any = None, splits: Any = None, **kwargs: Any
    ) -> None:
        """Add one representation."""
        # evaluate.combine passes the names of the features, which are plural.
        prediction, reference = kwargs.pop("predictions", prediction), kwargs.pop("references", reference)
        one = {name: [value] for name in ("coordinates", "draws") if (value := kwargs.pop(name, None)) is not None}
        self.add_batch(predictions=[prediction], references=[reference], scales=scales, splits=splits, **one, **kwargs)

    def compute(
        self,
        *,
        predictions: Any = None,
        references: Any = None,
        scales: Any = None,
        splits: Any = None,
        coordinates: Any = None,
        draws: Any = None,
        model: Any = None,
        protocol: str | None = None,
        images: int | None = None,
        target_stderr: float | None = None,
        max_images: int | None = None,
        samples: int | None = None,
        epsilons: Any = None,
        thresholds: Any = None,
        seed: int = 0,
        direction: str | None = None,
        revision: str | None = None,
        pooling: str | None = None,
        device: Any = None,
        dtype: Any = None,
        batch_size: int | None = None,
        cache: bool = True,
        fresh: bool = False,
        image_size: Any = None,
        image_mean: Any = None,
        image_std: Any = None,
        trust_remote_code: bool = False,
        untrained: bool = False,
        baseline: str | None = None,
        as_published: bool | None = None,
        **kwargs: Any,
    ) -> dict[str, Any] | None:
        """Return the score of a model, or of the representations given or added so far."""
        _refuse_unknown(kwargs)
        began = time.perf_counter()
        asked = {
            "protocol": protocol,
            "epsilons": epsilons,
            "thresholds": thresholds,
            "as_published": _CONFIGURATIONS[self.config_name] if as_published is None else as_published,
        }
        for_model = {
            "revision": revision,
            "pooling": pooling,
            "device": device,
            "dtype": dtype,
            "batch_size": batch_size,
            "image_size": image_size,
            "image_mean": image_mean,
            "image_std": image_std,
            "trust_remote_code": trust_remote_code,
            "fresh": fresh,
        }
        sizes = {"images": images, "target_stderr": target_stderr, "max_images": max_images, "samples": samples}
        check_baseline(baseline, untrained)
        # What can be refused is refused first, so that rows added before are not lost to a typo.
        rows = {
            "predictions": predictions,
            "references": references,
            "splits": splits,
            "coordinates": coordinates,
            "draws": draws,
        }
        if model is None:
            given = [
                name
                for name, value in {
                    **for_model,
                    **sizes,
                    "direction": direction,
                    "untrained": untrained,
                    "baseline": baseline,
                }.items()
                if value is not None and value is not False
            ]
            given += ["seed"] * (seed != 0) + ["cache"] * (cache is not True)
            if given:
                raise ArgumentError(f"{', '.join(given)} need model=: added representations are scored as they are.")
            make_settings(**asked)
            studies: list[Study] = []
            if any(value is not None for value in (*rows.values(), scales)):
                self.add_batch(**rows, scales=scales)
            elif self.writer is None:
                raise ArgumentError(
                    "nothing to score: pass model=, or predictions= with references= and scales=, or call "
                    "add_batch() first."
                )
        else:
            if any(value is not None for value in rows.values()) or self.writer is not None:
                raise ArgumentError(
                    "pass model= or representations, not both; compute() what was added before without model= first."
                )
            settings = make_settings(**asked, **sizes, scales=scales, seed=seed, direction=direction)
            twins = [untrained] if baseline is None else [False, True]
            how = {"cache": cache, "clear": self.process_id == 0, **for_model}
            if self.num_process == 1:
                return prepared_and_run(model, settings, twins, began=began, **how).report.to_dict()
            studies = [prepare(model, settings, untrained=twin, **how) for twin in twins]
        try:
            if studies:
                # Every process embeds its own share; gathering, locking and None off the main one are evaluate's.
                for part in studies[0].embed(share=(self.process_id, self.num_process)):
                    self._write(part, divided=studies[0].settings.protocol == "paper")
            result: dict[str, Any] | None = super().compute(asked=asked, studies=studies, began=began)
            return result
        finally:
            self._start_over()

    def _compute(
        self,
        *,
        predictions: pa.ChunkedArray,
        references: pa.ChunkedArray,
        scales: pa.ChunkedArray,
        splits: pa.ChunkedArray,
        asked: dict[str, Any],
        studies: list[Study],
        began: float,
    ) -> dict[str, Any]:
        columns = {
            "labels": references.to_numpy(),
            "scales": scales.to_numpy(),
            "test": np.asarray(splits.to_pylist(), dtype=object) == "test",
            **{name: self._column(name) for name in ("coordinates", "draws")},
        }
        batches = _batches(predictions, columns)
        if studies:
            settings, study = studies[0].settings, studies[0]
        else:
            settings, study = _settings_of_rows(asked, splits), None
        parts = by_scale(batches) if settings.protocol == "paper" else batches
        processes = self.num_process if studies else 1
        scored = conclude(parts, settings, study=study, began=began, processes=processes)
        return _beside(scored, studies).to_dict()

    def _column(self, name: str) -> np.ndarray:
        """Return a column that evaluate does not hand on."""
        stored: Any = self.data
        values: np.ndarray = stored[name][:].to_numpy()
        return values

    def _start_over(self) -> None:
        """Leave nothing behind.

        evaluate keeps its files and locks when an error comes between, and reuses the file names of a distributed
        round, so that a fast process overwrites what the main one still reads.
        """
        self.data = None
        if self.writer is not None:
            with contextlib.suppress(Exception):
                self.writer.close()
        own = [(self.filelock, self.cache_file_name)]
        for lock, path in [*zip(self.filelocks or [], self.file_paths or [], strict=True), *own]:
            if path is not None:
                Path(path).unlink(missing_ok=True)
            if lock is not None:
                lock.release(force=True)
        self.writer = self.buf_writer = self.cache_file_name = None
        self.filelock = self.rendez_vous_lock = self.file_paths = self.filelocks = None
        if self.num_process > 1:
            name, _, number = self.info.experiment_id.partition("@")
            self.info.experiment_id = f"{name}@{int(number or 0) + 1}"


def _beside(scored: Scored, studies: list[Study]) -> Report:
    """Return the report, with the untrained twin's beside it if there is a second study."""
    return (scored if len(studies) < 2 else beside(scored, run(studies[1]))).report


def _settings_of_rows(asked: dict[str, Any], splits: pa.ChunkedArray) -> Settings:
    """Return the settings for rows that were added: the paper protocol where each has a split."""
    found = splits.unique().to_pylist()
    divided = "" not in found
    if not divided and len(found) > 1 and asked["protocol"] is None:
        raise ArgumentError(
            "some rows have a split and some have none: pass splits= with every batch, or with none, or say which "
            "protocol= is meant."
        )
    if asked["protocol"] is None and divided:
        asked = {**asked, "protocol": "paper"}
    settings = make_settings(**asked)
    if settings.protocol == "paper" and not divided:
        raise ArgumentError(
            "the paper protocol needs to know each image's split: pass splits= ('train' and 'test', or one for the "
            "whole batch) with every batch, or ask for protocol='population'."
        )
    return settings


def _batches(predictions: pa.ChunkedArray, columns: dict[str, np.ndarray]) -> list[Representations]:
    """Return the rows as they lie in the file, without a copy of the representations."""
    found, start = [], 0
    for chunk in predictions.chunks:
        # A file can hold batches of different widths: each run of one width is a batch of its own.
        widths = np.diff(chunk.offsets.to_numpy())
        edges = [0, *(np.flatnonzero(np.diff(widths)) + 1).tolist(), len(chunk)]
        for first, last in pairwise(edges):
            if last > first:
                values = chunk[first:last].flatten().to_numpy(zero_copy_only=True).reshape(last - first, -1)
                rows = slice(start + first, start + last)
                found.append(Representations(values, **{name: column[rows] for name, column in columns.items()}))
        start += len(chunk)
    return found


def _refuse_unknown(arguments: dict[str, Any]) -> None:
    if arguments:
        raise ArgumentError(f"unknown argument {', '.join(map(repr, arguments))}; see help(metric.compute).")
