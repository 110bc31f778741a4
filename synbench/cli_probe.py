"""``synbench probe``: robust linear probes on real pictures, and what the score says of them beforehand."""

from pathlib import Path
from typing import Annotated, Any

import typer

from . import cli_options as o
from .cli_running import check_files, interruptible, say, write
from .errors import ArgumentError
from .probe.asking import Asked
from .settings import HEADLINE_THRESHOLD, make_settings

_NO_SCORE = "none"


def probe(
    model: Annotated[str, typer.Argument(help="Hub id or local folder of the encoder.", show_default=False)],
    dataset: Annotated[
        str,
        typer.Argument(
            help="Pictures with labels: a name on the Hub, a folder of class folders, parquet files, or what "
            "save_to_disk wrote.",
            show_default=False,
        ),
    ],
    config: Annotated[str | None, typer.Option(help="Configuration of the data set.")] = None,
    dataset_revision: Annotated[str | None, typer.Option(help="Branch, tag or commit of the data set.")] = None,
    train_split: Annotated[str, typer.Option(help="Where to fit.")] = "train",
    test_split: Annotated[
        str | None, typer.Option(help="Where to test; default test, else validation, else held out.")
    ] = None,
    image_column: Annotated[str | None, typer.Option(help="Default the only one of pictures.")] = None,
    label_column: Annotated[str | None, typer.Option(help="Default the only one of classes.")] = None,
    classes: Annotated[
        str | None,
        typer.Option(help="Comma-separated, in double quotes where a name has a comma; default all."),
    ] = None,
    epsilons: Annotated[str | None, typer.Option(help="Comma-separated, in [0, 1); default 0,0.2,0.4,0.6,0.8.")] = None,
    strengths: Annotated[
        str | None, typer.Option("--Cs", help="Comma-separated, to choose from; default 0.01 to 10,000.")
    ] = None,
    folds: Annotated[int, typer.Option(help="Of cross-validation.")] = 5,
    train_images: Annotated[int, typer.Option(help="At most so many; 0 for all.")] = 5000,
    test_images: Annotated[int, typer.Option(help="At most so many; 0 for all.")] = 2000,
    radii: Annotated[str | None, typer.Option(help="ℓ2, comma-separated; default 0.1,0.25,0.5,1.")] = None,
    attack_images: Annotated[int, typer.Option(help="Test pictures that are attacked; 0 for none.")] = 256,
    attack_steps: Annotated[int, typer.Option(help="Of each attack.")] = 100,
    score: Annotated[
        str | None, typer.Option(help="Result (.json) to recommend an ε by, or none; default scores the encoder.")
    ] = None,
    threshold: Annotated[
        float, typer.Option(help="Wanted accuracy of the recommendation, in [0.6, 1).")
    ] = HEADLINE_THRESHOLD,
    seed: o.Seed = 0,
    revision: o.Revision = None,
    pooling: o.Pooling = None,
    device: o.Device = None,
    dtype: o.Dtype = None,
    batch_size: o.BatchSize = None,
    image_size: o.ImageSize = None,
    image_mean: o.ImageMean = None,
    image_std: o.ImageStd = None,
    trust_remote_code: o.TrustRemoteCode = False,
    untrained: Annotated[bool, typer.Option("--untrained", help="Probe the untrained twin.")] = False,
    fresh: o.Fresh = False,
    no_cache: o.NoCache = False,
    as_json: o.AsJson = False,
    output: o.Output = None,
    plot: Annotated[Path | None, typer.Option(help="Draw accuracy by ε into this .png, .svg or .pdf.")] = None,
    quiet: o.Quiet = False,
) -> None:
    """Fit robust linear probes on labelled pictures, and attack them through the encoder."""
    with interruptible():
        measured: dict[str, Any] = {
            "folds": folds,
            "train_images": train_images or None,
            "test_images": test_images or None,
            "attack_images": attack_images,
            "attack_steps": attack_steps,
            "seed": seed,
            "Cs": o.numbers(strengths),
        }
        for name, text in (("epsilons", epsilons), ("radii", radii)):
            if text is not None:
                measured[name] = o.numbers(text)
        # Everything that can be refused at once is refused before the long run.
        Asked(**measured)
        make_settings(thresholds=[threshold])
        check_files(output, plot)
        if score is not None and score != _NO_SCORE and not Path(score).is_file():
            raise ArgumentError(f"--score must be the file of a result, or none, got {score!r}.")

        from .probe.measuring import probe as probe_model

        report = probe_model(
            model,
            dataset,
            config=config,
            dataset_revision=dataset_revision,
            train_split=train_split,
            test_split=test_split,
            image_column=image_column,
            label_column=label_column,
            classes=o.names(classes),
            **measured,
            score=False if score == _NO_SCORE else score and Path(score),
            threshold=threshold,
            revision=revision,
            pooling=pooling,
            device=device,
            dtype=dtype,
            batch_size=batch_size,
            image_size=o.numbers(image_size, int),
            image_mean=o.one_or_all(o.numbers(image_mean)),
            image_std=o.one_or_all(o.numbers(image_std)),
            trust_remote_code=trust_remote_code,
            untrained=untrained,
            cache=not no_cache,
            fresh=fresh,
            progress=False if quiet else None,
        )
        if as_json:
            typer.echo(report.to_json())
        else:
            from .probe.printing import print_probe

            print_probe(report)
        write(report, output)
        if plot is not None:
            from .probe.drawing import save_probe

            save_probe(report, plot)
            say(f"wrote {plot}")
