"""What the tests of timm need besides: a torchvision that can be imported, here and in child processes."""

import os
from pathlib import Path

from .child import sitecustomize  # noqa: F401 - see there

# First of its name, before the one that closes sockets: it calls that one.
os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent / "child"), os.environ["PYTHONPATH"]])
