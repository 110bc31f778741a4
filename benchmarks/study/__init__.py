"""What the SynBench-Score predicts: a zoo of small encoders, and how well scores go with what is measured on pictures.

Runs from the root of a checkout, as ``python -m benchmarks.study...``.
"""

import sys
from pathlib import Path

# The benchmarks are scripts that import each other by bare names. At the end, their names stand behind all others.
_SCRIPTS = str(Path(__file__).parents[1])
if _SCRIPTS not in sys.path:
    sys.path.append(_SCRIPTS)
