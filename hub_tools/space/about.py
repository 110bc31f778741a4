"""The texts of the app that are longer than a sentence, as Markdown."""

PROGRAMS = """\
## From Python

```python
from gradio_client import Client

app = Client("user/synbench")                        # this Space, or the address of this page
record = app.predict("facebook/dinov2-small", 8192, 0, False, api_name="/score")
print(record["synbench_score"], record["interval"], record["meaning"])
```

| endpoint | what it takes | what it gives |
|---|---|---|
| `/score` | `model`, `images`, `seed`, `untrained_twin` | the whole record of a score |
| `/compare` | `models` (two to eight), `images` | scores, differences with intervals, tie groups |
| `/leaderboard` | `task`, `search` | the rows of the leaderboard |
| `/score_encoder` | `model`, `images` | the score in brief, as JSON text |

`Report.from_dict(record)` of the package reads a record back, and refuses what does not fit. An error comes as a
sentence with a next step. You wait in the same line as everybody else; until the end, `app.submit(...)` tells how far
it is, and cancelling it stops the work.

## For agents (MCP)

The tool `score_encoder` is offered at `/gradio_api/mcp/` of this app:

```json
{"mcpServers": {"synbench": {"url": "https://user-synbench.hf.space/gradio_api/mcp/"}}}
```

## Links

`?model=facebook/dinov2-small` fills in a model, `?compare=model,model` several; `?tab=leaderboard` opens a page.
After a run, the address of the page is that of its result.
"""

ABOUT = """\
## What the score says

Two Gaussian classes are drawn as images. For these, the best trade-off between accuracy and robustness that any
classifier can have is known in closed form. The encoder embeds the images, a linear classifier that withstands a shift
of ε is fitted to the representations, and the score is the share of the optimum that is left: 1 is all of it, 0 is
nothing. κ is the share of the images' discriminability that the representations keep.

Every number comes with a 95 % interval, over images of other seeds. The untrained twin is the same architecture with
random weights, on the same images.

## What it does not say

It tells how much of one known problem survives an encoder. It does not tell how the encoder does on your task, and an
untrained network often scores higher than the trained one of its architecture.

## What runs here

Public models of the Hub with safetensors; no code of a repository is run, no other file format is read, and what you
type is not kept. Results are: the same question is answered at once, and a link to a result stays good as long as it
is kept. Larger models, gated ones and longer runs are for your own machine: `synbench score MODEL`.

Source: C.-Y. Ko, P.-Y. Chen, J. Mohapatra, P. Das, L. Daniel, *SynBench: Task-Agnostic Benchmarking of Pretrained
Representations using Synthetic Data*, arXiv 2210.02989.
"""
