"""The Space: score an encoder in the browser, see why, compare, and share. The pages are in ``hub_tools.space``."""

import logging
import os

# Before they are imported: Gradio phones home otherwise, and the Hub's client would use the Space's own token.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

if os.environ.get("SPACES_ZERO_GPU"):
    import spaces  # noqa: F401 - before anything looks for a GPU

# Workers start with the modules of this file: they need not load what only pages need.
if __name__ != "__mp_main__":
    from hub_tools.space.look import preload_server
    from hub_tools.space.pages import LAUNCH, build

    __all__ = ["LAUNCH", "build"]

if __name__ == "__main__":
    logging.getLogger("httpx").setLevel(logging.WARNING)
    preload_server()
    build().launch(**LAUNCH)
