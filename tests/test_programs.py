"""What programs and agents call: the real clients of Gradio and of MCP against the app in a process of its own."""

import asyncio
import json
import re

import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError

import synbench
from synbench.comparison import Comparison
from synbench.report import Report

from . import checkpoints
from .browser import launch_app
from .hub import Hub

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning")]

TOKEN = "hf_ownerOWNERowner"
BAD = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    with Hub() as made:
        made.sign_up("owner", TOKEN)
        for seed in range(2):
            made.create(f"org/vit-{seed}", checkpoints.vit(folder / str(seed), seed=seed))
        made.create("org/text", checkpoints.text_only(folder / "text"))
        made.create("owner/private", checkpoints.vit(folder / "private"), private=True)
        yield made


@pytest.fixture(scope="module")
def app(hub, tmp_path_factory):
    """The app with a token of its owner's: in its environment, and where ``hf auth login`` leaves it."""
    home = tmp_path_factory.mktemp("home")
    (home / "token").write_text(TOKEN)
    env = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(home), "HF_TOKEN": TOKEN, "OMP_NUM_THREADS": "1"}
    with launch_app("app.py", env) as launched:
        yield launched
        assert "Traceback" not in launched.output
        assert TOKEN not in launched.output


@pytest.fixture(scope="module")
def client(app):
    return Client(app.url, verbose=False)


def without_time(record):
    return {name: value for name, value in record.items() if name not in ("seconds", "from_cache")}


def ask(app, work):
    """Open a session as an agent, and do something in it."""
    from mcp import ClientSession
    from mcp.client.streamable_http import streamable_http_client

    async def session():
        async with (
            streamable_http_client(f"{app.url}/gradio_api/mcp/") as (read, write, _),
            ClientSession(read, write) as opened,
        ):
            await opened.initialize()
            return await work(opened)

    return asyncio.run(session())


def test_a_score_is_that_of_the_package(client):
    record = client.predict("synbench:demo", 1024, 5, False, api_name="/score")
    assert without_time(record) == without_time(synbench.score("synbench:demo", images=1024, seed=5).to_dict())
    assert Report.from_dict(record).to_dict() == record


def test_a_model_of_the_hub_is_scored_at_its_commit_and_its_twin_beside_it(client, hub):
    record = client.predict(
        f"{hub.endpoint}/org/vit-0".replace(hub.endpoint, "https://huggingface.co"), 1024, 0, True, api_name="/score"
    )
    assert record["settings"]["model"]["id"] == "org/vit-0"
    assert record["settings"]["model"]["commit"] == hub.repositories["models", "org/vit-0"].refs["main"]
    assert record["baseline"]["synbench_score"] is not None


def test_defaults_may_be_left_out(client):
    record = client.predict(images=1024, api_name="/score")
    assert (record["settings"]["model"]["id"], record["settings"]["seed"]) == ("synbench:demo", 0)
    assert record["baseline"] is None


def test_models_are_compared_on_the_same_images(client):
    record = client.predict(["org/vit-0", "org/vit-1", "org/vit-0"], 1024, api_name="/compare")
    (pair,) = record["differences"]
    assert pair["paired"]
    scores = [client.predict(f"org/vit-{n}", 1024, 0, False, api_name="/score")["synbench_score"] for n in range(2)]
    assert abs(pair["difference"]) == pytest.approx(abs(scores[0] - scores[1]))
    assert Comparison.from_dict(record).to_dict() == record


def test_the_leaderboard_of_an_empty_hub_is_empty(client):
    assert client.predict(api_name="/leaderboard") == []
    assert client.predict("no_such_task", "vit", api_name="/leaderboard") == []


def test_a_score_in_brief_is_json(client):
    found = json.loads(client.predict("synbench:demo", 1024, api_name="/score_encoder"))
    record = client.predict("synbench:demo", 1024, 0, False, api_name="/score")
    assert found["synbench_score"] == record["synbench_score"]
    assert found["interval_95"] == record["interval"]
    assert found["kappa"] == record["kappa"][0]
    assert (found["model"], found["commit"], found["images"]) == ("synbench:demo", None, 1024)


def test_no_token_of_the_owners_is_sent_and_what_it_would_open_is_not_there(client, hub):
    with pytest.raises(AppError, match="there is no public model 'owner/private' on the Hub"):
        client.predict("owner/private", 1024, 0, False, api_name="/score")
    assert len(hub.requests) > 5
    assert {request.token for request in hub.requests} == {None}


@pytest.mark.parametrize(
    ("endpoint", "arguments", "match"),
    [
        (
            "/score",
            ("org/missing", 1024),
            r"^there is no public model 'org/missing' on the Hub\. Check the spelling\.$",
        ),
        ("/score", ("no id", 1024), r"^expected the id of a model on the Hub, such as facebook/dinov2-small"),
        ("/score", ("synbench:demo", 1000), r"^images must be one of 1024, 2048, 4096, 8192, 16384, got 1000\.$"),
        ("/score", ("synbench:demo", 1024, -1), r"^seed must be a whole number"),
        ("/score", ("org/text", 1024), r"org/text"),
        ("/score_encoder", ("org/missing", 1024), r"^there is no public model 'org/missing'"),
        ("/compare", (["synbench:demo"], 1024), r"^expected two to 8 different models to compare, got 1\.$"),
        ("/compare", (["synbench:demo"] * 3, 1024), r"^expected two to 8 different models to compare, got 1\.$"),
        (
            "/compare",
            ([f"org/{n}" for n in range(9)], 1024),
            r"^expected two to 8 different models to compare, got 9\.$",
        ),
        ("/compare", (["synbench:demo", "org/missing"], 1024), r"^there is no public model 'org/missing'"),
    ],
)
def test_what_cannot_be_is_told_in_a_sentence(client, endpoint, arguments, match):
    with pytest.raises(AppError, match=match) as raised:
        client.predict(*arguments, api_name=endpoint)
    assert "Traceback" not in str(raised.value)


@pytest.mark.parametrize("endpoint", ["/score", "/score_encoder", "/compare"])
def test_what_is_typed_comes_back_as_text_and_not_as_markup(client, endpoint):
    typed = BAD if endpoint != "/compare" else [BAD, "synbench:demo"]
    with pytest.raises(AppError) as raised:
        client.predict(typed, 1024, api_name=endpoint)
    assert "<img" not in str(raised.value)
    assert "&lt;img src=x onerror=alert(1)&gt;" in str(raised.value)


@pytest.mark.parametrize("arguments", [(None, 1024), (7, 1024), (["a"], 1024), ("synbench:demo", [1]), ("a/b", {})])
@pytest.mark.parametrize("endpoint", ["/score", "/compare", "/score_encoder"])
def test_what_is_of_another_kind_is_refused_without_a_traceback(app, client, endpoint, arguments):
    with pytest.raises(AppError) as raised:
        client.predict(*arguments, api_name=endpoint)
    assert "Traceback" not in str(raised.value)
    assert "/synbench" not in str(raised.value)


def test_only_the_named_endpoints_are_offered(client):
    offered = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    assert set(offered) == {"/score", "/compare", "/leaderboard", "/score_encoder"}
    names = [parameter["parameter_name"] for parameter in offered["/score"]["parameters"]]
    assert names == ["model", "images", "seed", "untrained_twin"]


def test_agents_have_one_tool_with_its_arguments_described(app):
    async def tools(session):
        return (await session.list_tools()).tools

    (tool,) = ask(app, tools)
    assert tool.name.endswith("score_encoder")
    assert "without any data set" in tool.description
    properties = tool.inputSchema["properties"]
    assert set(properties) == {"model", "images"}
    assert "id of a public vision encoder on the Hub" in properties["model"]["description"]
    assert "1024, 2048, 4096, 8192 or 16384" in properties["images"]["description"]
    assert properties["images"]["type"] in ("integer", "number")
    assert tool.inputSchema.get("required", []) == []


def test_an_agent_gets_json_and_errors_as_such(app, client):
    async def calls(session):
        (tool,) = (await session.list_tools()).tools
        good = await session.call_tool(tool.name, {"model": "synbench:demo", "images": 1024})
        bad = await session.call_tool(tool.name, {"model": BAD, "images": 1024})
        return good, bad

    good, bad = ask(app, calls)
    assert not good.isError
    found = json.loads(good.content[0].text)
    assert found == json.loads(client.predict("synbench:demo", 1024, api_name="/score_encoder"))
    assert bad.isError
    said = bad.content[0].text
    assert "expected the id of a model on the Hub" in said
    assert "<img" not in said
    assert not re.search(r"Traceback|File \"", said)
