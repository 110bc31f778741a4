"""What the precision of the forward pass does to κ and the score.

    python benchmarks/precision.py [--trained OUT]     about 25 minutes on one core; OUT as real_encoders.py wrote it

Every encoder embeds the same 8,192 images (the default of the population protocol) in float32 and in lower precisions:

- bfloat16: the whole model cast, as ``dtype="bfloat16"`` does it;
- float16: the same. CPUs multiply float16 some fifty times slower than float32, so without a GPU it is emulated:
  weights and the result of every operation are rounded to float16, sums within one are float32, as on a GPU. On the
  first images the emulation is compared with the real thing, and bfloat16's with bfloat16;
- TF32: float32, but the factors of every product are rounded to 10 bits, as a GPU may do. Emulated without one.
- float64, the reference: what float32 itself loses, on the first 2,048 images, with float32 on the same ones.

The encoders have the depth of their families and the layers of ``transformers``, but less width and smaller images, so
that a run is affordable. Their weights are random, drawn so that a layer amplifies as it does at full width. Layers
with running statistics take them from noise as they will see it, and the last of them in a residual branch multiplies
by 0.2: training keeps branches small, while at 1 each block amplifies small differences, those of rounding included.
One row shows that. ``--trained`` adds encoders that were trained.

Predicted, in standard errors of the same run: float64 below 0.001 everywhere; TF32 and float16 between 0.001 and 0.1,
float16 below TF32 nowhere by much, since both keep 10 bits; bfloat16, with 7 bits, eight times as much, so above 0.1
for several encoders.

How to read it: a cell has three numbers: the change of κ at ε = 0, the largest change of κ over ε, and the change of
the headline score, each in units of its standard error. A tenth of it is the limit for a default. The second table has
the largest deviation of a vector, relative to its length, and the root mean square of all deviations, relative to the
spread of the vectors.
"""

import argparse
import copy
import json
import math
import re
import tempfile
import textwrap
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _timing import machine, markdown, note, parser, positive
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

import synbench
from synbench import population, uncertainty
from synbench.checkpoints import in_precision
from synbench.drawing import Renderer
from synbench.encoders import Encoder, evaluating
from synbench.representations import Representations
from synbench.settings import EPSILONS, HEADLINE_THRESHOLD, IMAGES, SCALES
from synbench.stretches import Stretch

LIMIT, REFERENCE_IMAGES, CHECKED, BATCH = 0.1, 2048, 16, 64
LOWER = ("TF32", "float16", "bfloat16")
HEADING = "## Precision of the forward pass"
HERE = Path(__file__).resolve().parent
DOCUMENT = HERE.parent / "docs" / "precision.md"


# The encoders

_ENDS_A_BRANCH = re.compile(
    r"(stages.*\.layers\.\d+\.layer\.[23]\.normalization|reduce_1x1\.normalization|project_bn)$"
)


@dataclass(frozen=True)
class Family:
    """A network as deep as its family, with the side of its images.

    Where layers have running statistics, ``branch`` is what the last of them in a residual branch multiplies by.
    """

    make: Callable[[], Any]
    side: int
    branch: float = 0.2

    def settled(self) -> Any:
        """Return it, with the running statistics of noise."""
        model = self.make().eval()
        norms = {n: m for n, m in model.named_modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)}  # noqa: SLF001
        for name, norm in norms.items():
            torch.nn.init.constant_(norm.weight, self.branch if _ENDS_A_BRANCH.search(name) else 1.0)
            norm.momentum = 1.0
            norm.train()
        if norms:
            noise = torch.randn(32, 3, self.side, self.side, generator=torch.Generator().manual_seed(1)) / 0.5
            with torch.inference_mode():
                model(pixel_values=noise)
        return model.eval()


def _transformer(kind: str, side: int, patch: int, **more: Any) -> Callable[[], Any]:
    width = 64

    def make() -> Any:
        sizes = {"hidden_size": width, "num_hidden_layers": 12, "num_attention_heads": 4}
        if kind != "Dinov2":
            sizes["intermediate_size"] = 4 * width
        return _made(kind, width, image_size=side, patch_size=patch, **sizes, **more)

    return make


def _made(kind: str, width: int, **config: Any) -> Any:
    import transformers

    name = {"CLIP": "CLIPVision", "Siglip": "SiglipVision"}.get(kind, kind)
    made = getattr(transformers, f"{name}Config")(**config)
    # A layer's gain is std times the root of its inputs: that of 0.02 at a width of 768.
    made.initializer_range = 0.02 * math.sqrt(768 / width)
    made._attn_implementation = "eager"  # noqa: SLF001
    torch.manual_seed(0)
    return getattr(transformers, f"{name}Model")(made)


FOUR = {"num_stages": 4, "hidden_sizes": [16, 32, 64, 128]}
RESNET = {"embedding_size": 16, "hidden_sizes": [32, 64, 128, 256], "depths": [3, 4, 6, 3]}
FAMILIES = {
    "ViT, 12 blocks": Family(_transformer("ViT", 112, 16), 112),
    "DINOv2, 12 blocks with layer scale": Family(_transformer("Dinov2", 112, 14, layerscale_value=0.1), 112),
    "CLIP vision tower, 12 blocks": Family(_transformer("CLIP", 224, 32), 224),
    "SigLIP vision tower, 12 blocks": Family(_transformer("Siglip", 112, 16), 112),
    "Swin, 2-2-6-2 blocks": Family(
        lambda: _made(
            "Swin",
            32,
            image_size=128,
            patch_size=4,
            window_size=4,
            embed_dim=16,
            depths=[2, 2, 6, 2],
            num_heads=[1, 2, 4, 8],
        ),
        128,
    ),
    "ConvNeXt, 3-3-9-3 blocks": Family(
        lambda: _made("ConvNext", 32, **FOUR, depths=[3, 3, 9, 3], image_size=64, layer_scale_init_value=0.1), 64
    ),
    "ResNet, 3-4-6-3 bottlenecks": Family(lambda: _made("ResNet", 32, **RESNET), 64),
    "ResNet, the same with branches as drawn": Family(lambda: _made("ResNet", 32, **RESNET), 64, branch=1.0),
    "RegNet, 2-4-11-1 blocks": Family(
        lambda: _made(
            "RegNet", 32, embedding_size=16, hidden_sizes=[16, 32, 64, 128], depths=[2, 4, 11, 1], groups_width=8
        ),
        64,
    ),
    "EfficientNet-B0, 16 blocks": Family(
        lambda: _made("EfficientNet", 32, width_coefficient=0.25, depth_coefficient=1.0, image_size=64, hidden_dim=320),
        64,
    ),
    "MobileNetV2, 17 blocks": Family(
        lambda: _made("MobileNetV2", 32, depth_multiplier=0.35, image_size=64, finegrained_output=True), 64
    ),
    "PoolFormer, 2-2-6-2 blocks": Family(
        lambda: _made(
            "PoolFormer", 32, hidden_sizes=[16, 32, 64, 128], depths=[2, 2, 6, 2], layer_scale_init_value=0.1
        ),
        64,
    ),
}


TRAINED = {"convnext": "ConvNeXt", "resnet": "ResNet", "vit": "ViT"}


def sources(trained: Path | None, only: str | None) -> dict[str, Callable[[], tuple[Any, dict[str, Any]]]]:
    """Return how each encoder is made: a module or a folder, and the arguments of ``load_encoder``."""
    half = {"image_mean": 0.5, "image_std": 0.5}
    found: dict[str, Callable[[], tuple[Any, dict[str, Any]]]] = {
        name: lambda f=family: (f.settled(), {"image_size": f.side, **half}) for name, family in FAMILIES.items()
    }
    for folder in sorted(trained.glob("*-trained")) if trained else []:
        name = folder.name.removesuffix("-trained")
        found[f"{TRAINED.get(name, name)}, trained on CIFAR-10"] = lambda f=folder: (f, {})
    return {name: make for name, make in found.items() if only is None or only.lower() in name.lower()}


# The precisions


class Rounded(TorchDispatchMode):
    """Round the result of every operation to a precision, or the factors of products to TF32."""

    _PRODUCTS = ("mm", "bmm", "addmm", "baddbmm", "matmul", "linear", "convolution", "conv2d", "einsum")

    def __init__(self, dtype: Any) -> None:
        super().__init__()
        self.dtype = dtype

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name.removeprefix("aten::")  # noqa: SLF001
        if self.dtype == "TF32":
            first = 1 if name in ("addmm", "baddbmm") else 0
            if name in self._PRODUCTS:
                args = (*args[:first], *map(_ten_bits, args[first : first + 2]), *args[first + 2 :])
            return func(*args, **(kwargs or {}))
        output = func(*args, **(kwargs or {}))
        # A view shows what is rounded already, and has to stay one.
        if func.is_view:
            return output
        if func._schema.is_mutable:  # noqa: SLF001
            if isinstance(output, torch.Tensor) and output.is_floating_point():
                output.copy_(output.to(self.dtype))
            return output
        return tree_map(self._rounded, output)

    def _rounded(self, value: Any) -> Any:
        real = isinstance(value, torch.Tensor) and value.dtype == torch.float32
        return value.to(self.dtype).float() if real else value


def _ten_bits(value: torch.Tensor) -> torch.Tensor:
    """Round float32 to the 10 bits behind the point that TF32 keeps; ties go away from zero, as on a GPU."""
    return ((value.contiguous().view(torch.int32) + 0x1000) & ~0x1FFF).view(torch.float32)


def emulated(source: Any, dtype: Any, **loading: Any) -> Encoder:
    """Return a float32 encoder that computes as if it were of another precision."""
    encoder = synbench.load_encoder(copy.deepcopy(source), **loading)
    _eager(encoder)
    if dtype != "TF32":
        in_precision(in_precision(encoder.module, dtype), torch.float32)

    def forward(inputs: torch.Tensor) -> Any:
        inputs = inputs if dtype == "TF32" else inputs.to(dtype).float()
        with Rounded(dtype):
            return encoder.forward(inputs)

    return replace(encoder, forward=forward)


def _eager(encoder: Encoder) -> Encoder:
    """Let attention be computed step by step, in all precisions alike."""
    if hasattr(encoder.module, "set_attn_implementation"):
        encoder.module.set_attn_implementation("eager")
    return encoder


def encoders(source: Any, loading: dict[str, Any], device: str) -> dict[str, Encoder]:
    """Return an encoder in every precision."""

    def real(dtype: str) -> Encoder:
        return _eager(synbench.load_encoder(copy.deepcopy(source), dtype=dtype, device=device, **loading))

    made = {dtype: real(dtype) for dtype in ("float32", "float64", "bfloat16")}
    if device.startswith("cuda"):
        return made | {"TF32": real("float32"), "float16": real("float16")}
    return made | {
        "TF32": emulated(source, "TF32", device=device, **loading),
        "float16": emulated(source, torch.float16, device=device, **loading),
    }


@contextmanager
def tf32() -> Any:
    """Let a GPU use TF32; ``evaluating`` puts the switches back."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False


def embedded(
    made: dict[str, Encoder], images: int
) -> tuple[dict[str, np.ndarray], Callable[[np.ndarray], Representations], dict[str, float]]:
    """Embed the same images by all; return vectors, what makes representations of them, and seconds."""
    any_one = made["float32"]
    spec = synbench.MixtureSpec(any_one.contract.shape, SCALES)
    renderer, seconds = Renderer(spec, any_one.device), dict.fromkeys(made, 0.0)
    vectors: dict[str, list[np.ndarray]] = {name: [] for name in made}
    coordinates = []
    for start in range(0, images, BATCH):
        stretch = Stretch(start, min(start + BATCH, images))
        with torch.inference_mode():
            drawn, along = stretch.draw(renderer, stretch.start, stretch.stop)
        coordinates.append(along.cpu().numpy())
        for name, encoder in made.items():
            if name == "float64" and start >= REFERENCE_IMAGES:
                continue
            began = time.perf_counter()
            with evaluating(encoder.module), tf32() if name == "TF32" else nullcontext():
                found = encoder.represent(drawn).cpu().numpy()
            seconds[name] += time.perf_counter() - began
            vectors[name].append(found)
    every = np.concatenate(coordinates)

    def representations(values: np.ndarray) -> Representations:
        n = len(values)
        labels, scales, test, draws = Stretch(0, n).columns(spec)
        return Representations(values, labels, scales, test, every[:n], draws)

    return {name: np.concatenate(parts) for name, parts in vectors.items()}, representations, seconds


def emulation(source: Any, loading: dict[str, Any], made: dict[str, Encoder]) -> dict[str, float]:
    """Return, by precision, the deviation of emulated from float32 vectors as a share of that of real ones."""
    shape = made["float32"].contract.shape
    images = torch.randn(CHECKED, *shape, generator=torch.Generator().manual_seed(2))

    def deviation(encoder: Encoder) -> float:
        return float((encoder(images) - made["float32"](images)).square().mean().sqrt())

    real = {
        "bfloat16": made["bfloat16"],
        "float16": _eager(synbench.load_encoder(copy.deepcopy(source), dtype="float16", device="cpu", **loading)),
    }
    imitated = {
        "bfloat16": emulated(source, torch.bfloat16, device="cpu", **loading),
        "float16": made["float16"],
    }
    return {name: deviation(imitated[name]) / deviation(real[name]) for name in real}


# The figures


def figures(rows: Representations) -> dict[str, Any]:
    """Return κ by ε and the headline score, with standard errors."""
    found = population.estimate(rows, SCALES, EPSILONS)
    scores = uncertainty.population_scores(found, [HEADLINE_THRESHOLD])
    return {
        "kappa": found.kappas[0].tolist(),
        "kappa_stderr": (found.stderr[0] / np.maximum(2 * found.kappas[0], 1e-9)).tolist(),
        "score": float(scores.values[0, 0]),
        "score_stderr": float(scores.stderr[0, 0]),
        "bent": bool(found.diagnostics.bent),
        "score_shift": float(found.diagnostics.score_shift),
    }


def changes(found: dict[str, Any], beside: dict[str, Any]) -> dict[str, float]:
    """Return what moves, in standard errors of the second."""
    kappa = np.abs(np.subtract(found["kappa"], beside["kappa"])) / beside["kappa_stderr"]
    # A score of exactly 0, where no scale reaches the threshold accuracy, has no error of its own.
    stderr = beside["score_stderr"] or found["score_stderr"] or 1.0
    score = abs(found["score"] - beside["score"]) / stderr
    return {"kappa": float(kappa[0]), "any_epsilon": float(kappa.max()), "score": score}


def deviations(values: np.ndarray, beside: np.ndarray) -> dict[str, float]:
    """Return the largest deviation beside a vector's length, and the usual one beside the spread of vectors."""
    apart = (values - beside).astype(np.float64)
    lengths = np.linalg.norm(beside.astype(np.float64), axis=1)
    spread = np.sqrt(beside.astype(np.float64).var(axis=0).mean())
    return {
        "largest": float((np.linalg.norm(apart, axis=1) / lengths).max()),
        "of_spread": float(np.sqrt(np.square(apart).mean()) / spread),
    }


def measure(make: Callable[[], tuple[Any, dict[str, Any]]], images: int, device: str) -> dict[str, Any]:
    """Return everything about one encoder."""
    source, loading = make()
    made = encoders(source, loading, device)
    one = made["float32"]
    vectors, representations, seconds = embedded(made, images)
    plain = figures(representations(vectors["float32"]))
    first = vectors["float32"][:REFERENCE_IMAGES]
    result: dict[str, Any] = {
        "architecture": one.record.architecture,
        "side": one.contract.shape[1],
        "dimension": one.record.dimension,
        "parameters": sum(p.numel() for p in one.module.parameters()),
        "images": images,
        "float32": plain | {"of_mean": float(first.std(axis=0).mean() / np.abs(first).mean())},
        "seconds": seconds,
    }
    for name in LOWER:
        moved = figures(representations(vectors[name]))
        result[name] = {
            **moved,
            "changes": changes(moved, plain),
            "deviations": deviations(vectors[name], vectors["float32"]),
        }
    reference, same = figures(representations(vectors["float64"])), figures(representations(first))
    result["float64"] = {
        **reference,
        "images": len(first),
        "changes": changes(same, reference),
        "deviations": deviations(first, vectors["float64"]),
    }
    if not device.startswith("cuda"):
        result["emulation"] = emulation(source, loading, made)
    return result


# The tables


def verdicts(results: dict[str, Any]) -> list[str]:
    """Return one line for each lower precision: whether it may become a default."""
    lines = []
    for name in LOWER:
        of_kappa = {key: case[name]["changes"]["any_epsilon"] for key, case in results.items()}
        of_score = {key: case[name]["changes"]["score"] for key, case in results.items()}
        over = [key for key in results if not max(of_kappa[key], of_score[key]) < LIMIT]
        each = []
        for what, moved in (("κ", of_kappa), ("the score", of_score)):
            worst = max(moved, key=lambda key, moved=moved: moved[key])
            each.append(f"{what} by at most {_few(moved[worst])} ({worst})")
        told = (
            f"{len(over)} of {len(results)} encoders move by a tenth of a standard error or more" if over else "passes"
        )
        lines.append(f"- **{name}**: {told}; {', '.join(each)}.")
    return lines


def tables(results: dict[str, Any]) -> str:
    """Return both tables and what follows from them."""
    order = ("float64", *LOWER)
    rows, apart = [], []
    for name, case in results.items():
        plain = case["float32"]
        cells = [" / ".join(_few(case[p]["changes"][k]) for k in ("kappa", "any_epsilon", "score")) for p in order]
        size = f"{case['side']} px, d = {case['dimension']}"
        rows.append([name, size, f"{plain['kappa'][0]:.4f} ± {plain['kappa_stderr'][0]:.4f}", *cells])
        cells = ["{largest:.1e}, {of_spread:.1e}".format(**case[p]["deviations"]) for p in order]
        apart.append([name, f"{plain['of_mean']:.2f} of the mean", *cells])
    headings = ["encoder", "images", "κ, ε = 0", "float32 − float64", *(f"{p} − float32" for p in LOWER)]
    title = "Change of κ at ε = 0 / largest over ε / of the score, in standard errors"
    second = "Deviation of vectors: the largest beside its length, the usual beside the spread"
    parts = [markdown(title, headings, rows)]
    parts.append(markdown(second, ["encoder", "spread", *headings[3:]], apart))
    parts.append("\n".join(verdicts(results)))
    if all("emulation" in case for case in results.values()):
        shares = [
            f"{p} {min(s):.2f} to {max(s):.2f} times"
            for p in ("bfloat16", "float16")
            if (s := [case["emulation"][p] for case in results.values()])
        ]
        parts.append(f"\nVectors deviate when emulated, beside when computed in the precision: {'; '.join(shares)}.")
    return "\n".join(parts) + "\n"


def _few(value: float) -> str:
    if 0 < value < 0.0005:
        return "<0.0005"
    # Two digits below the limit too, so that none is rounded onto it.
    return f"{value:.2f}" if value >= LIMIT else f"{value:.2g}"


def section(results: dict[str, Any]) -> str:
    """Return the section of the document."""
    passing = [p for p in LOWER if all(max(c[p]["changes"].values()) < LIMIT for c in results.values())]
    images = next(iter(results.values()))["images"]
    if passing:
        follows = f"{' and '.join(passing)} may become a default; until it does, float32 stays the default everywhere."
    else:
        follows = "None of them is below it everywhere: float32, with TF32 off, stays the default on every device."
    paragraphs = [
        f"Measured by `benchmarks/precision.py` on {len(results)} encoders with the depth of their families (random "
        f"weights and little width, or trained on CIFAR-10), from {images:,} images, the same for every precision. "
        f"float16 and TF32 are emulated on a CPU: rounded as a GPU rounds, with float32 sums. The column of float64 "
        f"says what float32 itself loses, on the first {REFERENCE_IMAGES:,} images. A lower precision may become a "
        f"default only if, for every encoder, it moves κ at every ε and the score by less than a tenth of their "
        f"standard errors. {follows}",
        "The score is a sum over a grid of threshold accuracies, and steps by about 0.0005 where the accuracy at a "
        "scale passes one of them: nearly a tenth of its standard error, whatever gave the push. κ has no steps, so it "
        "is the finer judge. Where κ is not above its own standard error, as of EfficientNet, a row says little.",
    ]
    text = "\n\n".join(textwrap.fill(paragraph, 120, break_on_hyphens=False) for paragraph in paragraphs)
    return f"{HEADING}\n\n{text}\n\n{tables(results)}"


def paste(text: str, document: Path) -> None:
    """Put the section at the end of the document, in place of what it was."""
    before, _, after = document.read_text().partition(HEADING)
    following = after.find("\n## ")
    rest = after[following:] if following >= 0 else ""
    document.write_text(before.rstrip() + "\n\n" + text.rstrip() + "\n" + rest)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what is not known yet, and write tables and document."""
    options = parser(__doc__)
    options.add_argument("--trained", type=Path, help="folder with encoders NAME-trained, as real_encoders.py writes")
    options.add_argument("--only", metavar="NAME", help="encoders with this in their name")
    options.add_argument("--fresh", action="store_true", help="measure again what the results hold already")
    options.add_argument("--images", type=positive, help=f"default {IMAGES}")
    options.add_argument("--device", default="cpu", help="where the encoders run; default cpu")
    options.add_argument("--out", type=Path, help="for results; default benchmarks/results, of a smoke run elsewhere")
    options.add_argument("--table", action="store_true", help="measure nothing: write tables and document anew")
    asked: argparse.Namespace = options.parse_args(arguments)
    torch.set_num_threads(1)
    scratch = Path(tempfile.gettempdir()) / "synbench-precision"
    out = asked.out or (scratch if asked.quick else HERE / "results")
    out.mkdir(parents=True, exist_ok=True)
    stem = "precision" if asked.device == "cpu" else f"precision-{asked.device.partition(':')[0]}"
    record = out / f"{stem}.json"
    results = json.loads(record.read_text()) if record.exists() and not asked.fresh else {}
    images = asked.images or (256 if asked.quick else IMAGES)
    for name, make in {} if asked.table else sources(asked.trained, asked.only).items():
        if name in results:
            continue
        began = time.perf_counter()
        results[name] = measure(make, images, asked.device)
        told = {precision: results[name][precision]["changes"] for precision in LOWER}
        note(f"{name}: {time.perf_counter() - began:.0f} s; {json.dumps(told)}")
        record.write_text(json.dumps(results, indent=1) + "\n")
    text = tables(results)
    head = f"{machine()}{'. A smoke run: these numbers mean nothing' if asked.quick else ''}.\n\n"
    (out / f"{stem}.md").write_text(head + text)
    print(head + text)
    if record == HERE / "results" / "precision.json":
        paste(section(results), DOCUMENT)


if __name__ == "__main__":
    main()
