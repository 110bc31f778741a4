"""``python -m tests.zoo`` writes docs/encoders.md from what the library does; with ``--check`` it only compares."""

import re
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from .document import document
from .family import Family

PAGE = Path(__file__).parent.parent.parent / "docs" / "encoders.md"


def main(arguments: Sequence[str], folder: Callable[[Family], Path] | None = None) -> int:
    """Write the page, or compare.

    Args:
        arguments: of the command line.
        folder: where the checkpoint of a family lies; else they are built anew.
    """
    if list(arguments) not in ([], ["--check"]):
        print("usage: python -m tests.zoo [--check]", file=sys.stderr)  # noqa: T201
        return 2
    with tempfile.TemporaryDirectory() as scratch:
        text = document(folder or (lambda family: family.build(Path(scratch) / family.type)))
    if not arguments:
        PAGE.write_text(text)
        return 0
    written = PAGE.read_text() if PAGE.exists() else ""
    if _but_for_the_version(text) == _but_for_the_version(written):
        return 0
    stale = [line for line in text.splitlines() if line not in written.splitlines()][:5]
    lines = "\n  ".join(stale)
    print(f"{PAGE.name} is stale: run python -m tests.zoo. It lacks:\n  {lines}", file=sys.stderr)  # noqa: T201
    return 1


def _but_for_the_version(text: str) -> str:
    return re.sub(r"transformers \d+\.\d+", "transformers", text)


if __name__ == "__main__":
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    sys.exit(main(sys.argv[1:]))
