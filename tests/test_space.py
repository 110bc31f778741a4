"""The app as a visitor has it: the real thing in a process of its own, in a real browser, against the stand-in Hub."""

import csv
import io
import json
import re
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch
import transformers

import synbench
from hub_tools.score.changes import make_change
from synbench.report import Report

from . import checkpoints
from .browser import accessibility, chromium, launch_app, new_page  # noqa: F401
from .hub import Fault, Hub
from .reports import make_report

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::ResourceWarning")]

SIZES = {"desktop": (1280, 900), "phone": (390, 844)}
CARD = b"---\nlicense: mit   # as agreed\n---\n# Tiny\n"
OURS = {"aria-prohibited-attr", "image-redundant-alt"}
"""What axe finds in Gradio itself: an empty part of its own, and a picture in its footer."""


def slow(folder: Path) -> Path:
    """A model that takes minutes: images of 160 pixels, random weights."""
    layers = {**checkpoints.LAYERS, "hidden_size": 192, "intermediate_size": 768, "num_hidden_layers": 8}
    config = transformers.ViTConfig(**{**layers, "image_size": 160, "patch_size": 8, "num_attention_heads": 3})
    torch.manual_seed(0)
    return checkpoints.save(transformers.ViTModel(config), folder, size={"height": 160, "width": 160})


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    with Hub() as running:
        running.sign_up("org", "hf_orgorgorgorg")
        running.sign_up("alice", "hf_alicealicealice")
        running.sign_up("bob", "hf_bobbobbobbob")
        for name, made in (
            ("org/tiny-vit", checkpoints.vit(folder / "vit")),
            ("org/tiny-resnet", checkpoints.resnet(folder / "resnet")),
            ("org/slow", slow(folder / "slow")),
        ):
            files = {path.name: path.read_bytes() for path in sorted(made.iterdir())}
            repository = running.create(name, {**files, "README.md": CARD})
            repository.fields["pipeline_tag"] = "image-feature-extraction"
        running.create("org/gated", {"config.json": b"{}", "model.safetensors": b"0" * 16}, gated=True)
        running.create("org/pickled", {"config.json": b"{}", "pytorch_model.bin": b"0" * 16})
        for number in range(60):
            published(running, f"zoo/model-{number:02}", 0.4 + number / 200, family="vit" if number % 2 else "resnet")
        yield running


def published(hub, name, score, *, family):
    """Put a model with a score on its card on the Hub, as a merged pull request of ours would leave it."""
    repository = hub.create(name, {"config.json": json.dumps({"model_type": family}).encode(), "README.md": CARD})
    report = make_report(name, repository.refs["main"], score, 0.004)
    change = make_change(report, name, repository.refs["main"], {"README.md": CARD}, only="model-index")
    repository.push({"README.md": change.after["README.md"]})
    repository.fields |= {"tags": ["vision"], "config": {"model_type": family}}
    repository.fields["safetensors"] = {"parameters": {"F32": (1 + int(name[-2:])) * 1_000_000}}


@pytest.fixture(scope="module")
def app(hub, chromium):  # noqa: F811 - not started where there is no browser to visit it
    with launch_app("app.py", {"HF_ENDPOINT": hub.endpoint, "HF_HUB_DISABLE_XET": "1", **ONE}) as running:
        yield running


ONE = {"OMP_NUM_THREADS": "1", "SYNBENCH_CACHE_GB": "1"}


@pytest.fixture
def visit(app, new_page):  # noqa: F811
    def go(query="", size="desktop", scheme="light"):
        width, height = SIZES[size]
        page = new_page(app.url, width=width, height=height, scheme=scheme, query=query)
        page.get_by_role("tab", name="Score").wait_for()
        return page

    return go


def box(page):
    return page.get_by_role("textbox", name="Model")


def run(page, model="synbench:demo", **settings):
    """Type a model, set the settings, and press Run."""
    box(page).fill(model)
    if settings:
        page.get_by_role("button", name="Settings").click()
        page.get_by_label(next(iter(settings))).wait_for()
        # Gradio makes what is folded away when it is first unfolded, and a frame later sets it to what it began with:
        # nobody types as quickly, unless the machine is busy and the frame is late.
        page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    for label, value in settings.items():
        page.get_by_label(label).fill(str(value))
        page.keyboard.press("Tab")
    page.get_by_role("button", name="Run", exact=True).click()


def told(page, text, where="#status", **options):
    from playwright.sync_api import expect

    expect(page.locator(where)).to_contain_text(text, **options)


def check_access(page):
    found = [one for one in accessibility(page) if one.rule not in OURS]
    assert not found


def workers(app):
    """Return the processes that work: children of the process that forks them."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] != "Z":
            parents[int(stat.parent.name)] = int(fields[1])
    own = [pid for pid, parent in parents.items() if parent == app.process.pid]
    return [pid for pid, parent in parents.items() if parent in own]


def gone(app, seconds=10):
    end = time.monotonic() + seconds
    while workers(app) and time.monotonic() < end:
        time.sleep(0.1)
    return not workers(app)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_a_run_tells_what_it_does_sharpens_and_shows_why(visit, size, scheme):
    # Another seed each time, so that none is answered from what is kept.
    page = visit(size=size, scheme=scheme)
    check_access(page)
    run(page, Seed=[*SIZES].index(size) * 2 + (scheme == "dark"))
    told(page, "images 3×16×16 · last_hidden_state: class token, 64 dimensions · float32 on the CPU · 4,096 images")
    told(page, "so far, from", "#said")
    told(page, "Embedding by the untrained twin.")
    told(page, "Done in")
    told(page, re.compile(r"SynBench-Score 0\.6[5-9]\d\s*95 % interval 0\.6\d\d to 0\.\d{3}"), "#said")
    told(page, "the encoder keeps", "#said")
    assert page.locator("#said svg").get_by_text(re.compile("untrained twin 0.9")).count() == 1
    (curve,) = page.locator("#curve svg").all()
    assert curve.bounding_box()["x"] + curve.bounding_box()["width"] <= SIZES[size][0]
    # Five thresholds are written with two decimals as well.
    assert page.locator("#heat svg").get_by_text(re.compile(r"^\d\.\d\d$")).count() == 45 + 5
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "sideways scrolling"
    check_access(page)


def test_a_result_is_kept_linked_and_can_be_taken_away(visit, app):
    page = visit()
    run(page, Seed=77)
    told(page, "Done in")
    page.wait_for_url(re.compile(r"\?result=[0-9a-f]{16}$"))
    files = {}
    for kind in ("SVG", "PNG", "CSV", "JSON"):
        with page.expect_download() as download:
            page.get_by_role("button", name=f"↓ {kind}", exact=True).click()
        assert download.value.suggested_filename == f"synbench_synbench__demo.{kind.lower()}"
        files[kind] = Path(download.value.path()).read_bytes()
    report = Report.from_dict(json.loads(files["JSON"]))
    expected = synbench.score("synbench:demo", seed=77, images=4096, baseline="untrained", cache=False)
    assert report.synbench_score == pytest.approx(expected.synbench_score, rel=1e-9)
    assert report.baseline.difference == pytest.approx(expected.baseline.difference, rel=1e-9)
    assert ElementTree.fromstring(files["SVG"]).tag.endswith("svg")
    assert files["PNG"][:8] == b"\x89PNG\r\n\x1a\n"
    rows = list(csv.DictReader(io.StringIO(files["CSV"].decode())))
    assert len(rows) == 45
    assert float(rows[2]["score"]) == report.scores[0][2]

    # The same question again, by somebody else, and the link.
    other = visit()
    run(other, Seed=77)
    told(other, "Scored before: this is the kept result.")
    query = page.url[page.url.index("?") :]
    page.get_by_role("button", name="Copy").click()
    page.get_by_text(f"{app.url}/{query}", exact=True).wait_for()
    linked = visit(query=query)
    told(linked, "The kept result of synbench:demo: 4,096 images, seed 77.")
    expect_value(linked, "synbench:demo")
    # The boxes are filled as they were: to run it again is to ask the same.
    linked.get_by_role("button", name="Run", exact=True).click()
    told(linked, "Scored before: this is the kept result.")
    told(linked, f"{report.synbench_score:.3f}", "#said")


def test_cancel_and_closing_the_page_stop_the_work_on_the_server(visit, app):
    page = visit()
    run(page, "org/slow")
    told(page, re.compile(r"[1-9]\d* of 4,096 images"))
    assert len(workers(app)) == 1
    page.get_by_role("button", name="Cancel").click()
    told(page, "Cancelled. What was done is kept")
    assert gone(app)
    page.get_by_role("button", name="Run", exact=True).click()
    told(page, re.compile(r"[1-9]\d* of 4,096 images"))
    page.close()
    assert gone(app)


def test_who_waits_is_told_how_long_the_line_is(visit, app):
    first, second, third = visit(), visit(), visit()
    run(first, "org/slow")
    told(first, "Embedding by the encoder.")
    run(second, Seed=201)
    told(second, "You are number 1 of 1 in line.")
    run(third, Seed=202)
    told(third, "You are number 2 of 2 in line.")
    third.get_by_role("button", name="Cancel").click()
    told(third, "Cancelled.")
    first.get_by_role("button", name="Cancel").click()
    told(second, "Done in")


def test_cancel_stops_what_was_begun_on_its_own_page_only(visit, app):
    page = visit()
    run(page, "org/slow")
    told(page, "Embedding by the encoder.")
    page.get_by_role("tab", name="Compare").click()
    models = page.get_by_role("listbox", name="Models").or_(page.get_by_label("Models"))
    for model in ("synbench:demo", "org/tiny-vit"):
        models.first.fill(model)
        page.keyboard.press("Enter")
    page.get_by_role("button", name="Compare", exact=True).click()
    told(page, "You are number 1 of 1 in line.", "#compare-status")
    page.get_by_role("button", name="Cancel").locator("visible=true").click()
    told(page, "Cancelled.", "#compare-status")
    page.get_by_role("tab", name="Score").click()
    told(page, "Embedding by the encoder.")
    assert len(workers(app)) == 1
    page.get_by_role("button", name="Cancel").locator("visible=true").click()
    told(page, "Cancelled.")
    assert gone(app)


def test_a_program_that_goes_away_leaves_its_place(app):
    from gradio_client import Client

    client = Client(app.url, verbose=False)
    job = client.submit("org/slow", 4096, 5, False, api_name="/score")
    end = time.monotonic() + 30
    while not workers(app) and time.monotonic() < end:
        time.sleep(0.1)
    assert len(workers(app)) == 1
    job.cancel()
    assert gone(app)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("org/no-such-model", "There is no public model 'org/no-such-model' on the Hub. Check the spelling."),
        ("org/gated", "'org/gated' is gated"),
        ("org/pickled", "'org/pickled' has no safetensors, and nothing else is read here."),
    ],
)
def test_what_cannot_be_scored_is_told_in_a_sentence_and_the_page_stays_usable(visit, model, said):
    page = visit()
    run(page, model)
    told(page, said)
    assert page.get_by_role("alert").count() == 1
    run(page, Seed=77)
    told(page, re.compile("Done in|Scored before"))
    assert page.get_by_role("alert").count() == 0


def test_a_name_that_cannot_be_one_is_told_beside_the_field(visit):
    page = visit()
    run(page, "<img src=x onerror=alert(1)>")
    page.get_by_text("expected the id of a model on the Hub").first.wait_for()
    assert page.locator("img[src=x]").count() == 0
    assert page.get_by_role("button", name="Run", exact=True).is_enabled()


def test_the_hub_does_not_answer(visit, hub):
    hub.faults.append(Fault("GET", "/api/models/org/tiny-vit", status=503, times=20))
    page = visit()
    run(page, "org/tiny-vit")
    told(page, "The Hub does not answer just now. Try again in a minute.")
    hub.faults.clear()


def test_a_model_is_found_by_a_part_of_its_name_with_the_keyboard_alone(visit):
    page = visit()

    def tab_to(name):
        for _ in range(20):
            page.keyboard.press("Tab")
            if (
                page.evaluate("document.activeElement.getAttribute('aria-label') || document.activeElement.innerText")
                == name
            ):
                return
        raise AssertionError(f"no way to {name} by Tab")

    box(page).wait_for()
    for _ in range(20):
        page.keyboard.press("Tab")
        if box(page).evaluate("element => element === document.activeElement"):
            break
    page.keyboard.type("tiny-v", delay=60)
    page.get_by_role("button", name="org/tiny-vit").wait_for()
    tab_to("org/tiny-vit")
    page.keyboard.press("Enter")
    expect_value(page, "org/tiny-vit")
    tab_to("Run")
    page.keyboard.press("Enter")
    told(page, "images 3×32×32")
    told(page, re.compile("Done in|Scored before"))


def expect_value(page, value):
    from playwright.sync_api import expect

    expect(box(page)).to_have_value(value)


def test_enter_runs_too(visit):
    page = visit()
    box(page).fill("org/tiny-resnet")
    page.keyboard.press("Enter")
    told(page, "images 3×32×32")


def test_an_address_opens_what_it_says(visit):
    expect_value(visit("?model=org/tiny-vit"), "org/tiny-vit")
    page = visit("?compare=synbench:demo,org/tiny-vit")
    page.get_by_role("button", name="Compare", exact=True).wait_for()
    page.get_by_text("org/tiny-vit", exact=True).wait_for()
    visit("?tab=leaderboard").get_by_role("tab", name="Leaderboard", selected=True).wait_for()
    told(visit("?result=0123456789abcdef"), "This result is not kept here any more.")


@pytest.mark.parametrize("size", SIZES)
def test_encoders_are_compared_with_intervals_and_ties(visit, size):
    page = visit("?compare=synbench:demo,org/tiny-vit,org/tiny-resnet", size=size)
    page.get_by_role("button", name="Compare", exact=True).click()
    told(page, "3 encoders compared.", "#compare-status")
    differences = page.locator("#differences")
    assert differences.get_by_role("row").count() == 4 + 4
    # The two of one input size saw the same images; the third did not.
    paired = [cell.inner_text() for cell in differences.locator("table").last.locator("td:last-child").all()]
    assert sorted(paired) == ["no", "no", "yes"]
    assert page.locator("#ranking svg").count() == 1
    with page.expect_download() as download:
        page.get_by_role("button", name="↓ JSON", exact=True).locator("visible=true").click()
    found = synbench.Comparison.from_dict(json.loads(Path(download.value.path()).read_text()))
    assert [entry.score for entry in found.entries] == sorted((e.score for e in found.entries), reverse=True)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "sideways scrolling"
    check_access(page)


def test_what_is_wrong_with_the_last_encoder_is_told_before_the_first_is_scored(visit, app):
    page = visit("?compare=org/slow,org/no-such-model")
    page.get_by_role("button", name="Compare", exact=True).click()
    told(page, "There is no public model 'org/no-such-model' on the Hub.", "#compare-status")
    assert not workers(app)


@pytest.mark.parametrize("size", SIZES)
def test_the_leaderboard_is_ordered_filtered_and_linked(visit, hub, size):
    from playwright.sync_api import expect

    page = visit("?tab=leaderboard", size=size)
    board = page.locator("#board")
    first = board.locator("tbody tr").first
    expect(first).to_contain_text("zoo/model-59")
    expect(board.locator("tbody tr")).to_have_count(50)
    assert board.locator("tbody tr .ties").first.inner_text() == "a"
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "sideways scrolling"
    board.get_by_role("button", name="Parameters").click()
    expect(first).to_contain_text("zoo/model-00")
    board.get_by_role("button", name="Parameters").click()
    expect(first).to_contain_text("zoo/model-59")
    board.get_by_role("button", name="Next").click()
    expect(board.locator("tbody tr")).to_have_count(10)
    page.get_by_label("Search").fill("model-1")
    expect(board.locator("tbody tr")).to_have_count(10)
    page.get_by_label("Family").evaluate("element => element.scrollIntoView({block: 'start'})")
    page.get_by_label("Family").click()
    page.get_by_role("option", name="resnet").click()
    expect(board.locator("tbody tr")).to_have_count(5)
    links = [link.get_attribute("href") for link in first.get_by_role("link").all()]
    assert links[0] == f"{hub.endpoint}/zoo/model-18"
    assert re.fullmatch(rf"{hub.endpoint}/zoo/model-18/blob/[0-9a-f]{{40}}/README.md", links[1])
    # What was asked for stays while one looks at something else; on a phone, some tabs are in a menu then.
    if size == "desktop":
        page.get_by_role("tab", name="Score").click()
        page.get_by_role("tab", name="Leaderboard").click()
        page.wait_for_timeout(1000)
        expect(board.locator("tbody tr")).to_have_count(5)
        expect(first).to_contain_text("zoo/model-18")
    check_access(page)


def test_what_programs_call_is_told(visit):
    page = visit("?tab=programs")
    page.get_by_text("gradio_client").first.wait_for()
    check_access(page)
    page.get_by_role("tab", name="About").click()
    page.get_by_text("What it does not say").wait_for()
    check_access(page)


def test_nothing_that_was_typed_or_went_wrong_is_printed(app):
    assert not re.search(r"^error [0-9a-f]{8}$", app.output, re.MULTILINE)
    assert "hub_tools/space" not in app.output
    assert "hf_" not in app.output


SCOPES = ("openid", "profile", "write-discussions")


@pytest.fixture(scope="module")
def space(hub, chromium):  # noqa: F811
    registered = hub.oauth.register("org/space", SCOPES)
    with launch_app("app.py", {**registered.environment(hub), "HF_HUB_DISABLE_XET": "1", **ONE}) as running:
        yield running


@pytest.fixture
def signed_in(hub, space, new_page):  # noqa: F811
    """Run a model as somebody, sign in, and come back to the result."""

    def go(visitor, model="org/tiny-vit", answer="Authorize"):
        hub.visitor = visitor
        page = new_page(space.url, space=True)
        run(page, model)
        told(page, re.compile("Done in|Scored before"), timeout=60_000)
        page.wait_for_url(re.compile(r"\?result="))
        page.get_by_role("button", name="Share").click()
        new_page.rest(page)
        page.get_by_role("button", name="Sign in with Hugging Face").click()
        page.get_by_role("button", name=answer).click()
        return page

    return go


def test_a_visitor_who_is_signed_in_opens_a_pull_request_after_a_yes_to_the_difference(signed_in, hub, space):
    from playwright.sync_api import expect

    page = signed_in("alice")
    # The result is there again.
    told(page, "The kept result of org/tiny-vit")
    page.get_by_role("button", name="Share").click()
    page.get_by_role("button", name="Logout (alice)").wait_for()
    page.get_by_role("button", name="Show the difference").click()
    told(page, "As alice: open a pull request on org/tiny-vit.", "#diff")
    told(page, "+model-index:", "#diff")
    written = [r for r in hub.requests if r.method == "POST" and "/commit/" in r.path]
    send = page.get_by_role("button", name="Open the pull request")
    expect(send).to_be_disabled()
    page.get_by_label("Yes, open this pull request in my name").check()
    assert [r for r in hub.requests if r.method == "POST" and "/commit/" in r.path] == written, "nothing before the yes"
    send.click()
    told(page, "The pull request was opened as alice", "#shared")
    repository = hub.repositories["models", "org/tiny-vit"]
    (pull,) = repository.pulls
    assert (pull.author, pull.status) == ("alice", "open")
    assert repository.files()["README.md"] == CARD, "main is as it was"
    check_access(page)
    # A second time there is nothing to do.
    page.get_by_role("button", name="Show the difference").click()
    told(page, "has these scores already", "#shared")
    assert len(repository.pulls) == 1

    token = hub.oauth.issued[-1]
    assert hub.oauth.asked_scopes == {*SCOPES}
    assert {r.token for r in hub.requests if r.path.endswith("/commit/main")} == {token}
    assert token not in space.output + page.content()
    kept = [path for path in Path(space.log.parent).rglob("*") if path.is_file()]
    assert len(kept) > 10
    assert not [path for path in kept if token.encode() in path.read_bytes()]


def test_who_says_no_at_the_hub_comes_back_to_the_page(signed_in):
    page = signed_in("alice", answer="Deny")
    told(page, "You were not signed in. Nothing was written in your name.")
    told(page, "SynBench-Score", "#said")


def test_who_is_not_signed_in_writes_nothing(new_page, space, hub):  # noqa: F811
    page = new_page(space.url, space=True)
    page.get_by_role("button", name="Share").click()
    page.get_by_role("button", name="Show the difference").click()
    told(page, "You are not signed in. Sign in first", "#shared")


def test_who_is_signed_in_is_not_offered_to_programs(space):
    import httpx

    offered = httpx.get(f"{space.url}/gradio_api/info").json()["named_endpoints"]
    assert sorted(offered) == ["/compare", "/leaderboard", "/score", "/score_encoder"]
    tools = [tool["name"] for tool in httpx.get(f"{space.url}/gradio_api/mcp/schema").json()]
    assert not [name for name in tools if "login" in name]


def ask(client, app, button, session, *, data, query="", origin):
    """Do what a page does when a button is pressed, as any program could; return when it is done."""
    config = client.get(f"{app.url}/config").json()
    (pressed,) = [c["id"] for c in config["components"] if c["props"].get("value") == button] if button else [None]
    wanted = [pressed, "click"] if button else [None, "load"]
    fits = [
        d["id"]
        for d in config["dependencies"]
        if d["targets"] and [None if not button else d["targets"][0][0], d["targets"][0][1]] == wanted
    ]
    call = fits[0]
    body = {"data": data, "fn_index": call, "session_hash": session}
    joined = client.post(f"{app.url}/gradio_api/queue/join{query}", json=body, headers={"Origin": origin})
    assert joined.status_code == 200, joined.text
    with client.stream("GET", f"{app.url}/gradio_api/queue/data?session_hash={session}", timeout=60) as events:
        return [line for line in events.iter_lines() if "process_completed" in line]


def test_another_site_cannot_write_in_the_name_of_a_visitor_who_is_signed_in(signed_in, hub, space):
    import httpx

    page = signed_in("bob", "org/tiny-resnet")
    told(page, "The kept result of org/tiny-resnet")
    query = page.url[page.url.index("?") :]
    cookies = {cookie["name"]: cookie["value"] for cookie in page.context.cookies(space.url)}
    repository = hub.repositories["models", "org/tiny-resnet"]
    with httpx.Client(cookies=cookies, timeout=60) as client:
        for origin, pulls in (("https://evil.example", 0), (space.url, 1)):
            session = f"forged{pulls}"
            ask(client, space, None, session, data=[], query=query, origin=origin)
            ask(client, space, "Show the difference", session, data=[None], origin=origin)
            done = ask(client, space, "Open the pull request", session, data=[None, None, True], origin=origin)
            # The second one shows that only where it comes from stops the first.
            assert len(repository.pulls) == pulls, done
