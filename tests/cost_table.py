"""The table of docs/hub.md: what 10,000 models cost on Hugging Face Jobs.

python -m tests.cost_table       prints it
"""

from hub_tools.annotation.plans import Plan, PlannedModel
from hub_tools.at_scale.costs import choose, estimate, flavours
from hub_tools.at_scale.shards import cut

MODELS = ((3000, 22_000_000), (5000, 86_000_000), (2000, 304_000_000))
"""How many, of how many parameters: a made-up third of small, half of base and fifth of large vision transformers."""

FLAVOURS = ("cpu-upgrade", "cpu-performance", "t4-small", "l4x1", "a10g-small", "l40sx1", "a100-large")
PER_SHARD = 64


def plan() -> Plan:
    """Return a plan of the models."""
    sizes = [size for count, size in MODELS for _ in range(count)]
    return Plan(tuple(PlannedModel(f"org/m{n}", f"{n:040x}", size) for n, size in enumerate(sizes)))


def table() -> str:
    """Return the table in Markdown."""
    known, whole = flavours(), plan()
    rows = ["| flavour | $ an hour | machine hours | longest shard | hours, 100 at a time | $ in all |"]
    rows.append("|---|---|---|---|---|---|")
    for name in FLAVOURS:
        flavour = choose(name, known)
        shards = cut(whole, flavour, PER_SHARD)
        told = estimate(flavour, [shard.seconds for shard in shards])
        # Not less than the longest one, and not less than what there is to do by all machines together.
        wall = max(told.longest, told.hours / min(100, len(shards)))
        cells = (
            f"`{name}`",
            f"{flavour.dollars:.2f}",
            f"{told.hours:,.0f}",
            f"{told.longest:,.1f} h",
            f"{wall:,.1f}",
            f"{told.dollars:,.0f}",
        )
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


if __name__ == "__main__":
    print(table())  # noqa: T201
