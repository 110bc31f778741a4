"""Measuring encoders for a study: scores, probes and measures of each, kept in a file of its own as they come."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import synbench
from synbench.entries import Entry
from synbench.errors import ArgumentError, SynBenchError
from synbench.output import replacing
from synbench.preparing import prepare
from synbench.probe.choosing import choose
from synbench.probe.measuring import probe
from synbench.probe.opening import open_dataset
from synbench.probe.vectors import embed_pictures, key_of
from synbench.settings import make_settings

from .measures import baselines
from .tabling import SCORED, TEXTURE

Record = dict[str, Any]

NO_RECORDS = ("validity.json", "beforehand.json")
"""What else is in the folder of the records, beside tables."""

_ROOMS = {"encoder", "about", "reports", "probes", "measures", "failures"}
Extra = tuple[str, Callable[[str], Mapping[str, float]]]
"""A further number of an encoder: a name, and a function from where the encoder is to numbers by name."""


@dataclass(frozen=True)
class Asked:
    """One encoder of a study.

    Attributes:
        name: in tables.
        where: a folder or a Hub id.
        about: ``family``, ``pretext``, ``epochs``, ``parameters`` and the like, where they are known.
    """

    name: str
    where: str
    about: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """What is measured of every encoder; its numbers are part of the record, and other ones measure anew.

    Attributes:
        datasets: to probe on: names on the Hub, local folders or files; in tables these have their own name alone.
        classes: some of each, by name; all by default.
        protocols: of the score; ``"texture"`` is the population protocol on textures.
        images: of the population protocol.
        paper_samples: of the paper protocol, per scale and split; 2048 as published is an hour an encoder on a CPU.
        train_images: of each data set.
        test_images: likewise.
        attack_images: likewise; 0 for no attack.
        attack_steps: of each attack.
        radii: of attacks; the default ones of ``probe``.
        epsilons: of the probes; the default ones of ``probe``.
        seed: of everything.
        device: where encoders run.
    """

    datasets: tuple[str, ...]
    classes: tuple[str, ...] | None = None
    protocols: tuple[str, ...] = SCORED
    images: int = 8192
    paper_samples: int = 512
    train_images: int = 5000
    test_images: int = 2000
    attack_images: int = 256
    attack_steps: int = 100
    radii: tuple[float, ...] | None = None
    epsilons: tuple[float, ...] | None = None
    seed: int = 0
    device: str | None = None

    @property
    def named(self) -> dict[str, str]:
        """Where each data set is, by the name that it has in tables.

        Raises:
            ArgumentError: two have the same name.
        """
        found = {Path(d).resolve().name if Path(d).exists() else d: d for d in self.datasets}
        if len(found) < len(self.datasets):
            raise ArgumentError(
                f"expected data sets of different names, got {', '.join(self.datasets)}. Rename one of the folders."
            )
        return found


def score_of(where: str, protocol: str, plan: Plan) -> Record:
    """Return the report of an encoder under one protocol, beside its untrained twin where that is quick."""
    if protocol == "paper":
        asked: dict[str, Any] = {"samples": plan.paper_samples}
    else:
        asked = {"images": plan.images, "baseline": "untrained"}
        if protocol == TEXTURE:
            asked["direction"] = "texture"
    return synbench.score(where, seed=plan.seed, device=plan.device, **asked).to_dict()


def probe_of(where: str, dataset: str, plan: Plan) -> Record:
    """Return the probe report of an encoder on one data set, as plain values."""
    given = {name: value for name in ("classes", "radii", "epsilons") if (value := getattr(plan, name)) is not None}
    sizes = {name: getattr(plan, name) for name in ("train_images", "test_images", "attack_images", "attack_steps")}
    return probe(where, dataset, score=False, seed=plan.seed, device=plan.device, **sizes, **given).to_dict()


def measures_of(where: str, dataset: str, plan: Plan) -> Record:
    """Return the baselines on the representations of the very pictures that the probe is fitted to."""
    rows, labels = training_rows(where, dataset, plan)
    return dict(baselines(rows, labels))


def training_rows(where: str, dataset: str, plan: Plan) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return representations and classes of the pictures that the probe is fitted to: read where they were kept."""
    chosen = choose(
        open_dataset(dataset),
        train_split="train",
        test_split=None,
        image_column=None,
        label_column=None,
        classes=plan.classes,
        train_images=plan.train_images,
        test_images=plan.test_images,
        seed=plan.seed,
    )
    study = prepare(where, make_settings(seed=plan.seed), cache=True, device=plan.device)
    key = key_of(study.encoder, chosen.train, plan.seed)
    entry = Entry(key, study.encoder.record.id) if study.entry is not None else None
    found = embed_pictures(study.encoder, chosen.train, study.batch_size, entry)
    return found.values.astype(np.float64), np.asarray(chosen.train.labels, dtype=np.int64)


def parameters_of(where: str, plan: Plan) -> int | None:
    """Return the number of an encoder's parameters; None for a function."""
    module = synbench.load_encoder(where, device=plan.device).ready().module
    return None if module is None else sum(p.numel() for p in module.parameters())


@dataclass(frozen=True)
class Tools:
    """What measures; tests put others in their place."""

    score: Callable[[str, str, Plan], Record] = score_of
    probe: Callable[[str, str, Plan], Record] = probe_of
    measures: Callable[[str, str, Plan], Record] = measures_of
    parameters: Callable[[str, Plan], int | None] = parameters_of


def measure(
    asked: Asked, plan: Plan, out: Path, *, extras: Sequence[Extra] = (), tools: Tools | None = None, note: Any = print
) -> Record:
    """Measure what is not measured yet of one encoder, and return all that is known of it.

    OUT/NAME.json is written after every part, whole or not at all. A part that was measured with the same numbers of
    the plan is not measured again. One that fails is told in ``failures``, and tried again the next time.

    Args:
        asked: the encoder.
        plan: what to measure.
        out: a folder that is there.
        extras: further numbers.
        tools: what measures.
        note: told what is going on.
    """
    tools = Tools() if tools is None else tools
    file = out / f"{asked.name.replace('/', '--')}.json"
    record: Record = {"reports": {}, "probes": {}, "measures": {}, "extra": {}, "asked": {}}
    record |= _read(file) if file.exists() else {}
    record |= {"encoder": asked.name, "where": asked.where, "failures": {}}
    record["about"] = {**record.get("about", {}), **asked.about}
    for room, key, wanted, run in _parts(asked, plan, extras, tools):
        part = f"{room} {key}"
        settings = json.loads(json.dumps({"where": asked.where, **wanted}))
        if key in record[room] and record["asked"].get(part) == settings:
            continue
        note(f"{asked.name}: {part}")
        try:
            record[room][key] = run()
        except (SynBenchError, OSError) as error:
            record[room].pop(key, None)
            record["failures"][part] = str(error)
        else:
            record["asked"][part] = settings
        _keep(file, record)
    if record["about"].get("parameters") is None:
        try:
            record["about"]["parameters"] = tools.parameters(asked.where, plan)
        except (SynBenchError, OSError) as error:
            record["failures"]["parameters"] = str(error)
    record["family"] = record["about"].get("family") or _architecture(record) or "unknown"
    _keep(file, record)
    return record


def _parts(
    asked: Asked, plan: Plan, extras: Sequence[Extra], tools: Tools
) -> list[tuple[str, str, dict[str, Any], Callable[[], Any]]]:
    """Return (room, key, the numbers of the plan that matter, what measures) of everything to be measured."""
    numbers, where = asdict(plan), asked.where
    common = {name: numbers[name] for name in ("seed", "device")}
    picked = {name: numbers[name] for name in ("classes", "train_images", "test_images")} | common
    probed = {name: numbers[name] for name in ("attack_images", "attack_steps", "radii", "epsilons")} | picked
    parts: list[tuple[str, str, dict[str, Any], Callable[[], Any]]] = []
    for p in plan.protocols:
        size = {"samples": plan.paper_samples} if p == "paper" else {"images": plan.images}
        parts.append(("reports", p, {**size, **common}, partial(tools.score, where, p, plan)))
    for name, d in plan.named.items():
        parts.append(("probes", name, {"dataset": d, **probed}, partial(tools.probe, where, d, plan)))
        parts.append(("measures", name, {"dataset": d, **picked}, partial(tools.measures, where, d, plan)))
    parts += [("extra", name, common, partial(_numbers, function, where)) for name, function in extras]
    return parts


def _numbers(function: Callable[[str], Mapping[str, float]], where: str) -> dict[str, float]:
    return {name: float(value) for name, value in function(where).items()}


def kept(out: Path) -> list[Record]:
    """Return the records of a folder, by name.

    Raises:
        ArgumentError: there is none.
    """
    found = [_read(file) for file in records_of(out)]
    if not found:
        raise ArgumentError(f"expected a record of an encoder or more in {str(out)!r}, found none. Measure some first.")
    return found


def records_of(out: Path) -> list[Path]:
    """Return the files of the records in a folder."""
    files = sorted(out.glob("*.json"))
    return [file for file in files if file.name not in NO_RECORDS and not file.name.endswith("-table.json")]


def _read(file: Path) -> Record:
    record, why = None, f"{', '.join(sorted(_ROOMS))} are not all there"
    try:
        record = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        why = str(error)
    if not isinstance(record, dict) or not record.keys() >= _ROOMS:
        raise ArgumentError(
            f"expected the record of an encoder in {str(file)!r}, but it cannot be read as one ({why}). Take it away, "
            f"and measure that encoder again."
        )
    return record


def listed(encoders: Sequence[str], zoo: Path | None) -> list[Asked]:
    """Return the encoders that were named, and those of a zoo in its order.

    Args:
        encoders: local folders or Hub ids.
        zoo: a folder with ``zoo.json``: from the name of a folder beside it to ``family``, ``pretext``, ...

    Raises:
        ArgumentError: there is no such zoo, two encoders have one name, or there are none.
    """
    found = [Asked(Path(e).resolve().name if Path(e).is_dir() else e, e) for e in encoders]
    if zoo is not None:
        try:
            about = json.loads((zoo / "zoo.json").read_text())
        except (OSError, ValueError) as error:
            raise ArgumentError(
                f"expected a zoo of encoders in {str(zoo)!r}, but zoo.json cannot be read there ({error}). Make one by "
                f"python -m benchmarks.study.zoo."
            ) from error
        found += [Asked(name, str(zoo / name), own) for name, own in about.items()]
    names = [one.name for one in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ArgumentError(f"expected encoders of different names, got more than one {', '.join(twice)}. Rename one.")
    if not found:
        raise ArgumentError("expected an encoder or more: name folders or Hub ids, or a zoo by --zoo.")
    return found


def _architecture(record: Record) -> str | None:
    models = [report["settings"]["model"] for report in record["reports"].values()]
    return next((model["architecture"] for model in models if model), None)


def _keep(file: Path, record: Record) -> None:
    with replacing(file) as stream:
        stream.write((json.dumps(record, indent=1) + "\n").encode())
