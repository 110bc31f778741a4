"""How well scores predict what linear probes measure on real pictures, beside cheaper predictors.

    python -m benchmarks.study run ENCODER... --dataset D [--dataset D2] [--zoo FOLDER] --out OUT
    python -m benchmarks.study run --out OUT --only-report

An ENCODER is a local folder or a Hub id; a zoo is what ``python -m benchmarks.study.zoo`` makes. Of each encoder are
measured: its score by both protocols, at all ε and a_t; on each data set, the accuracy of its linear probes on clean
and on attacked pictures; and other predictors on the representations of the pictures that the probes are fitted to.
OUT/NAME.json keeps them as they come, and nothing that is there is measured again: a run that was stopped goes on, and
one with more encoders measures the new ones alone.

Then OUT/validity.md, OUT/validity.json, and a table and two pictures a data set tell how each predictor goes with each
outcome: its coefficients over n encoders with intervals over families, without each family, beside the number of
parameters; and a verdict by a rule that was fixed before any encoder was measured. ``--only-report`` does this alone,
from what OUT has.
"""

import argparse
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from synbench import cli_options
from synbench.errors import ArgumentError, OutputError, SynBenchError
from synbench.output import replacing
from synbench.plots import save_figure
from synbench.settings import check_integer

from . import mixtures, picturing, tabling, writing
from .analysis import BASELINE, analyse, explore, mean_over_families
from .coefficients import RESAMPLES
from .running import Asked, Extra, Plan, kept, listed, measure, records_of
from .writing import OnDataset, document

BEFOREHAND = "beforehand.json"
"""In OUT: what was named to be tested when nothing was measured yet, a list of ``tested`` and ``primary``."""

IN_SCATTER = ("score_population", "score_paper", "kappa_texture", BASELINE, "rankme", "logme")

_HOW = {
    "population": "by the population protocol",
    "paper": "by the paper protocol",
    "texture": "by the population protocol on textures",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    options = _parser().parse_args(arguments)
    try:
        try:
            options.out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"--out must be a folder, or become one: {error}.") from error
        if not options.only_report:
            _run(options)
        report(options.out, tested=options.tested, primary=options.primary, resamples=options.resamples)
    except SynBenchError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def report(
    out: Path,
    *,
    tested: Sequence[str] | None = None,
    primary: str = tabling.PRIMARY,
    resamples: int = RESAMPLES,
) -> list[OnDataset]:
    """Analyse the records of a folder, and write tables, numbers and pictures beside them.

    Args:
        out: the folder.
        tested: the predictors that are tested, on the primary outcome alone; by default all, on all outcomes.
        primary: the outcome that was named beforehand.
        resamples: of each bootstrap.

    Raises:
        ArgumentError: there are no records, too few encoders were probed to tell anything, or the primary outcome was
            not measured.
    """
    records = kept(out)
    names = dict.fromkeys(d for r in records for d in r["probes"])
    check_integer("resamples", resamples, least=100, remedy=f"{RESAMPLES} is usual")
    found = [on_dataset(records, name, tested=tested, primary=primary, resamples=resamples) for name in names]
    if tested is not None:
        beforehand = _was_named(out, {"tested": list(tested), "primary": primary})
        found = [replace(one, beforehand=beforehand) for one in found]
    failures = {f"{r['encoder']}, {part}": why for r in records for part, why in r["failures"].items()}
    text = document(found, _about(records), failures)
    numbers = {
        one.name: {"outcomes": [o.to_dict() for o in one.outcomes], "explored": one.explored, "table": one.table}
        for one in found
    }
    _write(out / "validity.md", text)
    _write(out / "validity.json", json.dumps(numbers, indent=1, default=vars) + "\n")
    for one in found:
        name, primary = re.sub(r"\W+", "-", one.name).strip("-"), one.outcomes[0]
        _write(out / f"{name}-table.json", writing.plain_table(one.table))
        scatter = partial(picturing.scatter, one.table, primary, IN_SCATTER)
        save_figure(scatter, out / f"{name}-scatter.svg")
        save_figure(partial(picturing.forest, primary), out / f"{name}-forest.svg")
    return found


def on_dataset(
    records: Sequence[dict[str, Any]],
    name: str,
    *,
    tested: Sequence[str] | None = None,
    primary: str = tabling.PRIMARY,
    resamples: int = RESAMPLES,
) -> OnDataset:
    """Return all that records tell about one data set; predictors that were named are tested on the primary outcome.

    Raises:
        ArgumentError: as ``analyse``, and as ``tabling.outcome_names``.
    """
    table = tabling.table(records, name)
    tested = None if tested is None else list(tested)
    present = [p for p in tabling.PREDICTORS if any(row.get(p) is not None for row in table)]
    primary, *others = tabling.outcome_names(table, primary)
    every = [p for p in present if p not in tabling.LOOKED_AT]
    asked = {primary: every if tested is None else tested, **dict.fromkeys(others, every if tested is None else ())}
    outcomes = [
        analyse(table, present, outcome, tested=named, naming=tabling.label, resamples=resamples)
        for outcome, named in asked.items()
    ]
    columns = list(dict.fromkeys(column for row in table for column in row))
    further = [c for c in columns if (c.startswith("score_") and "[" in c) or ": " in c]
    explored = {o: explore(table, further, o, resamples=resamples) for o in _looked_into(primary, others)}
    costs = [c for c in columns if c.startswith(("agrees_", "regret_"))]
    shares = [mean_over_families(table, c, limits=(0.0, 1.0), resamples=resamples) for c in costs]
    return OnDataset(name, table, outcomes, explored, [mean for mean in shares if mean is not None], tested)


def _looked_into(primary: str, others: Sequence[str]) -> list[str]:
    """Return the outcomes that all ε and a_t are set against: the primary one, clean and robust accuracy."""
    return list(dict.fromkeys([primary, *(o for o in others if o == "clean" or o.startswith("robust"))]))


def _run(options: argparse.Namespace) -> None:
    if not options.dataset:
        raise ArgumentError("expected a data set or more to probe on: name them by --dataset.")
    _name_beforehand(options.out, {"tested": options.tested, "primary": options.primary})
    plan = Plan(
        datasets=tuple(options.dataset),
        classes=None if options.classes is None else tuple(cli_options.names(options.classes) or ()),
        protocols=tuple(options.protocols),
        **{
            name: getattr(options, name)
            for name in ("images", "paper_samples", "train_images", "test_images", "attack_images", "attack_steps")
        },
        **{name: tuple(given) for name in ("epsilons", "radii") if (given := getattr(options, name)) is not None},
        seed=options.seed,
        device=options.device,
    )
    extras: list[Extra] = [("mixture", mixtures.kappas)] if options.mixtures else []
    for encoder in _asked(options):
        measure(encoder, plan, options.out, extras=extras, note=lambda text: print(text, file=sys.stderr, flush=True))


def _name_beforehand(out: Path, named: dict[str, Any]) -> None:
    """Keep what is to be tested, if nothing was measured yet; of all runs of a study the first one counts."""
    if not records_of(out) and not (out / BEFOREHAND).exists():
        _write(out / BEFOREHAND, json.dumps([named]) + "\n")


def _was_named(out: Path, named: dict[str, Any]) -> bool:
    file = out / BEFOREHAND
    return file.exists() and named in json.loads(file.read_text())


def _asked(options: argparse.Namespace) -> list[Asked]:
    place, count = options.shard
    return listed(options.encoder, options.zoo)[place - 1 :: count]


def _about(records: Sequence[dict[str, Any]]) -> list[str]:
    lines = []
    for protocol in tabling.SCORED:
        reports = [r["reports"][protocol] for r in records if protocol in r["reports"]]
        if reports:
            images = sorted({report["images"] for report in reports})
            lines.append(f"- {len(reports)} encoders scored {_HOW[protocol]}, {_range(images)} images each")
    for name in dict.fromkeys(d for r in records for d in r["probes"]):
        told = next(r["probes"][name] for r in records if name in r["probes"])
        data, attack = told["dataset"], told["attack"]
        attacks = "" if attack is None else f"; {attack['pictures']} of these attacked by {', '.join(attack['names'])}"
        lines.append(
            f"- {name}: {len(data['classes'])} classes, probes fitted to {data['train_images']:,} pictures and tested "
            f"on {data['test_images']:,}{attacks}"
        )
    return ["\n".join(lines)]


def _range(values: Sequence[int]) -> str:
    return f"{values[0]:,}" if len(values) == 1 else f"{values[0]:,} to {values[-1]:,}"


def _write(path: Path, text: str) -> None:
    with replacing(path) as stream:
        stream.write(text.encode())


def _shard(text: str) -> tuple[int, int]:
    place, slash, count = text.partition("/")
    if not slash or not 1 <= int(place) <= int(count):
        raise argparse.ArgumentTypeError(f"expected K/N with K from 1 to N, such as 1/2, got {text}")
    return int(place), int(count)


def _parser() -> argparse.ArgumentParser:
    whole = argparse.ArgumentParser(
        prog="python -m benchmarks.study", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options = whole.add_subparsers(required=True, metavar="run").add_parser("run", help="measure, and report")
    plan = Plan(())
    options.add_argument("encoder", nargs="*", metavar="ENCODER", help="a local folder or a Hub id")
    options.add_argument("--dataset", action="append", default=[], help="to probe on; may be given again")
    options.add_argument("--classes", help="some of each data set, by name, between commas; default all")
    options.add_argument("--zoo", type=Path, help="a folder with zoo.json")
    options.add_argument("--out", type=Path, required=True, help="folder for records and report")
    options.add_argument("--only-report", action="store_true", help="measure nothing")
    options.add_argument("--protocols", nargs="+", choices=tabling.SCORED, default=list(tabling.SCORED))
    for name, what in (
        ("images", "of the population protocol"),
        ("paper_samples", "a scale and split; 2048 as published is an hour an encoder"),
        ("train_images", "that probes are fitted to"),
        ("test_images", "that they are tested on"),
        ("attack_images", "of these that are attacked, 0 for none"),
        ("attack_steps", "of each attack"),
        ("seed", "of everything"),
    ):
        default = getattr(plan, name)
        options.add_argument(
            f"--{name.replace('_', '-')}", type=int, default=default, help=f"{what}; default {default}"
        )
    options.add_argument("--epsilons", nargs="+", type=float, help="of the probes; default those of synbench probe")
    options.add_argument("--radii", nargs="+", type=float, help="of attacks; default those of synbench probe")
    options.add_argument("--mixtures", action="store_true", help="κ of other mixtures too, for a look; see mixtures.py")
    options.add_argument("--device", help="where encoders run")
    options.add_argument("--shard", type=_shard, default=(1, 1), help="K/N: every Nth encoder, from the Kth")
    options.add_argument(
        "--tested", nargs="+", choices=tabling.PREDICTORS, metavar="PREDICTOR", help="named beforehand for the "
        f"primary outcome; default all, for all: {', '.join(tabling.PREDICTORS)}"
    )  # fmt: skip
    options.add_argument(
        "--primary", default=tabling.PRIMARY, metavar="OUTCOME", help="that was named beforehand: clean, "
        "robust@RADIUS, robust_best@RADIUS (of all ε), median; default clean"
    )  # fmt: skip
    options.add_argument("--resamples", type=int, default=RESAMPLES, help=f"of bootstraps; default {RESAMPLES}")
    return whole


if __name__ == "__main__":
    sys.exit(main())
