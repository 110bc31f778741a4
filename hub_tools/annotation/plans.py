"""A plan: which models are scored, at which commits, and how; a YAML file that a person can read and edit.

One line a model, sorted by id: a line that is deleted is a model that is left alone. Values are read as they are
written, so that a commit of digits alone stays a commit.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml

from synbench.errors import ArgumentError
from synbench.output import check_writable, replacing

from .plan_settings import LOADING, MIXTURE, checked

VERSION = 1

ID = re.compile(r"(?!.*(?:--|\.\.))[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}(?<!\.git)(?<![.-])", re.ASCII)
"""Id of a model on the Hub."""

COMMIT = re.compile(r"[0-9a-f]{40}")

_T = TypeVar("_T")
# Read by YAML as a number, unless it is quoted.
_NUMBER = re.compile(r"[0-9._e]+")
_COUNTS = ("parameters", "bytes", "downloads")
# The same in C where libyaml is there.
_SAFE = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_HEADER = """\
# Models to score with SynBench, made by `synbench hub annotate plan`. Edit it as you like: a model is left alone if its
# line is deleted. Then:
#     synbench hub annotate score PLAN --results FOLDER
#     synbench hub annotate apply PLAN --results FOLDER --allow FILE --dry-run
"""
_SETTINGS_HEADER = f"""\
# How each is scored: options of `synbench score`, with _ for -. Known here: {", ".join(MIXTURE[:5])},
# {", ".join(MIXTURE[5:])}, {", ".join(LOADING)}.
"""


@dataclass(frozen=True)
class PlannedModel:
    """One line of a plan.

    Args:
        id: on the Hub.
        commit: that is scored.
        parameters: of its safetensors files, as the Hub tells them.
        bytes: likewise.
        downloads: in the last month, when the plan was made.
    """

    id: str
    commit: str
    parameters: int | None = None
    bytes: int | None = None
    downloads: int | None = None


@dataclass(frozen=True)
class Plan:
    """What is to be scored, and how.

    Args:
        models: no two of the same id, whatever its case.
        settings: as ``plan_settings.checked`` returns them.
        query: what was asked of the Hub; told to the reader, not used.
        left_out: how many models were left out, by reason; likewise.
    """

    models: tuple[PlannedModel, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    query: Mapping[str, Any] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)


def write_plan(plan: Plan, path: Path, *, overwrite: bool = False) -> None:
    """Write a plan.

    Raises:
        ArgumentError: the file is there, and ``overwrite`` is not set: somebody may have edited it.
        OutputError: it cannot be written.
    """
    check_free(path, overwrite=overwrite)
    with replacing(path) as stream:
        stream.write(to_yaml(plan).encode())


def check_free(path: Path, *, overwrite: bool = False) -> None:
    """Refuse a name for a plan that is taken, before the Hub is asked for what it is to hold.

    Raises:
        ArgumentError: the file is there, and ``overwrite`` is not set.
        OutputError: it cannot be written.
    """
    if path.exists() and not overwrite:
        raise ArgumentError(
            f"{str(path)!r} is there already, and may have been edited. Give another name, or --overwrite."
        )
    check_writable(path)


def to_yaml(plan: Plan) -> str:
    """Return a plan as text."""
    parts = [_HEADER, f"plan: {VERSION}\n"]
    parts += [_block(name, dict(told)) for name in ("query", "left_out") if (told := getattr(plan, name))]
    parts += [_SETTINGS_HEADER, _block("settings", dict(plan.settings))]
    parts.append("models:\n" if plan.models else "models: []\n")
    parts += [f"- {_line(model)}\n" for model in sorted(plan.models, key=lambda model: model.id.lower())]
    return "".join(parts)


def read_plan(path: Path) -> Plan:
    """Read a plan, edited or not.

    Raises:
        ArgumentError: it cannot be read, or a line is wrong; the message names it.
    """
    try:
        text = path.read_bytes().decode()
    except OSError as error:
        raise ArgumentError(f"cannot read the plan {str(path)!r}: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise ArgumentError(
            f"expected a plan in UTF-8 in {str(path)!r}, got something else ({error.reason})."
        ) from error
    return from_yaml(text, str(path))


def from_yaml(text: str, name: str = "plan") -> Plan:
    """Read the text of a plan.

    Args:
        text: see ``to_yaml``.
        name: of the file, for messages.

    Raises:
        ArgumentError: a line is wrong; the message names it.

    >>> plan = Plan((PlannedModel("org/model", "0123456789" * 4),), {"seed": 1})
    >>> from_yaml(to_yaml(plan)) == plan
    True
    """
    loader = _SAFE(text)
    try:
        root = loader.get_single_node()
        parts = _mapping(root, name)
        if strange := [key for key in parts if key not in ("plan", "query", "left_out", "settings", "models")]:
            raise _wrong(name, parts[strange[0]], f"{strange[0]!r} is no part of a plan")
        version = parts.get("plan")
        if version is None or version.value != str(VERSION):
            raise _wrong(name, version or root, f"expected plan: {VERSION}, which says of which version this plan is")
        told: dict[str, Any] = {}
        for part in ("settings", "query", "left_out"):
            node = parts.get(part)
            told[part] = (loader.construct_document(node) if node is not None else None) or {}
            if not isinstance(told[part], dict):
                raise _wrong(name, node, f"expected {part} by name, got {type(told[part]).__name__}")
        told["settings"] = _settings(told["settings"], parts.get("settings"), name)
        return Plan(tuple(_models(parts.get("models"), root, name)), **told)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        if isinstance(error, ArgumentError):
            raise
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1} of {name!r}" if mark is not None else repr(name)
        raise ArgumentError(
            f"{where} is no YAML: {getattr(error, 'problem', None) or str(error)[:200]}. Put it right, or make the "
            f"plan anew with synbench hub annotate plan."
        ) from error
    finally:
        loader.dispose()


def parse_models(text: str) -> tuple[PlannedModel, ...]:
    """Read models given on a command line.

    Raises:
        ArgumentError: they are not ``id@commit``, separated by commas, each once.

    >>> parse_models("org/model@0123456789012345678901234567890123456789")[0].id
    'org/model'
    """
    found = []
    for part in text.split(","):
        repo_id, at, commit = part.strip().partition("@")
        if not (at and ID.fullmatch(repo_id) and COMMIT.fullmatch(commit)):
            raise ArgumentError(
                f"expected models as id@commit, separated by commas, with the 40 digits of the commit, got {part!r}."
            )
        found.append(PlannedModel(repo_id, commit))
    ids = [model.id.lower() for model in found]
    if len(set(ids)) < len(ids):
        raise ArgumentError("expected each model once, got one twice. A model has one commit to be scored at.")
    return tuple(found)


def parse_shard(text: str) -> tuple[int, int]:
    """Read ``i/n``: the shard i of n, counted from 1.

    Raises:
        ArgumentError: it is not that.

    >>> parse_shard("2/10")
    (2, 10)
    """
    match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text.strip(), re.ASCII)
    index, count = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= index <= count:
        raise ArgumentError(f"expected a shard as i/n with i from 1 to n, such as 1/8, got {text!r}.")
    return index, count


def shard_of(models: Sequence[_T], shard: tuple[int, int]) -> list[_T]:
    """Return every n-th of the models, from the i-th on: each is in exactly one of the n shards.

    >>> [shard_of("abcde", (i, 2)) for i in (1, 2)]
    [['a', 'c', 'e'], ['b', 'd']]
    """
    index, count = shard
    return list(models[index - 1 :: count])


def _settings(asked: dict[str, Any], node: Any, name: str) -> dict[str, Any]:
    lines = _mapping(node, name) if asked else {}
    try:
        return checked(asked)
    except ArgumentError as error:
        # The line of the setting that the message begins with, if it is about one.
        about = next((line for key, line in lines.items() if re.match(rf"'?{re.escape(key)}\b", str(error))), node)
        raise _wrong(name, about, str(error)) from error


def _models(node: Any, root: Any, name: str) -> Iterator[PlannedModel]:
    if node is None or not isinstance(node, yaml.SequenceNode):
        raise _wrong(name, node or root, "expected models: and a line for each, even if there are none (models: [])")
    lines: dict[str, int] = {}
    for line in node.value:
        model = _model(line, name)
        first = lines.setdefault(model.id.lower(), line.start_mark.line + 1)
        if first != line.start_mark.line + 1:
            raise _wrong(name, line, f"{model.id!r} stands in line {first} already; keep one of them")
        yield model


def _model(node: Any, name: str) -> PlannedModel:
    parts = _mapping(node, name)
    values: dict[str, Any] = {}
    for key, value in parts.items():
        if not isinstance(value, yaml.ScalarNode):
            raise _wrong(name, value, f"expected one word or number as {key}")
        values[key] = value.value
    repo_id, commit = values.pop("id", None), values.pop("commit", None)
    if repo_id is None or not ID.fullmatch(repo_id):
        raise _wrong(name, node, f"expected id: and the name of a model on the Hub, such as org/model, got {repo_id!r}")
    if commit is None or not COMMIT.fullmatch(commit):
        raise _wrong(name, node, f"expected commit: and its 40 hexadecimal digits, got {commit!r}")
    counts: dict[str, int] = {}
    for key, value in values.items():
        if key not in _COUNTS:
            raise _wrong(name, parts[key], f"{key!r} is nothing that a plan tells of a model")
        if not (value.isascii() and value.isdigit() and len(value) < 20):
            raise _wrong(name, parts[key], f"expected a whole number as {key}, got {value!r}")
        counts[key] = int(value)
    return PlannedModel(repo_id, commit, **counts)


def _mapping(node: Any, name: str) -> dict[str, Any]:
    """Return the nodes of a mapping by their keys, each of which stands there once."""
    if not isinstance(node, yaml.MappingNode):
        raise _wrong(name, node, "expected names with values, such as {id: org/model, commit: ...}")
    found: dict[str, Any] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode) or key.value in found:
            raise _wrong(name, key, f"{getattr(key, 'value', 'a name')!r} stands there twice, or is no name")
        found[key.value] = value
    return found


def _wrong(name: str, node: Any, problem: str) -> ArgumentError:
    where = repr(name) if node is None else f"line {node.start_mark.line + 1} of {name!r}"
    return ArgumentError(f"{where}: {problem.rstrip('.')}.")


def _line(model: PlannedModel) -> str:
    commit = f'"{model.commit}"' if _NUMBER.fullmatch(model.commit) else model.commit
    counts = [f"{name}: {value}" for name in _COUNTS if (value := getattr(model, name)) is not None]
    return "{" + ", ".join([f"id: {model.id}", f"commit: {commit}", *counts]) + "}"


def _block(name: str, values: dict[str, Any]) -> str:
    text: str = yaml.safe_dump(
        {name: values}, sort_keys=False, allow_unicode=True, default_flow_style=None, width=10**6
    )
    return text
