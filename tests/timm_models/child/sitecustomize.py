"""Let any torchvision be imported beside any torch, in these tests and, found by Python itself, in their children.

The registry's torchvision is built for the registry's torch; beside a CPU build its library does not load, and then
two schemas that it takes for granted are missing. No test here needs its operators: timm imports it for transforms.
"""

import runpy
import sys
from importlib.machinery import PathFinder
from pathlib import Path

_CLOSED = Path(__file__).parents[2] / "closed" / "sitecustomize.py"


class _Schemas:
    """A finder that finds nothing, but is asked for torchvision before it is imported."""

    library = None

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        found = PathFinder.find_spec(name) if name == "torchvision" else None
        if found is not None and found.origin is not None:
            cls.define(Path(found.origin).parent)

    @classmethod
    def define(cls, folder):
        import torch

        try:
            for library in folder.glob("_C*.so"):
                torch.ops.load_library(str(library))
        except OSError:
            pass
        if hasattr(torch.ops.torchvision, "nms"):
            # Of the library, or of this class under its other name: as Python found it, and as a part of the tests.
            return
        cls.library = torch.library.Library("torchvision", "DEF")
        cls.library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        cls.library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


sys.meta_path.insert(0, _Schemas)

if __name__ == "sitecustomize":
    # A child: Python takes the first module of this name only, so the sockets are closed from here.
    runpy.run_path(str(_CLOSED))
