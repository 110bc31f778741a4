"""What every worker needs, loaded once in the process that workers are forked from.

The libraries load their parts when they are first used: a small encoder is loaded and scored here, so that they are
there. On one thread: a pool of threads does not survive a fork. Workers take all cores again (``all_cores``).
"""

import os
from functools import cache


@cache
def load() -> int:
    """Load the libraries, and return the threads that torch would take."""
    import torch
    from tqdm import tqdm

    tqdm.monitor_interval = 0  # else a thread of its own
    threads = int(torch.get_num_threads())
    torch.set_num_threads(1)

    from synbench.scoring import prepared_and_run
    from synbench.settings import make_settings

    prepared_and_run("synbench:demo", make_settings(images=256), [False], cache=False, progress=False, device="cpu")
    return threads


def all_cores() -> None:
    """Let torch use the threads that it would have had without ``load``."""
    import torch

    torch.set_num_threads(load())


# Only where children are forked from: elsewhere nothing happens on import.
if os.environ.get("SYNBENCH_PRELOAD") == "1":
    load()
