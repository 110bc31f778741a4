"""A result as files: SVG, PNG, CSV and JSON, in a folder that Gradio serves from; the oldest go when there are many."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

from gradio.utils import get_upload_folder

from synbench.cache import replace_file
from synbench.comparison import Comparison
from synbench.comparison_plot import save_comparison
from synbench.plots import save_plot
from synbench.report import Report

FORMATS = ("SVG", "PNG", "CSV", "JSON")

MOST = 300
"""Results whose files are kept."""


def report_files(report: Report, key: str) -> list[Path]:
    """Return the files of a report, one a format; the key tells it from others."""
    name = report.settings.model.id if report.settings.model else "result"
    return _made(key, name, lambda file: save_plot(report, file), report)


def comparison_files(comparison: Comparison, key: str) -> list[Path]:
    """Return the files of a comparison, one a format."""
    return _made(key, "comparison", lambda file: save_comparison(comparison, file), comparison)


def _made(key: str, name: str, draw: Callable[[Path], None], record: Report | Comparison) -> list[Path]:
    stem = "synbench_" + re.sub(r"[^\w.-]+", "__", name).strip("_.")[:120]
    folder = Path(get_upload_folder()) / "synbench" / key
    files = [folder / f"{stem}.{kind.lower()}" for kind in FORMATS]
    if not all(file.exists() for file in files):
        folder.mkdir(parents=True, exist_ok=True)
        for file in files[:2]:
            draw(file)
        replace_file(files[2], record.to_csv().encode())
        replace_file(files[3], (record.to_json() + "\n").encode())
        _tidy(folder.parent)
    return files


def _tidy(parent: Path) -> None:
    folders = sorted(parent.iterdir(), key=lambda folder: folder.stat().st_mtime, reverse=True)
    for folder in folders[MOST:]:
        shutil.rmtree(folder, ignore_errors=True)
