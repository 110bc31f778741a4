"""Signing in with the Hub: the real code flow, in a real browser, against the stand-in; and what its tokens may do."""

import base64
import json
import os
import re
import time
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
import pytest
from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

from .browser import WAIT, _missing, accessibility, chromium, launch_app, new_page, serve_app  # noqa: F401
from .hub import Hub

MODEL = "alice/encoder"
CARD = b"---\nlicense: mit\n---\n# Encoder\n"
SCOPES = ("openid", "profile", "write-discussions")
BACK = "http://127.0.0.1:1/login/callback?_target_url=%2F"


def build():
    """Return an app that says who is signed in, and writes as that person; run in a process of its own."""
    import gradio as gr
    from authlib.integrations.base_client.errors import OAuthError
    from starlette.responses import RedirectResponse

    from hub_tools.client.hub import Hub as Client
    from hub_tools.score.changes import Change
    from hub_tools.score.proposal import MARKER
    from synbench.errors import SynBenchError

    def greet(profile: gr.OAuthProfile | None, request: gr.Request) -> str:
        if profile is not None:
            return f"Signed in as {profile.username} ({profile.name})."
        refused = request.query_params.get("sign_in") == "access_denied"
        return "You did not let this app sign you in." if refused else "Nobody is signed in."

    def write(token: gr.OAuthToken | None, *, propose: bool) -> str:
        if token is None:
            return "Sign in first."
        hub = Client(token.token)
        try:
            base = hub.state(MODEL).sha
            change = Change(MODEL, base, {"README.md": CARD}, {"README.md": CARD + b"A score.\n"}, {})
            if not propose:
                return f"Committed {hub.commit(change, 'Add a score', '')}."
            pull = hub.open_pull_request(change, "Add a score", MARKER)
        except SynBenchError as error:
            return str(error)
        return f"Opened number {pull.num}."

    def propose(token: gr.OAuthToken | None) -> str:
        return write(token, propose=True)

    def commit(token: gr.OAuthToken | None) -> str:
        return write(token, propose=False)

    async def refused(request, error: OAuthError):
        # By itself, Gradio answers a refusal with an error 500.
        return RedirectResponse(f"/?sign_in={error.error}")

    with gr.Blocks(title="Sign in", analytics_enabled=False) as app:
        gr.LoginButton()
        who = gr.Markdown(elem_id="who")
        said = gr.Textbox(label="Done", elem_id="said")
        gr.Button("Propose").click(propose, None, said)
        gr.Button("Commit").click(commit, None, said)
        app.load(greet, None, who)
    return app, {"run_history": False, "ssr_mode": False, "app_kwargs": {"exception_handlers": {OAuthError: refused}}}


@pytest.fixture(scope="module")
def stand_in():
    with Hub() as running:
        running.sign_up("alice", "hf_alicealicealice")
        running.sign_up("bob", "hf_bobbobbobbob")
        running.create(MODEL, {"README.md": CARD})
        yield running


@pytest.fixture(scope="module")
def space(stand_in, chromium):  # noqa: F811
    """The app as on a Space; not started where there is no browser to visit it."""
    registered = stand_in.oauth.register("org/space", SCOPES)
    with launch_app("tests.test_sign_in:build", registered.environment(stand_in)) as app:
        yield app


@pytest.fixture
def visit(stand_in, space, new_page):  # noqa: F811
    """Open the app as somebody, go to the Hub's page, and give an answer there."""
    from playwright.sync_api import expect

    def go(visitor, answer="Authorize"):
        stand_in.visitor = visitor
        page = new_page(space.url, space=True)
        expect(page.locator("#who")).to_contain_text("Nobody is signed in.")
        new_page.rest(page)
        page.get_by_role("button", name="Sign in with Hugging Face").click()
        expect(page.get_by_role("heading")).to_have_text("org/space asks for access to your account")
        expect(page.get_by_role("listitem")).to_have_text(list(SCOPES))
        page.get_by_role("button", name=answer).click()
        if answer == "Authorize":
            expect(page.locator("#who")).to_contain_text(f"Signed in as {visitor} ({visitor.title()}).")
        return page

    return go


def do(page, button):
    """Press a button, and return what comes of it."""
    from playwright.sync_api import expect

    page.get_by_role("button", name=button, exact=True).click()
    said = page.get_by_label("Done")
    expect(said).not_to_have_value("")
    return said.input_value()


@pytest.mark.slow
def test_who_signs_in_opens_the_pull_request_and_nobody_sees_the_token(visit, stand_in, space, new_page):  # noqa: F811
    before = len(stand_in.repositories["models", MODEL].pulls)
    page = visit("bob")
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    assert re.fullmatch(r"Opened number \d+\.", do(page, "Propose"))
    (pull,) = stand_in.repositories["models", MODEL].pulls[before:]
    assert (pull.author, pull.title, pull.status) == ("bob", "Add a score", "open")
    assert stand_in.oauth.asked_scopes == {*SCOPES}

    token = stand_in.oauth.issued[-1]
    assert {request.token for request in stand_in.requests if request.path.endswith("/commit/main")} == {token}
    new_page.rest(page)
    page.reload()
    page.get_by_role("button", name="Logout (bob)").wait_for()
    seen = [
        page.content(),
        page.evaluate(
            "JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, window.gradio_config])"
        ),
        space.output,
        *asked,
        *(page.request.get(space.url + path).text() for path in ("/", "/config", "/gradio_api/info")),
    ]
    assert ["Propose" in text for text in seen[:2]] == [True, True], "the page is what was looked at"
    # Any part of it would be one too many, and so would be what is not readable at a glance.
    for secret in (*token.split("."), *stand_in.oauth.apps["client-0"].secret.split(".")):
        for form in (secret, base64.b64encode(secret.encode()).decode()[2:-4]):
            assert not [text for text in seen if form in text]
    (cookie,) = (c for c in page.context.cookies() if "oauth_info" in decoded(c["value"]))
    assert token in decoded(cookie["value"]), "it is where it should be"
    assert cookie["httpOnly"]
    assert cookie["secure"]


def decoded(value):
    """Return what a signed cookie has, or nothing."""
    try:
        return base64.b64decode(value.split(".")[0] + "==").decode()
    except ValueError:
        return ""


@pytest.mark.slow
def test_who_denies_is_told_so_and_can_sign_in_after_all(visit, stand_in, new_page):  # noqa: F811
    from playwright.sync_api import expect

    issued = len(stand_in.oauth.issued)
    page = visit("alice", answer="Deny")
    expect(page.locator("#who")).to_contain_text("You did not let this app sign you in.")
    assert do(page, "Propose") == "Sign in first."
    assert len(stand_in.oauth.issued) == issued
    new_page.rest(page)
    page.get_by_role("button", name="Sign in with Hugging Face").click()
    page.get_by_role("button", name="Authorize").click()
    expect(page.locator("#who")).to_contain_text("Signed in as alice")


@pytest.mark.slow
def test_the_right_to_propose_is_not_the_right_to_commit(visit, stand_in):
    """Not even in one's own repository."""
    head = stand_in.repositories["models", MODEL].refs["main"]
    said = do(visit("alice"), "Commit")
    assert "this token lacks a scope, which is write-repos or manage-repos" in said
    assert stand_in.repositories["models", MODEL].refs["main"] == head


@pytest.mark.slow
def test_who_has_revoked_the_access_is_told_so(visit, stand_in):
    page = visit("bob")
    before = len(stand_in.repositories["models", MODEL].pulls)
    stand_in.oauth.revoke(stand_in.oauth.issued[-1])
    assert "the Hub does not know the token (401)" in do(page, "Propose")
    assert len(stand_in.repositories["models", MODEL].pulls) == before


def test_axe_finds_nothing_wrong_with_the_page_of_the_hub(stand_in, new_page):  # noqa: F811
    stand_in.visitor = "alice"
    registered = stand_in.oauth.register("org/other", ("openid",))
    asked = {"client_id": registered.client_id, "redirect_uri": BACK, "response_type": "code", "scope": "openid"}
    page = new_page(f"{stand_in.endpoint}/oauth/authorize?{urlencode(asked)}")
    assert accessibility(page) == []
    page.evaluate("document.querySelector('button').textContent = ''")
    (found,) = accessibility(page)
    assert (found.rule, found.places) == ("button-name", ('button[value="yes"]',))


# The code flow without a browser: what the provider refuses.


@pytest.fixture
def hub():
    with Hub() as running:
        running.sign_up("alice", "hf_alicealicealice", orgs=("club",))
        running.sign_up("bob", "hf_bobbobbobbob")
        running.create(MODEL, {"README.md": CARD})
        running.visitor = "alice"
        yield running


class Flow:
    """An application that goes through the flow step by step."""

    def __init__(self, hub, scopes=SCOPES):
        self.hub, self.app = hub, hub.oauth.register("org/space", scopes)
        self.client = httpx.Client(base_url=hub.endpoint)

    def authorize(self, answer="yes", **changed):
        asked = {
            "client_id": self.app.client_id,
            "redirect_uri": BACK,
            "response_type": "code",
            "scope": " ".join(SCOPES),
            "state": "any",
            **changed,
        }
        return self.client.post("/oauth/authorize", params=asked, data={"answer": answer})

    def code(self):
        return dict(parse_qsl(urlsplit(self.authorize().headers["Location"]).query))["code"]

    def exchange(self, code, client=None, secret=None, **changed):
        sent = {"grant_type": "authorization_code", "code": code, "redirect_uri": BACK, **changed}
        return self.client.post(
            "/oauth/token", data=sent, auth=(client or self.app.client_id, secret or self.app.secret)
        )


@pytest.fixture
def flow(hub):
    pytest.importorskip("joserfc", reason="identities are signed with what gradio[oauth] brings")
    made = Flow(hub)
    yield made
    made.client.close()


def test_a_code_is_good_once(flow, hub):
    code = flow.code()
    told = flow.exchange(code).json()
    assert told["scope"].split() == [*SCOPES]
    assert hub.oauth.issued == [told["access_token"]]
    assert (told["token_type"], told["expires_in"]) == ("bearer", 8 * 60 * 60)
    again = flow.exchange(code)
    assert (again.status_code, again.json()) == (400, {"error": "invalid_grant"})
    assert HfApi(endpoint=hub.endpoint, token=told["access_token"]).whoami()["name"] == "alice"


@pytest.mark.parametrize(
    ("changed", "status", "error"),
    [
        ({"secret": "guessed"}, 401, "invalid_client"),
        ({"client": "client-9"}, 401, "invalid_client"),
        ({"redirect_uri": BACK + "2"}, 400, "invalid_grant"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
    ],
)
def test_an_exchange_that_is_not_as_agreed_is_refused(changed, status, error, flow, hub):
    answer = flow.exchange(flow.code(), **changed)
    assert (answer.status_code, answer.json()) == (status, {"error": error})
    assert hub.oauth.issued == []


def test_a_code_is_for_the_application_that_it_was_given_to(flow, hub):
    other = Flow(hub)
    assert other.exchange(flow.code()).json() == {"error": "invalid_grant"}
    other.client.close()


def test_nobody_is_sent_to_an_address_that_is_not_the_applications(flow):
    assert flow.authorize(redirect_uri="http://192.0.2.1/login/callback").status_code == 400
    assert flow.authorize(client_id="client-9").status_code == 400


@pytest.mark.parametrize(
    ("answer", "changed", "error"),
    [
        ("no", {}, "access_denied"),
        ("", {}, "access_denied"),
        ("yes", {"scope": "openid manage-repos"}, "invalid_scope"),
        ("yes", {"response_type": "token"}, "unsupported_response_type"),
    ],
)
def test_the_application_is_told_why_it_gets_no_code(answer, changed, error, flow, hub):
    told = dict(parse_qsl(urlsplit(flow.authorize(answer, **changed).headers["Location"]).query))
    assert (told["error"], told["state"], told["_target_url"]) == (error, "any", "/")
    assert "code" not in told
    assert hub.oauth.codes == {}


def test_the_identity_is_signed_for_the_application(flow, hub):
    from joserfc import jwt
    from joserfc.jwk import KeySet

    code = dict(parse_qsl(urlsplit(flow.authorize(nonce="n-1").headers["Location"]).query))["code"]
    told = flow.exchange(code).json()
    keys = flow.client.get("/oauth/jwks").json()
    assert not {"d", "p", "q"} & {*keys["keys"][0]}, "the private half stays"
    claims = jwt.decode(told["id_token"], KeySet.import_key_set(keys), algorithms=["RS256"]).claims
    assert (claims["aud"], claims["iss"], claims["nonce"]) == (flow.app.client_id, hub.endpoint, "n-1")
    asked = flow.client.get("/oauth/userinfo", headers={"Authorization": f"Bearer {told['access_token']}"}).json()
    assert asked["preferred_username"] == claims["preferred_username"] == "alice"
    configuration = flow.client.get("/.well-known/openid-configuration").json()
    assert configuration["issuer"] == hub.endpoint


# Which scope is for what.


def propose(api):
    return api.create_commit(MODEL, [CommitOperationAdd("a.txt", b"a")], commit_message="a", create_pr=True)


def discuss(api):
    return api.create_discussion(MODEL, "A question")


def commit(api):
    return api.create_commit(MODEL, [CommitOperationAdd("a.txt", b"a")], commit_message="a")


def tag(api):
    return api.create_tag(MODEL, tag="v1")


def merge(api):
    HfApi(endpoint=api.endpoint, token="hf_bobbobbobbob").create_pull_request(MODEL, "Merge me")
    return api.merge_pull_request(MODEL, 1)


def create(api):
    return api.create_repo("alice/new")


def remove(api):
    return api.delete_repo(MODEL)


@pytest.mark.parametrize(
    ("act", "enough", "wanting"),
    [
        (propose, ["write-discussions"], ["profile", "read-repos", "write-repos", "manage-repos"]),
        (discuss, ["write-discussions"], ["profile", "read-repos", "write-repos", "manage-repos"]),
        (commit, ["write-repos", "manage-repos"], ["profile", "read-repos", "write-discussions", "contribute-repos"]),
        (tag, ["write-repos", "manage-repos"], ["profile", "write-discussions"]),
        (merge, ["write-repos", "manage-repos"], ["profile", "write-discussions"]),
        (create, ["manage-repos", "contribute-repos"], ["profile", "write-repos", "write-discussions"]),
        (remove, ["manage-repos"], ["profile", "write-repos", "write-discussions", "contribute-repos"]),
    ],
)
def test_each_scope_is_for_what_it_says(act, enough, wanting, hub):
    for scope in wanting:
        with pytest.raises(HfHubHTTPError, match="this token lacks a scope") as error:
            act(HfApi(endpoint=hub.endpoint, token=hub.oauth.issue("alice", ("openid", scope))))
        assert error.value.response.status_code == 403
    for scope in enough:
        hub.repositories.clear()
        hub.create(MODEL, {"README.md": CARD})
        act(HfApi(endpoint=hub.endpoint, token=hub.oauth.issue("alice", ("openid", scope))))


def test_a_personal_token_has_no_scopes_to_lack(hub):
    api = HfApi(endpoint=hub.endpoint, token="hf_alicealicealice")
    for act in (propose, discuss, commit, tag, create, remove):
        act(api)


def test_a_proposal_of_ones_own_can_be_amended_and_nothing_else(hub):
    api = HfApi(endpoint=hub.endpoint, token=hub.oauth.issue("bob", ("write-discussions",)))
    ref = propose(api).pr_revision
    api.create_commit(MODEL, [CommitOperationAdd("b.txt", b"b")], commit_message="b", revision=ref)
    assert {*hub.repositories["models", MODEL].tree(ref)} == {"README.md", "a.txt", "b.txt"}
    hub.create("bob/encoder", {"README.md": CARD})
    with pytest.raises(HfHubHTTPError, match="this token lacks a scope"):
        api.create_commit("bob/encoder", [CommitOperationAdd("b.txt", b"b")], commit_message="b")


def test_what_only_its_owner_sees_takes_a_scope_of_its_own(hub):
    hub.create("club/hidden", {"README.md": CARD}, private=True)
    hub.create("far/gated", {"README.md": CARD}, gated=True).granted.add("alice")

    def seen(*scopes):
        api = HfApi(endpoint=hub.endpoint, token=hub.oauth.issue("alice", scopes))
        found = []
        for name, look in (("club/hidden", api.model_info), ("far/gated", api.auth_check)):
            try:
                look(name)
                found.append(name)
            except RepositoryNotFoundError:  # what is gated is one too
                pass
        return found

    assert seen("openid", "profile", "write-discussions") == []
    assert seen("gated-repos") == ["far/gated"]
    assert seen("read-repos") == ["club/hidden", "far/gated"]


def test_a_token_that_is_over_is_nobodys(hub):
    revoked, late = (hub.oauth.issue("alice", SCOPES) for _ in range(2))
    hub.oauth.revoke(revoked)
    assert HfApi(endpoint=hub.endpoint, token=late).whoami()["name"] == "alice"
    hub.oauth.ends[late] -= hub.oauth.seconds
    for token in (revoked, late):
        with pytest.raises(HfHubHTTPError, match="401"):
            HfApi(endpoint=hub.endpoint, token=token).model_info(MODEL)


# The fixtures of the browser: what they are relied on for.


@pytest.mark.parametrize(
    ("page", "foreign", "error"),
    [
        ("<img src='http://192.0.2.1/a.png'>", "http://192.0.2.1/a.png", None),
        ("<script>fetch('https://example.invalid/b').catch(() => 0)</script>", "https://example.invalid/b", None),
        ("<script>new WebSocket('ws://example.invalid/c')</script>", "ws://example.invalid/c", None),
        ("<script>nothing.there()</script>", None, "in the page: nothing is not defined"),
        ("<script>console.error('so it goes')</script>", None, "in the console: so it goes"),
    ],
)
def test_what_goes_wrong_on_a_page_is_seen(page, foreign, error, new_page):  # noqa: F811
    new_page("data:text/html," + page).wait_for_function("document.readyState == 'complete'")
    end = time.monotonic() + WAIT / 1000
    while not (new_page.foreign or new_page.errors) and time.monotonic() < end:
        new_page.contexts[0].pages[0].wait_for_timeout(20)
    assert new_page.foreign == ([foreign] if foreign else [])
    assert [text.strip() for text in new_page.errors] == ([error] if error else [])
    new_page.foreign.clear()
    new_page.errors.clear()


@pytest.mark.slow
def test_a_page_rests_when_the_last_of_a_stream_has_come(new_page):  # noqa: F811
    import gradio as gr
    from playwright.sync_api import expect

    def count():
        yield "first"
        time.sleep(0.7)
        yield "last"

    with gr.Blocks(analytics_enabled=False) as blocks:
        said = gr.Textbox(label="Said")
        gr.Button("Count").click(count, None, said)
    with serve_app(blocks, run_history=False, ssr_mode=False) as url:
        page = new_page(url)
        page.get_by_role("button", name="Count").click()
        expect(page.get_by_label("Said")).to_have_value("first")
        new_page.rest(page)
        assert page.get_by_label("Said").input_value() == "last"
        page.reload()
        page.get_by_role("button", name="Count").wait_for()


@pytest.mark.slow
def test_an_app_of_this_process_is_seen_as_by_a_phone_at_night(new_page):  # noqa: F811
    import gradio as gr
    from playwright.sync_api import expect

    def check(number):
        return gr.validate(number < 3, "At most two.")

    with gr.Blocks(analytics_enabled=False) as blocks:
        number, said = gr.Number(1, label="How many"), gr.Textbox(label="Said")
        gr.Button("Say").click(lambda number: f"{number:g} it is.", number, said, validator=check)
    with serve_app(blocks, run_history=False, ssr_mode=False) as url:
        page = new_page(url, width=390, height=844, scheme="dark", query="?a=b")
        page.get_by_role("button", name="Say").click()
        expect(page.get_by_label("Said")).to_have_value("1 it is.")
        assert page.evaluate("[innerWidth, innerHeight, location.search]") == [390, 844, "?a=b"]
        assert page.evaluate("document.body.classList.contains('dark')")
        page.get_by_label("How many").fill("3")
        page.get_by_role("button", name="Say").click()
        # The console tells of an error 422, which is none.
        expect(page.get_by_text("At most two.")).to_be_visible()
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)


def test_a_picture_of_each_page_is_kept_where_that_is_wanted(new_page, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setenv("SHOTS", str(tmp_path / "shots"))
    new_page("data:text/html,one")
    new_page("data:text/html,two")
    new_page.close("test[a/b]")
    assert sorted(path.name for path in (tmp_path / "shots").iterdir()) == ["test_a_b__0.png", "test_a_b__1.png"]
    monkeypatch.delenv("SHOTS")


@pytest.mark.parametrize(("required", "outcome"), [("0", pytest.skip.Exception), ("1", pytest.fail.Exception)])
def test_a_missing_browser_is_no_failure_but_where_it_is_required(required, outcome, monkeypatch):
    monkeypatch.setenv("REQUIRE_BROWSER", required)
    # Both are caught, for a skip in place of a failure would skip this test too.
    with pytest.raises((pytest.skip.Exception, pytest.fail.Exception), match="no browser") as raised:
        _missing("no browser")
    assert raised.type is outcome


SERVER = """
import json, os, subprocess, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("tells everything", file=sys.stderr)
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps([other.pid, dict(os.environ)]).encode())
HTTPServer((os.environ["GRADIO_SERVER_NAME"], int(os.environ["GRADIO_SERVER_PORT"])), Handler).serve_forever()
"""


def test_a_launched_app_gets_what_it_is_given_and_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_ofthismachine")
    script = tmp_path / "app.py"
    script.write_text(SERVER)
    with launch_app(str(script), {"SPACE_ID": "org/space"}) as app:
        pid, environment = json.loads(httpx.get(app.url).text)
        assert "tells everything" in app.output
    assert environment["SPACE_ID"] == "org/space"
    assert "HF_TOKEN" not in environment
    assert environment["HF_HOME"] != os.environ["HF_HOME"]
    end = time.monotonic() + 20
    while not gone(pid) and time.monotonic() < end:
        time.sleep(0.05)
    assert gone(pid)


def gone(pid):
    """Tell whether a process has ended, be it that nobody has asked for its status yet."""
    try:
        return ") Z " in Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_an_app_that_does_not_start_says_why(tmp_path):
    script = tmp_path / "app.py"
    script.write_text("raise SystemExit('no such model')")
    with pytest.raises(AssertionError, match="ended with 1: no such model"), launch_app(str(script), {}):
        pass
