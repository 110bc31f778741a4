"""How right the population protocol is: its bias, its error, its intervals, its power, and the ties it declares.

    python benchmarks/population.py                     all studies, about an hour on one core
    python benchmarks/population.py --only interval     one of truth, interval, power, ties

Each study prints Markdown tables and writes them to OUT/population-STUDY.md, with every number they are made of in
OUT/population-STUDY.json, and figures, drawn from that JSON, in docs/population/. A case that the JSON holds already
is not run again, so a study that was cut off goes on where it stopped; ``--again NAME`` runs the cases again that have
this in their name, ``--fresh`` all. The truths of the networks stay in OUT/population-truths.json.

- truth: linear encoders, whose κ_ε is known exactly, and networks with random weights, whose κ_ε was measured from
  205,800 or 411,600 plain images. Bias and RMSE of κ_ε and of the score over disjoint studies of 1,024 to 16,384
  images, for three estimators that see the same images, and for the paper protocol at equal cost and at its own.
- interval: how many of the 95 % intervals contain the truth.
- power: how many images tell two encoders apart whose κ differ by about 3 %, on the same images and on others.
- ties: how often a leaderboard of 20 encoders separates two that are equal, or ranks two the wrong way round.

Predicted: at N = 4,096 a relative RMSE of κ at ε = 0 of at most 1.5 % for d ≤ 384, at N = 8,192 for d ≤ 768, and at
most 3 % at every ε; coverage of 93 to 97 %; false separations in at most 5 % of leaderboards.
"""

import json
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _population_figures import draw_all
from _population_truth import (
    NETWORKS,
    PLAIN_IMAGES,
    SIDE,
    Linear,
    Truth,
    floor,
    gaussian_scores,
    network,
    rivals,
    seen_score,
    truth,
    unit_directions,
)
from _timing import machine, markdown, note, parser
from scipy.stats import norm

import synbench
from synbench import curve, paper, population, separation, uncertainty
from synbench.design import design
from synbench.embedding import embed, embed_population
from synbench.encoders import Encoder
from synbench.representations import Representations
from synbench.settings import EPSILONS, HEADLINE_THRESHOLD, SCALES

STUDIES = ("truth", "interval", "power", "ties")
COUNTS = (1024, 2048, 4096, 8192, 16384)
SHAPE = (3, SIDE, SIDE)
STUDIES_A_CASE = 20
KEPT = ("kappa", "kappa_stderr", "score", "score_stderr")
PAPER_IMAGES = 200_704
NEEDED = (float(norm.ppf(0.975)) + float(norm.ppf(0.8))) ** 2
"""A difference of √NEEDED standard errors is significant at 5 % with 80 % power."""

LINEAR = (
    Linear(16, 0, 0.9),
    Linear(64, 2, 0.3),
    Linear(64, 4, 0.15, tilt=1.0),
    Linear(384, 4, 0.17),
    Linear(384, 1, 0.6),
    Linear(1024, 2, 0.3),
)
QUICK_ONES = ("ViT d=64", "MLP d=128")
"""Networks whose truth can be had from twice as many images."""

OWN_COST = {LINEAR[1].name: 2, LINEAR[4].name: 2, "ViT d=64": 1, "ConvNeXt d=192": 1, "MLP d=128": 1}
"""Seeds of the paper protocol at its own 200,704 images."""

METHODS = {
    "plug-in": "plug-in",
    "sketch": "mean of plug-in and cross-fit",
    "ours": "ours",
    "paper": "paper, same cost",
}


@dataclass(frozen=True)
class Run:
    """Where a study reads and writes, and how much it does."""

    out: Path
    figures: Path
    quick: bool
    fresh: bool
    again: str | None = None

    def kept(self, study: str) -> dict[str, Any]:
        """Return what is known of a study."""
        path = self.out / f"population-{study}.json"
        known: dict[str, Any] = json.loads(path.read_text()) if path.exists() and not self.fresh else {}
        return {name: case for name, case in known.items() if not self.again or self.again not in name}

    def cases(self, study: str, wanted: dict[str, Callable[[], Any]]) -> dict[str, Any]:
        """Run the cases that are not known yet, and write after each."""
        known = self.kept(study)
        for name, run in wanted.items():
            if name in known:
                continue
            began = time.perf_counter()
            note(f"{study}: {name}")
            known[name] = _rounded(run())
            known[name]["seconds"] = round(time.perf_counter() - began)
            self.out.mkdir(parents=True, exist_ok=True)
            (self.out / f"population-{study}.json").write_text(json.dumps(known) + "\n")
        ordered = {name: known[name] for name in wanted}
        (self.out / f"population-{study}.json").write_text(json.dumps(ordered) + "\n")
        return ordered

    def truth(self, name: str) -> Truth:
        """Return the truth of a network."""
        return truth(
            name,
            self.out / "population-truths.json",
            40 if self.quick else 2 * PLAIN_IMAGES if name in QUICK_ONES else PLAIN_IMAGES,
        )

    def report(self, study: str, parts: Iterable[str]) -> None:
        """Print tables and write them."""
        head = f"{machine()}{'. A smoke run: these numbers mean nothing' if self.quick else ''}.\n"
        text = "\n".join([head, *parts])
        print(text, flush=True)
        (self.out / f"population-{study}.md").write_text(text + "\n")


def _rounded(value: Any) -> Any:
    """Return JSON with five digits a number."""
    if isinstance(value, dict):
        return {str(k): _rounded(v) for k, v in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_rounded(v) for v in value]
    if isinstance(value, float | np.floating):
        return float(f"{value:.5g}") if np.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value


def percent(value: float, digits: int = 1) -> str:
    """Write a share."""
    return "–" if not np.isfinite(value) else f"{100 * value:.{digits}f} %"


def array(values: Any) -> np.ndarray:
    """Read numbers from JSON, where NaN is null."""
    return np.array(values, dtype=np.float64)


# Truth


@dataclass(frozen=True)
class Case:
    """An encoder whose κ is known, and where its representations come from."""

    name: str
    dimension: int
    kappa: np.ndarray
    kappa_stderr: np.ndarray
    score: np.ndarray
    score_stderr: np.ndarray
    rows: Callable[[int, int], Representations]
    paper_rows: Callable[[int, int], Iterable[Representations]]
    runs: int
    rival_runs: int
    paper_runs: int


def linear_case(encoder: Linear, runs: int) -> Case:
    wide = encoder.dimension > 400
    nothing = np.zeros(len(EPSILONS))
    return Case(
        encoder.name,
        encoder.dimension,
        encoder.truth,
        nothing,
        encoder.true_scores[:, 1],
        nothing,
        lambda images, run: encoder.rows(images, run),
        encoder.paper_rows,
        runs,
        min(runs, 8) if wide else runs,
        1 if wide else min(runs, 5),
    )


def network_case(name: str, known: Truth, runs: int) -> Case:
    encoder = network(name)
    spec = synbench.MixtureSpec(SHAPE)
    d = encoder.record.dimension
    return Case(
        name,
        d,
        np.array(known.kappa),
        np.array(known.kappa_stderr),
        np.array(known.scores)[:, 1],
        np.array(known.score_stderr)[:, 1],
        # Parts of one long run: no draw is in two of them.
        lambda images, run: embed_population(encoder, spec, run * images, (run + 1) * images, progress=False),
        lambda samples, run: embed(encoder, replace_seed(spec, run), samples, progress=False),
        runs,
        min(runs, 4) if d > 400 else runs,
        1 if d > 300 else min(runs, 3),
    )


def replace_seed(spec: synbench.MixtureSpec, seed: int) -> synbench.MixtureSpec:
    return synbench.MixtureSpec(spec.image_shape, seed=seed)


def ours(rows: Representations, epsilons: Sequence[float] = EPSILONS) -> dict[str, Any]:
    """Return κ and the score of every ε, with errors and intervals."""
    found = population.estimate(rows, SCALES, epsilons)
    scores = uncertainty.population_scores(found, [0.6, 0.7])
    low, high = uncertainty.kappa_interval(found.squared[0], found.stderr[0], found.most)
    kappa = found.kappas[0]
    return {
        "kappa": kappa,
        "kappa_stderr": found.stderr[0] / np.maximum(2 * kappa, 1e-9),
        "kappa_low": low,
        "kappa_high": high,
        "score": scores.values[:, 1],
        "score_stderr": scores.stderr[:, 1],
        "score_low": scores.lower[:, 1],
        "score_high": scores.upper[:, 1],
        "low_threshold": [scores.values[:, 0], scores.stderr[:, 0], scores.lower[:, 0], scores.upper[:, 0]],
    }


def paper_score(rows: Iterable[Representations], counts: Sequence[int]) -> dict[int, list[float]]:
    """Return the paper protocol's scores from the first images of each split, for several numbers of them."""
    parts = list(rows)
    found = {}
    for n in counts:
        cut = [part.select(_of_split(part, n)) for part in parts]
        seen = paper.estimate(cut, EPSILONS)
        found[n] = curve.scores(seen.accuracy, seen.bound, seen.scales, [HEADLINE_THRESHOLD])[:, 0].tolist()
    return found


def _of_split(part: Representations, count: int) -> np.ndarray:
    kept = np.zeros(len(part), dtype=bool)
    for test in (False, True):
        kept[np.flatnonzero(part.test == test)[:count]] = True
    return kept


def measure_case(case: Case, counts: Sequence[int]) -> dict[str, Any]:
    """Return what every estimator says of an encoder, run by run."""
    methods: dict[str, dict[int, dict[str, list]]] = {m: {n: {} for n in counts} for m in METHODS}

    def keep(method: str, count: int, values: dict[str, Any]) -> None:
        for key, value in values.items():
            methods[method][count].setdefault(key, []).append(value)

    for run in range(case.runs):
        rows = case.rows(max(counts), run)
        # Where there are few long runs, each is several short studies.
        pieces = [(n, k) for n in counts for k in range(min(max(counts) // n, -(-STUDIES_A_CASE // case.runs)))]
        for count, k in pieces:
            part = rows.select(np.arange(len(rows)) // count == k)
            keep("ours", count, {k: v for k, v in ours(part).items() if k in KEPT})
            if run < case.rival_runs:
                for method, kappa in zip(("plug-in", "sketch"), rivals(part), strict=True):
                    keep(method, count, {"kappa": kappa, "score": gaussian_scores(np.nan_to_num(kappa, nan=0))})
    samples = {count: count // 98 for count in counts if count // 98 >= 16}
    for run in range(case.paper_runs if samples else 0):
        found = paper_score(case.paper_rows(max(samples.values()), run), list(samples.values()))
        for count, n in samples.items():
            keep("paper", count, {"score": found[n]})
    own = []
    if max(counts) == COUNTS[-1]:
        own = [
            paper_score(case.paper_rows(PAPER_IMAGES // 98, 100 + run), [PAPER_IMAGES // 98])[PAPER_IMAGES // 98]
            for run in range(OWN_COST.get(case.name, 0))
        ]
    return {
        "dimension": case.dimension,
        "kappa": case.kappa,
        "kappa_stderr": case.kappa_stderr,
        "score": case.score,
        "score_stderr": case.score_stderr,
        "methods": methods,
        "paper_own_cost": own,
    }


def truth_study(run: Run) -> None:
    counts = (256, 512) if run.quick else COUNTS
    encoders = LINEAR[:2] if run.quick else LINEAR
    names = list(NETWORKS)[:1] if run.quick else list(NETWORKS)

    def runs(dimension: int) -> int:
        return 2 if run.quick else 20 if dimension > 100 else 40

    wanted: dict[str, Callable[[], Any]] = {}
    for encoder in encoders:
        wanted[encoder.name] = lambda e=encoder: measure_case(linear_case(e, runs(e.dimension)), counts)
    for name in names:
        long_runs = 2 if run.quick else 10 if "768" in name else 20
        wanted[name] = lambda k=name, n=long_runs: measure_case(network_case(k, run.truth(k), n), counts)
    cases = run.cases("truth", wanted)
    truths = {name: run.truth(name) for name in names}
    for name, known in truths.items():
        # The truth as it is known now: more images may have made it sharper since the case was run.
        scores, errors = np.array(known.scores)[:, 1].tolist(), np.array(known.score_stderr)[:, 1].tolist()
        true = {"kappa": known.kappa, "kappa_stderr": known.kappa_stderr, "score": scores, "score_stderr": errors}
        cases[name] = {**cases[name], **true}
    largest, middle = max(counts), counts[len(counts) // 2]
    parts = [_response_table(truths)]
    parts += [_kappa_table(cases, counts, e) for e in (0, 2, 4)]
    parts += [_epsilon_table(cases, n) for n in sorted({middle, min(8192, largest)})]
    parts += [_score_table(cases, counts), _own_cost_table(cases), _verdicts(cases, counts)]
    run.report("truth", parts)


def relative(case: dict[str, Any], method: str, count: int) -> np.ndarray:
    """Return the relative error of κ, run by run and by ε."""
    found = case["methods"][method].get(str(count), {}).get("kappa")
    return array(found) / array(case["kappa"]) - 1 if found else np.full((1, len(EPSILONS)), np.nan)


def rms(values: np.ndarray) -> np.ndarray:
    """Return the root of the mean square of each column."""
    root: np.ndarray = np.sqrt(np.mean(values**2, axis=0))
    return root


def _response_table(truths: dict[str, Truth]) -> str:
    rows = []
    for name, known in truths.items():
        apart = [f"{k[0]:.4f} ± {e[0]:.4f}" for k, e in zip(known.by_group, known.by_group_stderr, strict=True)]
        rows.append(
            [
                name,
                f"{known.kappa[0]:.4f}",
                percent(known.kappa_stderr[0] / known.kappa[0], 2),
                *apart,
                f"{known.kappa[3]:.4f}",
                f"{known.skewness:.2f}",
                f"{known.excess_kurtosis:.2f}",
            ]
        )
    headings = [
        "network",
        "κ",
        "its standard error",
        *[f"s {names}" for names in ("up to 1.6", "1.7 to 3.2", "3.3 to 4.9")],
    ]
    return markdown(
        "Truths of the networks, from plain images; ε = 0 where nothing else is said",
        [*headings, "κ at ε = 0.6", "skewness", "excess kurtosis"],
        rows,
    )


def _kappa_table(cases: dict[str, Any], counts: Sequence[int], e: int) -> str:
    rows = []
    for name, case in cases.items():
        for method in ("plug-in", "sketch", "ours"):
            cells = []
            for count in counts:
                wrong = relative(case, method, count)[:, e]
                cells.append(f"{100 * wrong.mean():+.1f} / {100 * rms(wrong):.1f}" if np.isfinite(wrong).all() else "–")
            rows.append([name, METHODS[method], *cells])
        if not e:
            least = [percent(floor(case["kappa"][0], n, case["dimension"])) for n in counts]
            rows.append([name, "floor", *["– / " + v.removesuffix(" %") if v != "–" else v for v in least]])
    return markdown(
        f"Relative bias / RMSE of κ in per cent, ε = {EPSILONS[e]:g}, by number of images",
        ["encoder", "estimator", *map(str, counts)],
        rows,
    )


def _epsilon_table(cases: dict[str, Any], count: int) -> str:
    rows = []
    for name, case in cases.items():
        wrong = relative(case, "ours", count)
        cells = [f"{100 * b:+.1f} / {100 * r:.1f}" for b, r in zip(wrong.mean(axis=0), rms(wrong), strict=True)]
        told = array(case["methods"]["ours"][str(count)]["kappa_stderr"]).mean(axis=0) / array(case["kappa"])
        rows.append([name, *cells, " ".join(f"{100 * v:.1f}" for v in told)])
    return markdown(
        f"Ours at N = {count}: relative bias / RMSE of κ in per cent, by ε; mean standard error told",
        ["encoder", *[f"ε = {v:g}" for v in EPSILONS], "standard error told"],
        rows,
    )


def _score_table(cases: dict[str, Any], counts: Sequence[int]) -> str:
    rows = []
    for name, case in cases.items():
        for e in (0, 3):
            for method in METHODS:
                cells = []
                for count in counts:
                    found = case["methods"][method][str(count)].get("score")
                    wrong = array(found)[:, e] - case["score"][e] if found else np.array([np.nan])
                    unusable = not np.isfinite(wrong).all() or (
                        method != "paper" and not np.isfinite(relative(case, method, count)[:, e]).all()
                    )
                    cells.append("–" if unusable else f"{wrong.mean():+.3f} / {rms(wrong):.3f}")
                rows.append([name, f"{EPSILONS[e]:g}", f"{case['score'][e]:.3f}", METHODS[method], *cells])
    return markdown(
        "Bias / RMSE of the score at a_t = 0.7, by number of images",
        ["encoder", "ε", "true score", "estimator", *map(str, counts)],
        rows,
    )


def _own_cost_table(cases: dict[str, Any]) -> str:
    rows = []
    for name, case in cases.items():
        if case["paper_own_cost"]:
            largest = max(case["methods"]["ours"], key=int)
            mean = array(case["paper_own_cost"]).mean(axis=0)
            own = array(case["methods"]["ours"]["8192" if "8192" in case["methods"]["ours"] else largest]["score"])
            rows += [
                [
                    name,
                    f"{EPSILONS[e]:g}",
                    f"{case['score'][e]:.3f} ± {case['score_stderr'][e]:.3f}",
                    f"{mean[e] - case['score'][e]:+.3f}",
                    f"{np.mean(own[:, e]) - case['score'][e]:+.3f}",
                    f"{rms(own[:, e] - case['score'][e]):.3f}",
                ]
                for e in (0, 3)
            ]
    return markdown(
        f"The score at a_t = 0.7: the paper protocol from {PAPER_IMAGES} images, ours from 8192",
        ["encoder", "ε", "true score", "paper: error", "ours: bias", "ours: RMSE"],
        rows,
    )


def _verdicts(cases: dict[str, Any], counts: Sequence[int]) -> str:
    lines = ["**Verdicts**", ""]

    def judge(text: str, count: int, widest: int, bar: float, columns: slice) -> None:
        if count not in counts:
            return
        worst = {
            n: float(rms(relative(c, "ours", count))[columns].max())
            for n, c in cases.items()
            if c["dimension"] <= widest
        }
        missed = [f"{n} ({percent(v, 2)})" for n, v in worst.items() if v > bar]
        word = "met" if not missed else f"NOT met by {', '.join(missed)}"
        worst_name = max(worst, key=lambda n: worst[n])
        lines.append(
            f"- {text}: {word}; {len(worst) - len(missed)} of {len(worst)} encoders meet it, "
            f"the worst is {worst_name} with {percent(worst[worst_name], 2)}."
        )

    judge("N = 4096, d ≤ 384, ε = 0: relative RMSE of κ at most 1.5 %", 4096, 384, 0.015, slice(0, 1))
    judge("N = 8192, d ≤ 768, ε = 0: at most 1.5 %", 8192, 768, 0.015, slice(0, 1))
    judge("N = 4096, d ≤ 384, every ε: at most 3 %", 4096, 384, 0.03, slice(None))
    judge("N = 8192, d ≤ 768, every ε: at most 3 %", 8192, 768, 0.03, slice(None))
    judge("moonshot: N = 4096, every d, ε = 0: at most 1 %", 4096, 10**9, 0.01, slice(0, 1))
    return "\n".join([*lines, ""])


# Interval

KAPPA = ("kappa", "kappa_stderr", "kappa_low", "kappa_high")
SCORE = ("score", "score_stderr", "score_low", "score_high")
TWO = (0.0, 0.4)


def covered(found: Iterable[dict[str, Any]], kappa: np.ndarray, scores: np.ndarray) -> dict[str, Any]:
    """Return coverage, spread and mean standard error of κ and of scores at a_t = 0.6 and 0.7, at ε = 0 and 0.4."""
    seen = list(found)
    entries = {}
    for place, e in enumerate((0, 2)):
        rows = {
            "κ": (kappa[e], [tuple(f[key][place] for key in KAPPA) for f in seen]),
            "score, a_t = 0.7": (
                scores[e, 1],
                [tuple(f[key][place] for key in SCORE) for f in seen],
            ),
            "score, a_t = 0.6": (scores[e, 0], [tuple(side[place] for side in f["low_threshold"]) for f in seen]),
        }
        for what, (true, values) in rows.items():
            value, error, low, high = np.array(values).T
            entries[f"{what}, ε = {EPSILONS[e]:g}"] = {
                "truth": true,
                "bias": float(value.mean() - true),
                "spread": float(value.std(ddof=1)),
                "told": float(np.sqrt(np.mean(error**2))),
                "coverage": float(np.mean((low <= true) & (true <= high))),
                "below": float(np.mean(high < true)),
                "above": float(np.mean(low > true)),
            }
    return {"studies": len(seen), "entries": entries}


def true_scores(encoder: Linear) -> np.ndarray:
    """Return the scores of a linear encoder; for noise that is not normal from a million draws of it."""
    if encoder.noise == "normal":
        return encoder.true_scores
    covariance = np.diag(encoder.spread**2) + np.outer(encoder.response, encoder.response)
    w = unit_directions(covariance, encoder.response)
    rng = np.random.default_rng(3)
    parts = []
    for _ in range(50):
        e = encoder.noise_of(20_000, rng)
        parts.append(e @ w + np.outer(rng.standard_normal(len(e)), encoder.response @ w))
    noise = np.concatenate(parts)
    noise = (noise - noise.mean(axis=0)) / noise.std(axis=0)
    return np.array([[seen_score(noise[:, e], k, a) for a in (0.6, 0.7)] for e, k in enumerate(encoder.truth)])


def interval_study(run: Run) -> None:
    studies = 3 if run.quick else 500
    wanted: dict[str, Callable[[], Any]] = {}

    def linear(encoder: Linear, images: int) -> Callable[[], Any]:
        return lambda: covered(
            (ours(encoder.rows(images, 10_000 + k), TWO) for k in range(studies)), encoder.truth, true_scores(encoder)
        )

    settings = [(64, 4096, "normal"), (64, 1024, "normal"), (384, 4096, "normal")]
    for dimension, images, noise in settings[: 1 if run.quick else None]:
        for kappa in (0.12, 0.42, 0.8):
            encoder = Linear(dimension, 2, kappa, noise=noise)
            wanted[f"{encoder.name}; N = {images}"] = linear(encoder, images)
    for encoder, images in ((Linear(16, 1, 0.42, noise="chi2"), 4096), (Linear(64, 2, 0.42, noise="t8"), 4096)):
        wanted[f"{encoder.name}; N = {images}"] = linear(encoder, 256 if run.quick else images)
    name = "ViT d=64"

    def by_network() -> dict[str, Any]:
        known, encoder, spec = run.truth(name), network(name), synbench.MixtureSpec(SHAPE, seed=1)
        images, together, pieces = 1024, 16, 3 if run.quick else 400

        def found() -> Iterator[dict[str, Any]]:
            for begin in range(0, pieces, together):
                end = min(begin + together, pieces)
                rows = embed_population(encoder, spec, begin * images, end * images, progress=False)
                for k in range(end - begin):
                    yield ours(rows.select(np.arange(len(rows)) // images == k), TWO)

        return covered(found(), np.array(known.kappa), np.array(known.scores))

    wanted[f"{name}; N = 1024"] = by_network
    cases = run.cases("interval", wanted)
    rows, missed, total = [], [], 0
    for name, case in cases.items():
        for what, seen in case["entries"].items():
            error = float(np.sqrt(0.95 * 0.05 / case["studies"]))
            share = seen["coverage"]
            total += 1
            if not 0.93 <= share <= 0.97:
                missed.append(f"{name}, {what}: {percent(share)}")
            rows.append(
                [
                    name,
                    what,
                    f"{seen['truth']:.4f}",
                    f"{seen['bias']:+.4f}",
                    f"{seen['spread']:.4f}",
                    f"{seen['told']:.4f}",
                    f"{percent(share)} ± {100 * error:.1f}",
                    f"{percent(seen['below'])} / {percent(seen['above'])}",
                ]
            )
    headings = ["encoder", "of", "truth", "bias", "spread", "standard error told", "coverage", "below / above truth"]
    verdict = [
        f"- Coverage of 93 to 97 %: {total - len(missed)} of {total} entries lie inside.",
        *[f"- Outside: {line}." for line in missed],
    ]
    run.report(
        "interval",
        [
            markdown("Coverage of the 95 % interval, with its binomial error", headings, rows),
            "**Verdicts**\n",
            *verdict,
        ],
    )


# Power


def headline(rows: Representations) -> tuple[float, float, np.ndarray]:
    """Return the headline score, its standard error, and each draw's part of its error."""
    found = population.estimate(rows, SCALES, [0.0])
    scores = uncertainty.population_scores(found, [HEADLINE_THRESHOLD])
    parts = uncertainty.contributions(found, HEADLINE_THRESHOLD)
    return float(scores.values[0, 0]), float(scores.stderr[0, 0]), parts


Pair = Callable[[int, int], tuple[Representations, Representations]]


def noisy_twin(encoder: Linear, kappa: float) -> Pair:
    """Return the same encoder with noise of its own added to each draw's representation."""
    extra = encoder.kappa**2 / (1 - encoder.kappa**2) / (kappa**2 / (1 - kappa**2)) - 1

    def rows(images: int, seed: int) -> tuple[Representations, Representations]:
        one = encoder.rows(images, seed)
        rng = np.random.default_rng([seed, 99])
        added = encoder.noise_of(int(one.draws.max()) + 1, rng)[one.draws] * np.sqrt(extra)
        return one, replace(one, values=(one.values + added).astype(np.float32))

    return rows


def latent(images: int, seed: int, width: int) -> tuple[np.ndarray, Any]:
    """Return latent images, whose first number lies along the class-mean direction, and their design."""
    made = design(synbench.MixtureSpec(SHAPE, seed=seed), 0, images)
    eta = np.random.default_rng([seed, width]).standard_normal((int(made.draws.max()) + 1, width))
    x = eta[made.draws]
    along = x[:, 0].copy()
    x[:, 0] += (2 * made.labels - 1) * made.scales
    return x, (made, along)


def looking(width: int, dimension: int, kappa: float, seed: int) -> np.ndarray:
    """Return a linear map of latent images that keeps κ of their discriminability, else random."""
    rng = np.random.default_rng([seed, dimension, 3])
    rest = np.linalg.qr(rng.standard_normal((width - 1, dimension)))[0]
    rows = np.zeros((dimension, width))
    rows[:, 1:] = rest.T
    rows[0] *= np.sqrt(1 - kappa**2)
    rows[0, 0] = kappa
    rotation = np.linalg.qr(rng.standard_normal((dimension, dimension)))[0]
    return rotation @ rows


def seen_by(matrix: np.ndarray, x: np.ndarray, made: Any) -> Representations:
    rows, along = made
    values = (x @ matrix.T).astype(np.float32)
    return Representations(values, rows.labels, rows.scales, np.zeros(len(x), dtype=bool), along, rows.draws)


def unlike(kappas: tuple[float, float], dimension: int = 64, width: int = 256) -> Pair:
    """Return two linear encoders that look at different directions of the same images."""
    maps = [looking(width, dimension, k, seed) for seed, k in enumerate(kappas)]

    def rows(images: int, seed: int) -> tuple[Representations, Representations]:
        x, made = latent(images, seed, width)
        one, other = (seen_by(m, x, made) for m in maps)
        return one, other

    return rows


def perturbed(encoder: Encoder, amount: float) -> Encoder:
    """Return an encoder with noise added to every weight matrix, relative to the spread of its entries."""
    import copy

    module = copy.deepcopy(encoder.module)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for weights in module.parameters():
            if weights.ndim > 1:
                weights += amount * weights.std() * torch.randn(weights.shape, generator=generator)
    return synbench.load_encoder(module, image_size=SIDE)


def network_pair(encoders: tuple[Encoder, Encoder]) -> Pair:
    def rows(images: int, seed: int) -> tuple[Representations, Representations]:
        # Disjoint parts of one long run: as good as other seeds, but each part is drawn once.
        spec = synbench.MixtureSpec(SHAPE, seed=1000 + seed)
        one, other = (embed_population(e, spec, 0, images, progress=False) for e in encoders)
        return one, other

    return rows


def power_of(
    pair: Pair, true_difference: float | None, *, pilot: int, studies: int, most: dict[str, int] | None = None
) -> dict[str, Any]:
    """Return the number of images that tell a pair apart, and how often they do, or as many as are tried at most."""
    images = 4096
    seen = [[headline(side) for side in pair(images, seed)] for seed in range(pilot)]
    difference = float(np.mean([a[0] - b[0] for a, b in seen]))
    delta = difference if true_difference is None else true_difference
    variance = {
        "paired": float(np.mean([np.sum((a[2] - b[2]) ** 2) for a, b in seen])),
        "unpaired": float(np.mean([a[1] ** 2 + b[1] ** 2 for a, b in seen])),
    }
    found: dict[str, Any] = {
        "score": float(np.mean([a[0] for a, _ in seen])),
        "difference": delta,
        "difference_seen": difference,
        "spread_seen": float(np.std([a[0] - b[0] for a, b in seen], ddof=1)),
        "correlation": float(np.mean([a[2] @ b[2] / np.linalg.norm(a[2]) / np.linalg.norm(b[2]) for a, b in seen])),
    }
    for kind, value in variance.items():
        needed = images * NEEDED * value / delta**2
        used = int(np.clip(4 * round(needed / 4), 256, (most or {}).get(kind, 16_384)))
        hits = []
        before: list[tuple[float, float, np.ndarray]] | None = None
        for k in range(studies):
            both = [headline(side) for side in pair(used, 40_000 + k)]
            if kind == "paired":
                hits.append(abs(both[0][0] - both[1][0]) > 1.96 * np.linalg.norm(both[0][2] - both[1][2]))
            elif before is not None:
                hits.append(abs(both[0][0] - before[1][0]) > 1.96 * np.hypot(both[0][1], before[1][1]))
            before = both
        expected = abs(delta) / np.sqrt(value * images / used)
        found[kind] = {
            "needed": needed,
            "used": used,
            "power": float(np.mean(hits)),
            "expected": float(norm.cdf(expected - 1.96) + norm.cdf(-expected - 1.96)),
            "studies": len(hits),
        }
    return found


def power_study(run: Run) -> None:
    encoder = Linear(64, 2, 0.42)
    lower = 0.97 * encoder.kappa
    scores = gaussian_scores(np.array([encoder.kappa, lower]))
    pilot, studies = (2, 3) if run.quick else (20, 300)

    def by_network() -> dict[str, Any]:
        one, spec = network("ViT d=64"), synbench.MixtureSpec(SHAPE, seed=999)

        def kappa(encoder: Encoder) -> float:
            rows = embed_population(encoder, spec, 0, 512 if run.quick else 16_384, progress=False)
            return float(population.estimate(rows, SCALES, [0.0]).kappas[0, 0])

        base = kappa(one)
        tried = {amount: kappa(perturbed(one, amount)) / base - 1 for amount in (0.04, 0.07, 0.1, 0.14, 0.2)}
        amount = min(tried, key=lambda a: abs(abs(tried[a]) - 0.03))
        note(f"  relative change of κ by amount of noise in the weights: {tried}")
        found = power_of(
            network_pair((one, perturbed(one, amount))),
            None,
            pilot=pilot if run.quick else 40,
            studies=studies if run.quick else 100,
            most={"paired": 8192, "unpaired": 4096},
        )
        return {**found, "amount": amount, "kappa_change": tried[amount]}

    gap = float(scores[0] - scores[1])
    wanted: dict[str, Callable[[], Any]] = {
        "linear d=64, κ = 0.42, and the same with noise added": lambda: power_of(
            noisy_twin(encoder, lower), gap, pilot=pilot, studies=studies
        ),
        "two unlike linear encoders d=64, κ = 0.42 and 0.407": lambda: power_of(
            unlike((encoder.kappa, lower)), gap, pilot=pilot, studies=studies
        ),
        "ViT d=64 and the same with perturbed weights": by_network,
    }
    cases = run.cases("power", wanted)
    rows = []
    for name, case in cases.items():
        for kind in ("paired", "unpaired"):
            seen = case[kind]
            error = np.sqrt(seen["power"] * (1 - seen["power"]) / seen["studies"])
            rows.append(
                [
                    name,
                    f"{case['score']:.3f}",
                    f"{case['difference']:+.4f}",
                    f"{case['correlation']:.3f}",
                    kind,
                    f"{seen['needed']:.0f}",
                    seen["used"],
                    percent(seen["expected"]),
                    f"{percent(seen['power'])} ± {100 * error:.1f}",
                ]
            )
    headings = [
        "pair",
        "score",
        "difference",
        "correlation of errors",
        "images",
        "needed for 80 %",
        "tried",
        "power expected there",
        "power seen",
    ]
    run.report("power", [markdown("Images that tell two encoders apart at the 5 % level", headings, rows)])


# Ties

LEADERBOARD = (
    0.95,
    0.9,
    0.9,
    0.82,
    0.75,
    0.75,
    0.75,
    0.7,
    0.68,
    0.6,
    0.55,
    0.55,
    0.5,
    0.45,
    0.45,
    0.4,
    0.36,
    0.33,
    0.3,
    0.3,
)
"""κ of twenty encoders; some are equal."""


def leaderboards(images: int, repetitions: int, *, dimension: int = 16, width: int = 64) -> dict[str, Any]:
    """Return how often leaderboards are wrong, and how many groups of ties they have."""
    maps = [looking(width, dimension, k, seed) for seed, k in enumerate(LEADERBOARD)]
    upper = np.triu_indices(len(maps), k=1)
    true = np.array([np.sign(LEADERBOARD[i] - LEADERBOARD[j]) for i, j in zip(*upper, strict=True)])
    wrong = {"paired": 0, "unpaired": 0}
    reversed_, equal, groups, separated = 0, 0, [], []
    for k in range(repetitions):
        x, made = latent(images, 20_000 + k, width)
        seen = [headline(seen_by(m, x, made)) for m in maps]
        parts = np.stack([c for _, _, c in seen])
        parts /= np.linalg.norm(parts, axis=1, keepdims=True)
        stderr, values = np.array([s for _, s, _ in seen]), np.array([v for v, _, _ in seen])
        order = np.argsort(-values)
        for kind in wrong:
            correlation = parts @ parts.T if kind == "paired" else np.eye(len(maps))
            np.fill_diagonal(correlation, 1.0)
            covariance = (correlation * np.outer(stderr, stderr))[np.ix_(order, order)]
            found = separation.separate(values[order], (covariance + covariance.T) / 2)
            signs = np.array(LEADERBOARD)[order]
            pairs = [
                np.sign(signs[i] - signs[j]) * np.sign(d)
                for i, j, d, s in zip(found.first, found.second, found.difference, found.separated, strict=True)
                if s
            ]
            wrong[kind] += any(p <= 0 for p in pairs)
            if kind == "paired":
                reversed_ += any(p < 0 for p in pairs)
                equal += any(p == 0 for p in pairs)
                groups.append(len({letter for own in found.groups for letter in own}))
                separated.append(len(pairs))
    return {
        "repetitions": repetitions,
        "wrong": wrong["paired"] / repetitions,
        "wrong_unpaired": wrong["unpaired"] / repetitions,
        "reversed": reversed_ / repetitions,
        "equal_separated": equal / repetitions,
        "groups": float(np.mean(groups)),
        "separated": float(np.mean(separated)) / float(np.count_nonzero(true)),
    }


def ties_study(run: Run) -> None:
    counts = (256,) if run.quick else (1024, 4096)
    repetitions = 3 if run.quick else 300
    wanted = {f"N = {n}": (lambda n=n: leaderboards(n, repetitions)) for n in counts}
    cases = run.cases("ties", wanted)
    rows = []
    for name, case in cases.items():
        error = np.sqrt(case["wrong"] * (1 - case["wrong"]) / case["repetitions"])
        rows.append(
            [
                name,
                case["repetitions"],
                f"{percent(case['wrong'])} ± {100 * error:.1f}",
                percent(case["reversed"]),
                percent(case["equal_separated"]),
                percent(case["wrong_unpaired"]),
                f"{case['groups']:.1f}",
                percent(case["separated"]),
            ]
        )
    worst = max(case["wrong"] for case in cases.values())
    headings = [
        "images",
        "leaderboards",
        "any false ranking",
        "two the wrong way round",
        "equal ones separated",
        "any false, as if unpaired",
        "groups",
        "true differences found",
    ]
    levels = len(set(LEADERBOARD))
    text = f"Leaderboards of {len(LEADERBOARD)} encoders at {levels} different scores"
    word = "met" if worst <= 0.05 else "NOT met"
    verdict = f"- A false ranking in at most 5 % of leaderboards: {word}; the most is {percent(worst)}."
    run.report("ties", [markdown(text, headings, rows), "**Verdicts**\n", verdict])


def main() -> None:
    options = parser(__doc__)
    here = Path(__file__).resolve().parent
    options.add_argument("--only", choices=STUDIES, help="one study")
    options.add_argument(
        "--out", type=Path, help="for numbers and tables; default benchmarks/results, of a smoke run a temporary folder"
    )
    options.add_argument("--figures", type=Path, help="for figures; default docs/population, of a smoke run OUT")
    options.add_argument("--fresh", action="store_true", help="run again what the results hold already")
    options.add_argument("--again", metavar="NAME", help="run again the cases that have this in their name")
    asked = options.parse_args()
    torch.set_num_threads(1)
    default = Path(tempfile.gettempdir()) / "synbench-population" if asked.quick else here / "results"
    out = asked.out or default
    figures = asked.figures or (out if asked.quick else here.parent / "docs" / "population")
    run = Run(out, figures, asked.quick, asked.fresh, asked.again)
    studies = {"truth": truth_study, "interval": interval_study, "power": power_study, "ties": ties_study}
    for name in [asked.only] if asked.only else STUDIES:
        began = time.perf_counter()
        studies[name](run)
        note(f"{name}: {time.perf_counter() - began:.0f} s")
    draw_all(out, figures)


if __name__ == "__main__":
    main()
