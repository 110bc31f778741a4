"""The stand-in answers the real client as the Hub does."""

import os
from pathlib import Path

import pytest
from huggingface_hub import CommitOperationAdd, HfApi, ModelCard, hf_hub_download
from huggingface_hub.errors import (
    DisabledRepoError,
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from .hub import Fault, Hub

CARD = b"---\nlicense: mit\ntags: [vision]\npipeline_tag: image-feature-extraction\n---\n# Model\n"
FILES = {"README.md": CARD, "config.json": b'{"model_type": "vit"}'}
OWNER, BOT = "hf_ownerowner", "hf_botbotbot"


@pytest.fixture
def hub():
    with Hub() as running:
        running.sign_up("admin", OWNER, orgs=("org",))
        running.sign_up("bot", BOT)
        running.create("org/model", FILES)
        yield running


@pytest.fixture
def bot(hub):
    return HfApi(endpoint=hub.endpoint, token=BOT)


@pytest.fixture
def owner(hub):
    return HfApi(endpoint=hub.endpoint, token=OWNER)


def add(path="note.txt", content=b"hello"):
    return [CommitOperationAdd(path, content)]


def test_accounts(hub, bot):
    assert bot.whoami()["name"] == "bot"
    with pytest.raises(HfHubHTTPError, match="401"):
        HfApi(endpoint=hub.endpoint, token="hf_nobodynobody").model_info("org/model")


def test_a_model_is_described_as_it_is(hub, bot):
    info = bot.model_info("org/model", files_metadata=True)
    assert (info.id, info.sha) == ("org/model", hub.repositories["models", "org/model"].refs["main"])
    assert (info.private, info.gated, info.disabled) == (False, False, False)
    assert {s.rfilename: s.size for s in info.siblings} == {path: len(data) for path, data in FILES.items()}
    assert info.card_data.license == "mit"
    assert bot.model_info("org/model", expand=["config"]).config == {"model_type": "vit"}


def test_listings_are_filtered_and_paged(hub, bot):
    for number in range(1500):
        hub.create(f"many/model-{number}", {"README.md": CARD} if number % 2 else {})
    hub.create("org/hidden", FILES, private=True)
    assert len({m.id for m in bot.list_models(author="many")}) == 1500
    assert sum(r.path == "/api/models" for r in hub.requests) == 2
    assert len(list(bot.list_models(filter="vision"))) == 751
    assert len(list(bot.list_models(pipeline_tag="image-feature-extraction", limit=10))) == 10
    assert [m.id for m in bot.list_models(search="org/")] == ["org/model"]
    assert [m.sha for m in bot.list_models(search="org/", expand=["sha"])] == [bot.model_info("org/model").sha]


def test_files_are_read_at_their_commit(hub, bot, tmp_path):
    old = bot.model_info("org/model").sha
    hub.repositories["models", "org/model"].change({"README.md": b"new"})
    for revision, content in ((old, CARD), ("main", b"new")):
        path = hf_hub_download(
            "org/model", "README.md", revision=revision, endpoint=hub.endpoint, token=BOT, cache_dir=tmp_path
        )
        assert Path(path).read_bytes() == content
    with pytest.raises(EntryNotFoundError):
        hf_hub_download("org/model", "none", endpoint=hub.endpoint, cache_dir=tmp_path)
    with pytest.raises(RevisionNotFoundError):
        bot.model_info("org/model", revision="v9")


def test_whoever_may_not_write_opens_a_pull_request_and_amends_it(hub, bot, owner):
    repository = hub.repositories["models", "org/model"]
    with pytest.raises(HfHubHTTPError, match="403"):
        bot.create_commit("org/model", add(), commit_message="x")
    base = bot.model_info("org/model").sha
    made = bot.create_commit(
        "org/model", add(), commit_message="Add", commit_description="why", create_pr=True, parent_commit=base
    )
    assert made.pr_num == 1
    assert repository.files("refs/pr/1")["note.txt"] == b"hello"
    assert "note.txt" not in repository.files()
    (listed,) = bot.get_repo_discussions("org/model", author="bot", discussion_type="pull_request")
    assert (listed.num, listed.status, listed.git_reference, listed.author) == (1, "open", "refs/pr/1", "bot")
    details = bot.get_discussion_details("org/model", 1)
    assert details.events[0].content == "why"
    assert "+hello" in details.diff
    bot.create_commit("org/model", add(content=b"more"), commit_message="More", revision="refs/pr/1")
    assert repository.files("refs/pr/1")["note.txt"] == b"more"
    owner.merge_pull_request("org/model", 1)
    assert repository.files()["note.txt"] == b"more"
    assert repository.pulls[0].status == "merged"


def test_a_branch_that_moved_is_not_overwritten(hub, owner):
    base = owner.model_info("org/model").sha
    owner.create_commit("org/model", add(), commit_message="first", parent_commit=base)
    with pytest.raises(HfHubHTTPError, match="412"):
        owner.create_commit("org/model", add(content=b"second"), commit_message="second", parent_commit=base)


def test_a_conflict_is_not_merged(hub, bot, owner):
    bot.create_commit("org/model", add("README.md", b"theirs"), commit_message="x", create_pr=True)
    hub.repositories["models", "org/model"].change({"README.md": b"ours"})
    with pytest.raises(HfHubHTTPError, match="409"):
        owner.merge_pull_request("org/model", 1)


def test_what_changes_nothing_is_not_sent(hub, owner):
    before = owner.model_info("org/model").sha
    owner.create_commit("org/model", add("README.md", CARD), commit_message="same")
    assert owner.model_info("org/model").sha == before


def test_a_card_that_is_no_yaml_is_refused(owner):
    with pytest.raises((HfHubHTTPError, ValueError), match="YAML"):
        owner.create_commit("org/model", add("README.md", b"---\na: [\n---\n"), commit_message="x")


def test_doors_that_are_closed(hub, bot):
    hub.create("org/gated", FILES, gated=True)
    hub.create("org/private", FILES, private=True)
    hub.create("org/gone", FILES, disabled=True)
    hub.create("org/quiet", FILES, discussions=False)
    with pytest.raises(GatedRepoError):
        bot.auth_check("org/gated")
    with pytest.raises(RepositoryNotFoundError):
        bot.model_info("org/private")
    with pytest.raises(DisabledRepoError):
        bot.auth_check("org/gone")
    with pytest.raises(HfHubHTTPError, match="Discussions are disabled"):
        bot.create_commit("org/quiet", add(), commit_message="x", create_pr=True)


@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # the client's own
def test_large_files_and_folders(hub, owner, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    (tmp_path / "sub").mkdir()
    (tmp_path / "model.safetensors").write_bytes(b"\0" * 4096)
    (tmp_path / "sub" / "a.txt").write_text("a")
    owner.create_repo("org/new", private=True)
    owner.upload_folder(repo_id="org/new", folder_path=tmp_path, commit_message="all")
    files = hub.repositories["models", "org/new"].files()
    assert (files["model.safetensors"], files["sub/a.txt"]) == (b"\0" * 4096, b"a")
    assert {f.path for f in owner.list_repo_tree("org/new", recursive=True)} == set(files)
    owner.create_tag("org/new", tag="v1")
    assert [t.name for t in owner.list_repo_refs("org/new").tags] == ["v1"]
    assert owner.model_info("org/new", revision="v1").sha == owner.model_info("org/new").sha
    owner.delete_repo("org/new")
    with pytest.raises(RepositoryNotFoundError):
        owner.model_info("org/new")


def test_scores_of_pull_requests_are_told_as_such(hub, bot):
    entry = b"- dataset: {id: a/b, task_id: t}\n  value: 0.5\n"
    bot.create_commit("org/model", add(".eval_results/x.yaml", entry), commit_message="x", create_pr=True)
    (found,) = bot.model_info("org/model", expand=["evalResults"]).eval_results
    assert (found.dataset_id, found.value) == ("a/b", 0.5)
    hub.repositories["models", "org/model"].close(1)
    assert not bot.model_info("org/model", expand=["evalResults"]).eval_results


def test_jobs_are_kept_with_their_labels(hub, bot):
    job = bot.run_job(
        namespace="bot", image="python:3.12", command=["true"], labels={"run": "a", "shard": "1"}, secrets={"S": "x"}
    )
    assert [j.id for j in bot.list_jobs(labels={"run": "a"}, namespace="bot")] == [job.id]
    assert list(bot.list_jobs(labels={"run": "b"}, namespace="bot")) == []
    assert bot.inspect_job(job_id=job.id, namespace="bot").status.stage == "SCHEDULING"
    bot.cancel_job(job_id=job.id, namespace="bot")
    assert bot.inspect_job(job_id=job.id, namespace="bot").status.stage == "CANCELED"
    assert {h.name for h in bot.list_jobs_hardware()} >= {"cpu-basic", "t4-small"}


def test_faults(hub, bot):
    hub.faults.append(Fault("GET", "/api/models/org/model", status=503, skip=1))
    bot.model_info("org/model")
    with pytest.raises(HfHubHTTPError, match="503"):
        bot.model_info("org/model")
    bot.model_info("org/model")
    hub.faults.append(Fault("POST", "/commit/", after=True, drop=True))
    with pytest.raises(Exception, match=r"disconnected|Server|peer"):
        bot.create_commit("org/model", add(), commit_message="x", create_pr=True)
    assert len(hub.repositories["models", "org/model"].pulls) == 1, "the work was done, the answer is lost"


def test_the_client_reads_a_card(hub, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.endpoint)
    assert os.environ.get("HF_ENDPOINT") is None
    text = hub.repositories["models", "org/model"].files()["README.md"].decode()
    assert ModelCard(text).data.license == "mit"


def test_a_comment_is_edited_by_whoever_wrote_it(hub, bot, owner):
    bot.create_commit("org/model", add(), commit_message="x", commit_description="old", create_pr=True)
    comment = bot.get_discussion_details("org/model", 1).events[0].id
    with pytest.raises(HfHubHTTPError, match="403"):
        owner.edit_discussion_comment("org/model", 1, comment, "theirs")
    bot.edit_discussion_comment("org/model", 1, comment, "new")
    assert bot.get_discussion_details("org/model", 1).events[0].content == "new"


def test_a_token_that_can_only_read_writes_nothing(hub):
    hub.sign_up("reader", "hf_readerreader")
    hub.roles["reader"] = "read"
    reader = HfApi(endpoint=hub.endpoint, token="hf_readerreader")
    assert reader.whoami()["auth"]["accessToken"]["role"] == "read"
    with pytest.raises(HfHubHTTPError, match="403"):
        reader.create_commit("org/model", add(), commit_message="x", create_pr=True)
    with pytest.raises(HfHubHTTPError, match="403"):
        reader.run_job(namespace="reader", image="x", command=["true"])
    assert reader.model_info("org/model").id == "org/model"


def test_a_hub_that_is_gone_answers_nobody():
    with Hub() as running:
        running.create("org/model", FILES)
        api = HfApi(endpoint=running.endpoint, token=False)
        api.model_info("org/model")
    with pytest.raises(Exception, match=r"disconnected|refused|reset|closed"):
        api.model_info("org/model")
