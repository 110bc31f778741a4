"""``python -m synbench``, and ``accelerate launch -m synbench``: the command line."""

from .cli import main

if __name__ == "__main__":
    main()
