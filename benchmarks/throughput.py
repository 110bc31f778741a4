"""How much of a bare forward pass's speed is left when images are also drawn, normalised, pooled and copied.

Measured, at the same batch size and for the same number of images:

- bare: the module alone, called on one random batch that stays in memory, in eval and inference mode;
- embedding: ``synbench.embedding.embed``, which draws every image, normalises it, calls the module,
  pools its output, copies the representations to the host and checks them;
- scoring: ``synbench.paper.estimate`` at five epsilons on one whole scale of the paper (2048 train and 2048
  test images) of the encoder's width. Its time is shared out over those 4096 images and added to the embedding.

Predicted: embedding keeps at least 85 % of the bare forward pass on a CPU. The price of an image is its
normal draws, a few nanoseconds a pixel value, whatever the encoder: the cheapest encoder for its image
size loses most.

How to read it: "kept" is bare seconds / whole seconds, turn by turn: median (least to largest). 100 % means
that everything around the forward pass is free; a little more than 100 % is noise. Images per second are
medians and hold for one machine under one load: compare the shares.
"""

from dataclasses import dataclass

import numpy as np
import torch
from _timing import Spread, alternate, note, parser, positive, ratio, resnet18, table, vit_tiny

import synbench
from synbench import paper
from synbench.embedding import default_batch_size, embed
from synbench.encoders import Encoder, evaluating
from synbench.representations import Representations
from synbench.settings import EPSILONS, SAMPLES

SCALE = 1.0


@dataclass(frozen=True)
class Case:
    name: str
    encoder: Encoder
    samples: int

    def sides(self, size: int, samples: int) -> dict:
        """Return what is timed, each for 2 * samples images in batches of ``size``."""
        encoder, module = self.encoder, self.encoder.module
        spec = synbench.MixtureSpec(encoder.contract.shape, [SCALE])
        batch = torch.randn(size, *encoder.contract.shape, generator=torch.Generator().manual_seed(0))
        batch = batch.to(encoder.device, getattr(torch, encoder.dtype))

        def bare():
            with evaluating(module):
                for _ in range(2 * samples // size):
                    output = module(pixel_values=batch)
            # On an accelerator this waits for all batches; on a CPU it costs nothing.
            return output.last_hidden_state.sum().item()

        return {
            "bare": bare,
            "embedding": lambda: list(embed(encoder, spec, samples, batch_size=size, progress=False)),
        }


def whole_scale(width: int) -> Representations:
    """Return one scale of the paper with random representations: the time of scoring depends on shapes alone."""
    rng = np.random.default_rng(0)
    values = rng.standard_normal((2 * SAMPLES, width), dtype=np.float32)
    index = np.arange(2 * SAMPLES)
    return Representations(values, index % 2, np.full(2 * SAMPLES, SCALE), index >= SAMPLES)


def measure(case: Case, options) -> list[str]:
    size = options.batch_size or default_batch_size(case.encoder.contract.shape)
    wanted = case.samples
    if options.quick:
        size, wanted = min(size, 8), 8
    # Whole batches on both sides.
    samples = max(1, wanted // size) * size
    note(f"{case.name}: {2 * samples} images a turn in batches of {size}")
    seconds = alternate(case.sides(size, samples), options.repeats)
    rows = whole_scale(case.encoder.record.dimension)
    # In turns of its own: the threads of its linear algebra would run on into the next side.
    seconds |= alternate({"scoring": lambda: paper.estimate([rows], EPSILONS)}, options.repeats)
    images = 2 * samples
    scoring = [s * images / (2 * SAMPLES) for s in seconds["scoring"]]
    whole = [e + s for e, s in zip(seconds["embedding"], scoring, strict=True)]
    speeds = [f"{images / Spread.of(s).median:.4g}" for s in (seconds["bare"], seconds["embedding"], whole)]
    shares = [ratio(seconds["bare"], s).percent() for s in (seconds["embedding"], whole)]
    return [case.name, str(size), str(case.encoder.record.dimension), *speeds, *shares]


def main() -> None:
    options = parser(__doc__, repeats=7)
    options.add_argument("--batch-size", type=positive, help="images a forward pass; by default as synbench does")
    options.add_argument("--device", default="cpu", help="where both sides run; default cpu")
    options = options.parse_args()
    if options.quick:
        options.repeats = 2
    device = options.device
    cases = [
        Case("demo encoder, 16 x 16", synbench.load_encoder("synbench:demo", device=device), 2048),
        Case("ResNet-18, 224 x 224", synbench.load_encoder(resnet18(), image_size=224, device=device), 64),
        Case("ViT-Tiny, 224 x 224", synbench.load_encoder(vit_tiny(), image_size=224, device=device), 64),
    ]
    headings = ["encoder", "batch", "d", "bare img/s", "embedding img/s", "with scoring img/s"]
    headings += ["embedding keeps", "with scoring keeps"]
    table(headings, [measure(case, options) for case in cases], quick=options.quick)


if __name__ == "__main__":
    main()
