"""The random state of the process: what is drawn on the way to an encoder must not show in what a caller draws."""

import contextlib
from collections.abc import Iterator


@contextlib.contextmanager
def kept(seed: int | None = None) -> Iterator[None]:
    """Put the generators of torch back as they were: that of the CPU, and those of GPUs that are in use.

    Args:
        seed: for the generator of the CPU meanwhile; by default it goes on from where it is.

    >>> import torch
    >>> before = torch.get_rng_state()
    >>> with kept(seed=3):
    ...     _ = torch.randn(2)
    >>> torch.equal(torch.get_rng_state(), before)
    True
    """
    import torch

    in_use = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    devices = list(range(torch.cuda.device_count())) if in_use else []
    with torch.random.fork_rng(devices=devices):
        if seed is not None:
            # Not manual_seed: that one would seed the GPUs too, even those that are only used later.
            torch.default_generator.manual_seed(seed % 2**63)  # what torch takes
        yield
