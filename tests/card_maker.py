"""Random and adversarial model cards for ``card_fuzz``: the same seed gives the same cards."""

import random
import re
from dataclasses import dataclass

OPEN, CLOSE = "\ue000", "\ue001"  # around an earlier result of ours, or an empty value, until the card is done
OURS = {
    "task": {"type": "image-feature-extraction", "name": "Image Feature Extraction"},
    "dataset": {"type": "synbench/gm", "name": "SynBench mixture", "config": "population-3x8x8", "revision": "v1"},
    "metrics": [
        {"type": "synbench_score", "value": 0.6543, "name": "SynBench-Score (ε = 0)", "args": {"epsilon": 0.0}}
    ],
    "source": {"name": "SynBench 0.1", "url": "https://huggingface.co/datasets/synbench/gm#about"},
}
BODIES = [
    "", "\n", "# Title\n", "\n# Title\n\nText without an end", "```yaml\n---\nlicense: mit\n---\n```\n",
    "text\n\n---\n\nmore\n", "---\n", "---\n---\n", "---\nlicense: gpl\n---\n", "# 🧪 é\u2028x\u0085y\x00z\n",
    "<!-- model-index: -->\n", "   \n\t\n", "\ufeff# T\n", "model-index:\n- name: fake\n", "...\n",
    "| a | b |\n|---|---|\n| 1 | 2 |\n", "Title\n---\ntext\n", "\n\n\n---",
]  # fmt: skip
EASY = [
    "license: mit", 'license: "apache-2.0"', "language: no", "language: [en, 'no', \"de\"]",
    "language:\n- en\n-   no\n", "tags:\n    -   a\n    - on\n    - 010", "tags: []",
    "tags:\n- &none\n".replace(" &none", " ~"), "version: 1.10", "time: 12:30:45", "count: 010", "date: 2024-01-02",
    "stamp: 2024-01-02 03:04:05.6 +02:00", "flag: yes", "nothing:", "nothing: ~", "far: .inf", "not: .nan",
    "octal: 0o17", "hexa: 0x1F", "big: 1e5", "small: 1.0e-05", "long: 1_000", "base_model: a/b", "pipeline_tag: x",
    "text: a plain\n  scalar of\n\n  lines", 'text: "a \\\n  double \\u00e9\n  one"', "text: 'a ''single''\n\n  one'",
    "url: https://x.org/#frag", "emoji: 🧪", "schlüssel: wert", '"quoted key": 1', "'other-key': \"yes\"",
    "widget:\n- text: a\n  output:\n    url: b.png\n- text: 'c'", "deep: {a: [1, {b: null}], c: 'd'}",
    "deep:\n      far:\n              in:\n              - x", "flow: [a,\n  b,\n  c]", "model_name: other",
    "eval_results: []", "datasets: [imagenet-1k]", "inference: false", "extra: '---'", "note: 'model-index: []'",
    "model-index2: 1", "model_index:\n- name: x", "trail: x   ", "colon: a:b", "null_name: null",
    "metrics: [accuracy]", "list:\n- - a\n  - b\n- - c", "? complex\n: value", "dict:\n  ? inner\n  : value",
    "results: 1", "name: x", "self_made: 2024-13-45x", "amp: a&b *c", "percent: 50%", "empty_string: ''",
    "empty_map: {}", "zeros: 0.10", "exp: 12e03", "sexa: 190:20:30",
]  # fmt: skip
BLOCKS = ["|", ">", "|-", ">-", "|+", ">+", "|2", "|2-", "|2+"]
HARD = [  # what may be refused: the metadata itself, or its first client, cannot be trusted there
    "eval_results:\n- 1", "1: 2", "yes: 3", "~: 4", "self: 1", "ignore_metadata_errors: true",
    "license: mit\nlicense: gpl", "bad: [a", "bad: 'a", "bad: a: b", "tab:\tvalue", "tab: value\t", "bad: @a",
    "bad: `a`", "bad: %a", "bad: 2024-13-45", "bad: !!python/object:os.system 1", "bad: !!int x",
    "base: &b {x: 1}\nmore:\n  <<: *b", "a: &a [x]\nb: *a", "a: &x 1", "s: !!str 5", "s: !!binary aGk=",
    "s: !!set {a, b}", "o: !!omap [a: 1]", "nul: \x00", "bell: \x07", "del: \x7f", 'sep: "a\u2028b"',
    'sep: "a\u0085b"', "sep: a\u2028b", "x: |\n  a\u2028b", "# c \u2028more: 1", "bom: \ufeffx", "---\nlicense: mit",
    "...", "%YAML 1.2", "a: &r [*r]", "self: &s {a: *s}", "n: 1" + "0" * 300, "n: 1" + ":10" * 300,
    "deep: " + "[" * 60 + "]" * 60, "deep: " + "[" * 3000, "- a", "text", "'text'", "tags: 5", "tags: {a: 1}",
    "{a: b}", "bad: *missing", "x: =", "? [a, b]\n: 1", "? {a: b}\n: 1", "\u0085key: 1", "a: 1\n b: 2", " a: 1",
    "key : 1", "a: 1\rb: 2", "tags: &t [*t]", "model-index: 5", "model-index: {}", "model-index: ''",
    "model-index: [{name: x, results: []}]", "model-index: *none", "model-index: &i []", "model-index: !!seq []",
    "model-index: [\n  ]", "model-index: text", "model-index:\n- &m\n  name: x\n  results: []",
    "model-index:\n- name: x", "model-index:\n- name: x\n  results:", "model-index:\n- results: []",
    "model-index:\n- {name: x, results: []}", "model-index:\n- name: x\n  results: {}",
    "model-index:\n- name: x\n  results: ''", "model-index:\n- x", "model-index:\n- name: x\n  results: [\n  ]",
    "model-index:\n- name: x\n  results: []\n  results: []", "model-index:\n- name: x\n  results: &r []",
    "model-index:\n- name: x\n  results: []\n- name: y\n  results: []",
    "model-index:\n- name: x\n  results: []\n'model-index':\n- name: y\n  results: []",
    "model-index:\n- name: x\n  results:\n  - task: {type: t}\n    dataset: {type: d}\n    metrics: []",
    "model-index:\n  name: x\n  results: []",
    "model-index:\n- name: x\n  results:\n  - &r\n    task: {type: t}\n    dataset: {type: d, name: n}\n"
    "    metrics: []\n  - *r",
]  # fmt: skip
EMPTY_INDEX = ["", " []", " null", " ~", " [ ]", " Null", "   []", "\n  []", "\n  null"]


@dataclass(frozen=True)
class Made:
    """A card; ``spans`` are the bytes that an edit may take away, ``hard`` why it may be refused."""

    card: bytes | None
    hard: frozenset[str]
    spans: tuple[tuple[int, int], ...]


class Maker:
    """One card; everything random comes from ``rng``."""

    def __init__(self, rng: random.Random) -> None:
        self.rng, self.comments, self.hard = rng, 0, set()

    def chance(self, share):
        return self.rng.random() < share

    def comment(self):
        """Return a comment with a number that stands nowhere else."""
        self.comments += 1
        words = ["", " model-index:", " '", ' "x', " - task:", " 🧪 é", " #", " ---", " {", " \t", " a: b", " &a *b !c"]
        return f"#{self.rng.choice(['', ' '])}~{self.comments}~{self.rng.choice(words)}"

    def tail(self):
        return self.rng.choices(["", "  ", f" {self.comment()}"], [8, 1, 1])[0]

    def between(self, indent):
        """Return lines that mean nothing."""
        if not self.chance(0.06):
            return []
        near = max(0, indent + self.rng.randint(-3, 3))
        return self.rng.choice(
            [
                [" " * near + self.comment()],
                [""],
                ["   "],
                ["", " " * indent + self.comment(), ""],
                ["#" + self.comment()],
            ]
        )

    def scalar(self, value):
        if not isinstance(value, str):
            return "null" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)
        styles = [f"'{value}'", '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"']
        return self.rng.choice(
            [value, value, value, *styles] if re.fullmatch(r"[A-Za-z][\w./ ()=ε-]*", value) else styles
        )

    def flow(self, value):
        gap = self.rng.choice(["", " "])
        if isinstance(value, dict):
            inner = ", ".join(f"{key}: {self.flow(item)}" for key, item in value.items())
            return "{" + gap + inner + gap + "}"
        if isinstance(value, list):
            return "[" + gap + ", ".join(map(self.flow, value)) + gap + "]"
        return f'"{value}"' if isinstance(value, str) else self.scalar(value)

    def mapping(self, value, indent):
        step, lines = self.rng.choice([1, 2, 2, 2, 2, 3, 4, 6]), []
        for key, item in value.items():
            if lines:
                lines += self.between(indent)
            head = " " * indent + (self.rng.choice([f'"{key}"', f"'{key}'"]) if self.chance(0.04) else key) + ":"
            if not isinstance(item, dict | list) or not item or self.chance(0.08):
                value = self.flow(item) if isinstance(item, dict | list) else self.scalar(item)
                lines.append(f"{head}{' ' * self.rng.choice([1, 1, 1, 3])}{value}{self.tail()}")
            else:
                lines.append(head + self.tail())
                lines += (
                    self.mapping(item, indent + step)
                    if isinstance(item, dict)
                    else self.sequence(item, indent + self.rng.choice([0, 0, 2, 4]))
                )
        return lines

    def sequence(self, items, indent):
        gap, lines = self.rng.choice([1, 1, 1, 1, 2, 3]), []
        for item in items:
            lines += self.between(indent) if lines else []
            lines += self.entry(
                self.mapping(item, indent + 1 + gap) if isinstance(item, dict) else [self.scalar(item)], indent, gap
            )
        return lines

    def entry(self, lines, indent, gap):
        pad = " " * indent + "-"
        return (
            [pad + self.tail(), *lines]
            if self.chance(0.05) and len(lines) > 1
            else [pad + " " * gap + lines[0].lstrip(" "), *lines[1:]]
        )

    def foreign(self):
        kind = self.rng.choice(["other", "other", "config", "metric", "no metrics"])
        dataset = {
            "type": "imagenet-1k",
            "name": "ImageNet",
            "args": {"b": 1, "a": None},
            "config": "no",
            "revision": "010",
        }
        metrics = [
            {
                "type": "accuracy",
                "value": self.rng.choice([1, True, 0.5, "12.5 ± 1", "1.10", None, 2**60]),
                "verified": False,
            }
        ]
        if kind == "config":
            dataset, metrics = {**OURS["dataset"], "config": "paper"}, OURS["metrics"]
        if kind == "metric":
            dataset, metrics = OURS["dataset"], [*OURS["metrics"], *metrics]
        made = {
            "task": {"type": "x", "name": "yes"},
            "dataset": dataset,
            "metrics": [] if kind == "no metrics" else metrics,
        }
        return {**made, "source": {"url": "https://x.org/#a"}} if self.chance(0.5) else made

    def ours(self, indent):
        """Return the lines of an earlier result of ours, or of one that equals the new one."""
        before, value = self.comments, self.rng.choice([0.6543, 0.6543, 0.1, "0.6543", 1, None])
        result = {**OURS, "metrics": [{**OURS["metrics"][0], "value": value}]}
        if self.chance(0.2):
            result = dict(reversed(result.items()))
        if self.chance(0.1):
            lines = [" " * indent + self.flow(result)]
        else:
            lines = self.mapping(result, indent)
            if self.chance(0.1):
                lines += [" " * indent + "note: " + self.rng.choice(BLOCKS[:6]), " " * indent + "  a block", ""]
        if self.comments > before:
            self.hard.add("comment by ours")
        return (
            [lines[0][:indent] + OPEN + lines[0][indent:], *lines[1:-1], lines[-1] + CLOSE]
            if len(lines) > 1
            else [" " * indent + OPEN + lines[0][indent:] + CLOSE]
        )

    def index(self):
        """Return the lines of a model-index."""
        key = self.rng.choice(["model-index:"] * 8 + ['"model-index":', "'model-index':"])
        if self.chance(0.15):
            empty = self.rng.choice(EMPTY_INDEX)
            return (key + OPEN + empty + self.tail() + CLOSE).split("\n")
        indent, gap = self.rng.choice([0, 0, 0, 2, 4]), self.rng.choice([1, 1, 1, 3])
        inner = indent + 1 + gap
        name = [" " * inner + f"name: {self.rng.choice(['m', 'other name', chr(34) + 'x' + chr(34)])}{self.tail()}"]
        if self.chance(0.12):
            results = [" " * inner + "results:" + OPEN + " []" + self.tail() + CLOSE]
        else:
            column, space, results = (
                inner + self.rng.choice([0, 0, 0, 2, 4]),
                self.rng.choice([1, 1, 1, 3]),
                [" " * inner + "results:" + self.tail()],
            )
            count = self.rng.choice([1, 1, 1, 2, 3])
            mine = [self.rng.randrange(count)] if self.chance(0.45) else []
            if mine and count > 1 and self.chance(0.08):
                mine = list(range(count))
                self.hard.add("several of ours")
            for place in range(count):
                lines = (
                    self.ours(column + 1 + space) if place in mine else self.mapping(self.foreign(), column + 1 + space)
                )
                if place == count - 1 and place not in mine and self.chance(0.15):
                    lines += [
                        " " * (column + 1 + space) + "note: " + self.rng.choice(BLOCKS[:6]),
                        " " * (column + 3 + space) + "a block # no comment",
                    ]
                results += [*self.between(column), *self.entry(lines, column, space)]
        parts = [name, [" " * inner + f"other: {self.tail()}"]] if self.chance(0.1) else [name]
        parts.insert(self.rng.choice([len(parts), len(parts), 0]), results)
        flat = [line for part in parts for line in part]
        flat[0] = " " * indent + "-" + " " * gap + flat[0][inner:]
        return [key + self.tail(), *self.between(indent), *flat]

    def keys(self):
        """Return the lines of all metadata."""
        chosen = {
            text.split(":")[0].strip("\"'"): text
            for text in self.rng.sample(EASY, self.rng.choice([0, 1, 2, 3, 3, 4, 6]))
        }
        parts = [
            [line + (self.tail() if "\n" not in text else "") for line in text.split("\n")] for text in chosen.values()
        ]
        if self.chance(0.25):
            block = [
                f"description: {self.rng.choice(BLOCKS)}{self.tail().rstrip()}",
                "  a block",
                *self.rng.choice([[], [""], ["  # of text", "", "  two"]]),
            ]
            parts.insert(self.rng.choice([0, len(parts), len(parts)]), block)
        if self.chance(0.55):
            parts.insert(self.rng.randint(0, len(parts)), self.index())
        if self.chance(0.12):
            parts.insert(self.rng.randint(0, len(parts)), self.rng.choice(HARD).split("\n"))
            self.hard.add("hard")
        lines = [line for part in parts for line in [*self.between(0), *part]]
        if not parts:
            lines = self.rng.choice(
                [[], [""], ["  "], [OPEN + "{}" + CLOSE], [self.comment(), OPEN + "{}" + CLOSE], [self.comment()]]
            )
            self.hard |= {"only comments"} if any(line.startswith("#") for line in lines[-1:]) else set()
        if self.chance(0.04) and not self.hard and "description" not in "".join(lines):
            lines = ["  " + line if line else line for line in lines]
        return lines + ([self.comment()] if parts and self.chance(0.08) else [])

    def text(self):
        body = self.rng.choice(BODIES)
        lead = self.rng.choices(
            ["", "\ufeff", "\n", "\n \n", "\ufeff\n\n", "\u00a0\n", "\n\ufeff", "\u0085", "\x1c\n", "\ufeff\ufeff"],
            [70, 8, 6, 4, 3, 1, 1, 1, 1, 1],
        )[0]
        if self.chance(0.08):
            self.hard |= {"rule"} if body.startswith("---\n") or lead not in ("", "\n", "\ufeff") else set()
            return lead + body
        opening = self.rng.choices(["---", "--- ", "----", "---\t", "\u2014--"], [95, 2, 1, 1, 1])[0]
        closing = self.rng.choices(["---", "---  ", "---\t", "", "----", "...", " ---"], [88, 5, 2, 2, 1, 1, 1])[0]
        if (
            opening != "---"
            or closing.strip() != "---"
            or closing[0] == " "
            or any(c in lead.removeprefix("\ufeff") for c in "\ufeff\u0085\x1c")
        ):
            self.hard.add("rules")
        lines = self.keys()
        if not lines:
            self.hard.add("rules")  # "---" right after "---" closes nothing
        return (
            lead
            + "\n".join([opening, *lines, closing])
            + (self.rng.choice(["\n", "\n", "\n", "\n", ""]) if body == "" else "\n")
            + body
        )

    def mutate(self, text):
        self.hard.add("mutated")
        for _ in range(self.rng.choice([1, 1, 2, 4])):
            lines, at = text.split("\n"), self.rng.randint(0, len(text))
            row = self.rng.randrange(len(lines))
            what = self.rng.choice(["insert", "insert", "delete", "double", "drop", "swap", "indent", "cut"])
            if what == "insert":
                junk = self.rng.choice(
                    [*" \t:#-[]{}&*!|>'\"%@`,?~\n\r\x00\x85\u2028\ufeff", "---\n", "- ", ": ", "\n\n", "é", "<<: "]
                )
                text = text[:at] + junk + text[at:]
            elif what == "delete" and text[at : at + 1] not in (OPEN, CLOSE):
                text = text[:at] + text[at + 1 :]
            elif what == "cut" and not {OPEN, CLOSE} & set(text[at : at + 9]):
                text = text[:at] + text[at + 9 :]
            elif what in ("double", "drop") and not {OPEN, CLOSE} & set(lines[row]):
                text = "\n".join(lines[:row] + [lines[row]] * (2 if what == "double" else 0) + lines[row + 1 :])
            elif what == "swap":
                other = self.rng.randrange(len(lines))
                if not {OPEN, CLOSE} & set(lines[row] + lines[other]):
                    lines[row], lines[other] = lines[other], lines[row]
                    text = "\n".join(lines)
            elif what == "indent":
                lines[row] = " " * self.rng.randint(1, 4) + lines[row]
                text = "\n".join(lines)
        return text

    def endings(self, text):
        kind = self.rng.choices(["\n", "\r\n", "\r", "mixed"], [72, 16, 3, 9])[0]
        if kind == "\r":
            self.hard.add("old line endings")
        if kind != "mixed":
            return text.replace("\n", kind)
        return re.sub("\n", lambda _: self.rng.choice(["\n", "\r\n"]), text)

    def make(self):
        if self.chance(0.003):
            return Made(None, frozenset(), ())
        text = self.text()
        text = self.endings(self.mutate(text) if self.chance(0.15) else text)
        pieces, spans, opened, size = re.split(f"([{OPEN}{CLOSE}])", text), [], 0, 0
        kept = b""
        for piece in pieces:
            if piece == OPEN:
                opened = size
            elif piece == CLOSE:
                spans.append((opened, size))
            else:
                kept += piece.encode("utf-8", "surrogatepass")
                size = len(kept)
        if self.chance(0.015):
            self.hard.add("bytes")
            at = self.rng.randint(0, len(kept))
            kept = self.rng.choice(
                [
                    kept[:at] + bytes([self.rng.randint(128, 255)]) + kept[at:],
                    kept.decode().encode("utf-16"),
                    "---\nname: é\n---\n".encode("latin-1"),
                    self.rng.randbytes(at),
                    kept + b"x" * 5_000_001,
                ]
            )
        if "mutated" in self.hard:  # our last line may have become longer
            spans = [(start, re.compile(rb"[\r\n]|$").search(kept, stop).start()) for start, stop in spans]
        return Made(kept, frozenset(self.hard), tuple(spans))


def make(seed: int) -> Made:
    """Return card number ``seed``."""
    return Maker(random.Random(seed)).make()
