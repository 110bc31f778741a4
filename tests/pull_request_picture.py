"""The picture in docs/hub.md: what an owner sees of a pull request, rendered from our own template.

    python -m tests.pull_request_picture [--browser chromium-headless-shell]

writes docs/pull_request.png with a browser. The page that it shows is made from the texts and the diff that
``hub_tools`` would send; its hash is kept in the picture, and a test tells when the two have parted.
"""

import hashlib
import html
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from markdown_it import MarkdownIt
from PIL import Image, ImageChops
from PIL.PngImagePlugin import PngInfo

from hub_tools.score.changes import README, make_change
from hub_tools.score.eval_results import EVAL_RESULTS_PATH
from hub_tools.score.proposal import TITLE, description
from synbench.report import Report

from .reports import make_report

PICTURE = Path(__file__).parent.parent / "docs" / "pull_request.png"
_SHOWN = 18
KEY = "synbench page sha256"
_BROWSERS = ("chromium-headless-shell", "chromium", "google-chrome")
_CARD = b"""---
license: apache-2.0
language: no  # Norwegian captions
tags: [vision, 'feature-extraction']
---
# Fjord ViT

A vision transformer for coastlines.
"""
_STYLE = """
body { margin: 0; background: #fff; color: #1f2937; font: 15px/1.5 'DejaVu Sans', sans-serif; width: 980px }
main { padding: 28px 36px }
h1 { font-size: 21px; margin: 0 0 4px } h1 span { color: #9ca3af; font-weight: normal }
.by { color: #6b7280; font-size: 13px; margin-bottom: 16px }
.open { background: #059669; color: #fff; border-radius: 10px; padding: 1px 9px; font-size: 12px; margin-right: 8px }
article { border: 1px solid #e5e7eb; border-radius: 8px; padding: 4px 22px 8px; margin-bottom: 18px }
table { border-collapse: collapse; font-size: 14px } th, td { border: 1px solid #e5e7eb; padding: 3px 12px }
th { background: #f9fafb } td:nth-child(n+2) { text-align: right }
code { background: #f3f4f6; border-radius: 4px; padding: 1px 4px; font: 12.5px 'DejaVu Sans Mono', monospace }
p code { overflow-wrap: anywhere }
.file { font: bold 13px 'DejaVu Sans Mono', monospace; background: #f9fafb; border: 1px solid #e5e7eb;
  padding: 6px 12px; border-bottom: 0; border-radius: 8px 8px 0 0 }
pre { margin: 0 0 16px; border: 1px solid #e5e7eb; border-radius: 0 0 8px 8px; padding: 6px 0; overflow: hidden;
  font: 12px/1.45 'DejaVu Sans Mono', monospace }
pre div { padding: 0 12px; white-space: pre-wrap; overflow-wrap: anywhere }
.plus { background: #ecfdf5; color: #065f46 } .place { color: #9ca3af }
"""


def report() -> Report:
    """Return what the pictured pull request is about: a made-up model."""
    meaning = (
        "At ε = 0 and a_t = 0.7 the representations keep 68.0 % of the best possible robustness-accuracy trade-off "
        "(95 % interval 66.7 to 69.3 %)."
    )
    return make_report("fjord-lab/fjord-vit", commit="4f1c" * 10, meaning=meaning)


def page() -> str:
    """Return the page as HTML."""
    made = report()
    change = make_change(made, "fjord-lab/fjord-vit", "4f1c" * 10, {README: _CARD, EVAL_RESULTS_PATH: None})
    body = MarkdownIt("commonmark").enable("table").render(description(made, change))
    files = []
    for diff in change.diff.split("--- ")[1:]:
        lines = diff.splitlines()
        name = lines[1].removeprefix("+++ b/")
        shown = lines[2 : 2 + _SHOWN]
        if more := len(lines) - 2 - _SHOWN:
            shown.append(f"@ … {more} more lines")
        rows = "".join(f'<div class="{_class(line)}">{html.escape(line.removeprefix("@ "))}</div>' for line in shown)
        files.append(f'<div class="file">{html.escape(name)}</div><pre>{rows}</pre>')
    return (
        f"<!doctype html><meta charset=utf-8><style>{_STYLE}</style><main><h1>{TITLE} <span>#1</span></h1>"
        f'<div class="by"><span class="open">Open</span>opened by <b>synbench-bot</b> on fjord-lab/fjord-vit</div>'
        f"<article>{body}</article>{''.join(files)}</main>"
    )


def digest() -> str:
    """Return the hash of the page."""
    return hashlib.sha256(page().encode()).hexdigest()


def _class(line: str) -> str:
    return {"+": "plus", "@": "place"}.get(line[:1], "")


def main() -> None:
    """Draw the picture."""
    asked = sys.argv[sys.argv.index("--browser") + 1 :][:1] if "--browser" in sys.argv else []
    browser = next(filter(None, map(shutil.which, asked or _BROWSERS)), None)
    if browser is None:
        sys.exit(f"no browser found, looked for {', '.join(asked or _BROWSERS)}; name one with --browser")
    with tempfile.TemporaryDirectory() as folder:
        source, drawn = Path(folder) / "page.html", Path(folder) / "page.png"
        source.write_text(page())
        size = ["--window-size=980,2400", "--force-device-scale-factor=1", "--hide-scrollbars"]
        call = [browser, "--headless", "--no-sandbox", "--disable-gpu", *size, f"--screenshot={drawn}", source.as_uri()]
        subprocess.run(call, check=True, capture_output=True, timeout=120)
        picture = Image.open(drawn).convert("RGB")
    # The white below the page is cut off.
    ground = Image.new("RGB", picture.size, "white")
    bottom = ImageChops.difference(picture, ground).getbbox()[3]
    told = PngInfo()
    told.add_text(KEY, digest())
    picture = picture.crop((0, 0, picture.width, bottom + 24)).quantize(64)
    picture.save(PICTURE, pnginfo=told, optimize=True)
    print(f"wrote {PICTURE.name}, {PICTURE.stat().st_size / 1024:.0f} kB")  # noqa: T201


if __name__ == "__main__":
    main()
