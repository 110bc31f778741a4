"""Who may be scored by the app: looked at on a stand-in for the Hub, and refused with a sentence that helps."""

import json
import re
import time
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub_tools.client.hub import Hub as Client
from hub_tools.client.pacing import Pace
from hub_tools.space import hardware, running
from hub_tools.space.admission import IMAGES, LARGEST_SIDE, Admitted, Asked, admit, parse
from hub_tools.space.hardware import Hardware
from hub_tools.space.line import NotHereError
from synbench.errors import EncoderError

from . import checkpoints
from .hub import Fault, Hub

CPU = Hardware("cpu", cores=2, memory=10**9, lanes=1, seconds=900.0, largest_gb=2.0)
TOKEN = "hf_aliceAliceALICE"
MODEL = "org/model"
PARAMETERS = 40_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return checkpoints.vit(tmp_path_factory.mktemp("models") / "vit")


@pytest.fixture
def hub():
    with Hub() as made:
        yield made


@pytest.fixture
def look(hub):
    """Ask for a model as a visitor does; a token that is lying about is never sent."""

    def look(model=MODEL, machine=CPU, **asked):
        client = Client(False, hub.endpoint, Pace(longest_wait=5, attempts=2, sleep=lambda _: None))
        return admit(client, Asked(model, **asked), machine)

    yield look
    assert all(request.token is None for request in hub.requests)


def files(**sizes):
    """Return files of so many bytes."""
    return {name: b"x" * size for name, size in sizes.items()}


def refused(look, kind, match, **asked):
    with pytest.raises(EncoderError, match=match) as raised:
        look(**asked)
    assert type(raised.value) is kind
    return str(raised.value)


@pytest.mark.parametrize(
    "typed",
    [
        "org/model",
        "  org/model\n",
        "https://huggingface.co/org/model",
        "http://www.huggingface.co/org/model/",
        "huggingface.co/models/org/model",
        "https://hf.co/org/model?library=transformers",
        "https://huggingface.co/org/model#usage",
        "https://huggingface.co/org/model/blob/main/config.json",
        "https://huggingface.co/org/model/tree/refs%2Fpr%2F1",
    ],
)
def test_an_id_or_an_address_is_understood(typed):
    assert parse(typed) == "org/model"


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "   ",
        "model",
        "org/",
        "/model",
        "org/model/more",
        "../../etc/passwd",
        "/srv/model",
        "~/model",
        ".org/model",
        "org/..",
        "org/.model",
        "org\\model",
        "org/mo del",
        "org/model\x00",
        "synbench:other",
        "ftp://huggingface.co/org/model",
        "https://example.com/org/model",
        "https://huggingface.co.example.com/org/model",
        "https://huggingface.co/../model",
        "https://huggingface.co/org",
        "<img src=x onerror=alert(1)>/model",
        "ｏrg/model",
        "o" * 97 + "/model",
        None,
        7,
        ["org/model"],
    ],
)
def test_what_is_neither_is_refused_with_an_example(typed):
    with pytest.raises(EncoderError, match=r"expected the id of a model on the Hub, such as facebook/dinov2-small, or"):
        parse(typed)


PIECES = st.sampled_from(
    ["https://", "huggingface.co", "hf.co", "/", "..", ".", "models", "org", "a-b", "?", "#", "\n"]
)


@settings(max_examples=500, deadline=None)
@given(st.one_of(st.text(max_size=400), st.lists(PIECES, max_size=12).map("".join), st.binary().map(repr)))
def test_whatever_is_typed_is_an_id_or_refused(typed):
    try:
        found = parse(typed)
    except EncoderError:
        return
    assert found == "synbench:demo" or re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9_][\w.-]*", found, re.ASCII)
    assert len(found) < 200
    assert parse(found) == found


def test_the_demo_encoder_needs_no_hub(look, hub):
    admitted = look("synbench:demo", images=1024, seed=3, twin=False)
    assert admitted.asked == Asked("synbench:demo", 1024, 3, False, None)
    assert admitted.fetched == 0
    assert hub.requests == []


def test_a_public_model_is_let_in_at_the_commit_that_was_looked_at(look, hub, folder):
    repository = hub.create(MODEL, folder)
    old = repository.refs["main"]
    # The owner pushes while it is being looked at: what was let in stays what is looked at, and is what is scored.
    hub.after[f"/api/models/{MODEL}"] = lambda: repository.change({"config.json": b'{"model_type": "new"}'})
    admitted = look(f"https://huggingface.co/{MODEL}/tree/main", images=1024, seed=7)
    assert admitted.asked == Asked(MODEL, 1024, 7, True, old)
    assert repository.refs["main"] != old
    assert admitted.family == "vit"
    assert admitted.side == checkpoints.SIZE
    assert admitted.fetched == (folder / "model.safetensors").stat().st_size
    assert admitted.fetched / 4 * 0.7 < admitted.parameters < admitted.fetched / 4
    assert 3 < admitted.seconds < 30
    read = [request.path.partition(f"{MODEL}/resolve/{old}/")[2] for request in hub.requests[1:]]
    assert read == ["config.json", "preprocessor_config.json"]
    assert not any("safetensors" in request.path for request in hub.requests), "the weights are not fetched"


def test_what_there_is_not_or_not_for_everybody_is_told_alike(look, hub, folder, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    hub.sign_up("org", TOKEN)
    hub.create("org/private", folder, private=True)
    hub.create("org/disabled", folder, disabled=True)
    hub.create("org/shown", folder).fields["private"] = True
    told = {
        refused(look, EncoderError, "there is no public model", model=f"org/{name}").replace(name, "…")
        for name in ("private", "shown", "disabled", "missing")
    }
    assert len(told) == 1, "nobody learns of a private model that there is one"


def test_the_apps_own_client_sends_no_token_either(hub, folder, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
    hub.sign_up("org", TOKEN)
    hub.create("org/private", folder, private=True)
    hub.create(MODEL, folder)
    with pytest.raises(EncoderError, match="there is no public model"):
        admit(running.public_hub(), Asked("org/private"), CPU)
    assert admit(running.public_hub(), Asked(MODEL), CPU).side == checkpoints.SIZE
    assert len(hub.requests) == 4
    assert all(request.token is None for request in hub.requests)


def test_a_gated_model_is_for_ones_own_machine(look, hub, folder):
    hub.create(MODEL, folder, gated=True)
    refused(look, NotHereError, r"'org/model' is gated: .* own machine: synbench score org/model\.")


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"config.json": 10},
        {"pytorch_model.bin": 10},
        {"model.pkl": 10, "model.pt": 10},
        {"model.safetensors": 0},
        {"onnx/model.safetensors": 10},
        {"model.safetensors.index.json": 10},
        {"safetensors": 10},
    ],
    ids=str,
)
def test_without_safetensors_nothing_else_is_read(look, hub, content):
    hub.create(MODEL, files(**content))
    refused(look, EncoderError, r"'org/model' has no safetensors, and nothing else is read here\. Pick another model\.")
    assert len(hub.requests) == 1


@pytest.mark.parametrize("machine", [CPU, replace(CPU, kind="zero", largest_gb=12.0)], ids=["cpu", "zero"])
def test_weights_that_are_too_large_are_not_even_looked_into(look, hub, machine):
    for size, fits in ((machine.largest_gb, True), (machine.largest_gb + 0.1, False)):
        repository = hub.create(MODEL, files(**{"config.json": 2}))
        # Declared: half in each of two parts.
        parts = [{"rfilename": f"model-{k}.safetensors", "size": int(size * 0.5e9)} for k in (1, 2)]
        repository.fields["siblings"] = [{"rfilename": "config.json", "size": 2}, *parts]
        if fits:
            slow = replace(machine, seconds=float("inf"))
            assert look(machine=slow).fetched == int(size * 0.5e9) * 2
        else:
            before = len(hub.requests)
            most = f"{machine.largest_gb:g} GB at most, as it runs on {re.escape(machine.told)}"
            refused(look, NotHereError, f"has {size:.1f} GB of weights, and this app fetches {most}", machine=machine)
            assert len(hub.requests) == before + 1


def test_weights_in_folders_count_too(look, hub):
    # An index can name them; the small file beside it is there to be looked at.
    index = json.dumps({"weight_map": {"a": "sub/model.safetensors"}}).encode()
    repository = hub.create(
        MODEL, {"config.json": b"{}", "decoy.safetensors": b"0" * 16, "model.safetensors.index.json": index}
    )
    sizes = {"config.json": 2, "decoy.safetensors": 16, "sub/model.safetensors": 3_000_000_000}
    repository.fields["siblings"] = [{"rfilename": name, "size": size} for name, size in sizes.items()]
    refused(look, NotHereError, r"has 3\.0 GB of weights")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("preprocessor_config.json", {"size": {"height": 1025, "width": 32}}),
        ("preprocessor_config.json", {"crop_size": 2000, "size": 64}),
        ("preprocessor_config.json", {"size": {"shortest_edge": 1100}}),
        ("config.json", {"image_size": 4096}),
        ("config.json", {"image_size": [64, 4096]}),
        ("config.json", {"vision_config": {"image_size": 1500}}),
    ],
)
def test_images_that_are_too_large_are_refused_before_anything_is_fetched(look, hub, name, content):
    hub.create(MODEL, {"model.safetensors": b"x" * 100, name: json.dumps(content).encode()})
    told = refused(look, NotHereError, r"takes images of (\d+) × \1 pixels, and this app draws 1024 × 1024 at most")
    assert int(re.search(r"of (\d+) ×", told)[1]) > LARGEST_SIDE


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no JSON",
        b"[1, 2]",
        b"\xff\xfe",
        b'{"image_size": "large"}',
        b'{"image_size": -5}',
        b'{"image_size": true}',
        b'{"image_size": {"height": null}}',
        b'{"image_size": [[1], {"a": 2}]}',
        b'{"vision_config": [3], "model_type": 7}',
        b"[" * 100_000,
        b" " * 1_100_000,
    ],
    ids=lambda content: str(content[:30]),
)
def test_a_strange_configuration_stops_nothing(look, hub, content):
    weights = {"model.safetensors": b"x" * 100}
    # The stand-in itself reads the other one.
    others = {} if content.startswith(b"[[") else {"config.json": content}
    hub.create(MODEL, {**weights, **others, "preprocessor_config.json": content})
    admitted = look(images=1024)
    assert (admitted.side, admitted.family) == (None, None)


NO_ANSWER = r"the Hub does not answer just now\. Try again in a minute\."


@pytest.mark.parametrize(
    "fault",
    [
        Fault("GET", "", 429, headers={"Retry-After": "3600"}, times=99),
        Fault("GET", "", 429, times=99),
        Fault("GET", "", 500, times=99),
        Fault("GET", "", 502, times=99),
        Fault("GET", "", 503, headers={"Retry-After": "3600"}, times=99),
        Fault("GET", "", drop=True, times=99),
        Fault("GET", "", 200, body="another page", times=99),
        Fault("GET", "", 200, body={}, times=99),
        Fault("GET", "", 200, body=[1], times=99),
    ],
    ids=lambda fault: f"{fault.status} {fault.body} {fault.drop} {bool(fault.headers)}",
)
@pytest.mark.parametrize("skip", [0, 1], ids=["at once", "after the first answer"])
def test_a_hub_that_does_not_answer_is_told_soon(look, hub, folder, fault, skip):
    hub.create(MODEL, folder)
    hub.faults = [replace(fault, skip=skip)]
    began = time.monotonic()
    if skip and fault.status == 200:
        assert look().side in (None, checkpoints.SIZE), "a strange configuration is loading's matter"
    else:
        refused(look, NotHereError, NO_ANSWER)
    assert time.monotonic() - began < 10


def test_a_hub_that_is_gone_is_told(look, hub, folder):
    hub.create(MODEL, folder)
    hub.__exit__()
    refused(look, NotHereError, NO_ANSWER)


@pytest.mark.parametrize(
    ("asked", "match"),
    [
        ({"images": 1000}, "images must be one of 1024, 2048, 4096, 8192, 16384, got 1000"),
        ({"images": 10**12}, "images must be one of"),
        ({"images": "8192"}, "images must be one of"),
        ({"images": None}, "images must be one of"),
        ({"seed": -1}, "seed must be a whole number of at least 0 and below 2147483648, got -1"),
        ({"seed": 2**31}, "seed must be a whole number"),
        ({"seed": 1.5}, "seed must be a whole number"),
        ({"seed": True}, "seed must be a whole number"),
        ({"seed": "1"}, "seed must be a whole number"),
    ],
)
def test_what_is_asked_is_checked_before_the_hub_is(look, hub, asked, match):
    refused(look, EncoderError, match, **asked)
    assert hub.requests == []


def vit_of(hub, parameters, side):
    """Declare a model of so many parameters."""
    repository = hub.create(MODEL, {"config.json": json.dumps({"image_size": side}).encode()})
    weights = {"rfilename": "model.safetensors", "size": 4 * parameters}
    repository.fields["siblings"] = [{"rfilename": "config.json", "size": 20}, weights]
    repository.fields["safetensors"] = {"parameters": {"F32": parameters}, "total": parameters}


def test_what_takes_too_long_is_refused_with_what_would_not(look, hub):
    vit_of(hub, 86_000_000, 224)
    told = refused(look, NotHereError, "would take", images=16384)
    assert re.search(
        r"'org/model' would take about \d+ minutes on 2 CPU cores, and 15 are allowed here\. Take 1,024 images without "
        r"the untrained twin, or score it on your own machine: synbench score org/model\.",
        told,
    )
    assert look(images=1024, twin=False).seconds < 900
    assert look(images=16384, machine=replace(CPU, kind="gpu")).seconds < 900, "the same on a GPU"
    vit_of(hub, 400_000_000, 448)
    told = refused(look, NotHereError, r"allowed here\. Score it on your own machine", images=1024)
    assert "Take" not in told


@settings(max_examples=60, deadline=None)
@given(
    st.integers(10**5, 5 * 10**8),
    st.sampled_from([32, 224, 518]),
    st.sampled_from(IMAGES),
    st.booleans(),
    st.floats(5, 900),
)
def test_what_is_said_to_fit_does_and_nothing_larger_would(parameters, side, images, twin, seconds):
    machine = replace(CPU, seconds=seconds)
    with Hub() as hub:
        vit_of(hub, parameters, side)
        client = Client(False, hub.endpoint)

        def look(images, twin):
            try:
                return admit(client, Asked(MODEL, images, twin=twin), machine)
            except NotHereError as error:
                return str(error)

        found = look(images, twin)
        fitting = [n for n in IMAGES if n <= images and isinstance(look(n, False), Admitted)]
        if isinstance(found, Admitted):
            assert found.seconds <= seconds
            return
        said = re.search(r"Take ([\d,]+) images", found)
        assert (int(said[1].replace(",", "")) if said else None) == (fitting[-1] if fitting else None)
        assert ("without the untrained twin" in found) == (twin and bool(fitting))
        wanted, allowed = map(int, re.search(r"about (\d+) minutes .*and (\d+) are allowed", found).groups())
        assert wanted >= allowed


def test_a_machine_is_what_its_environment_and_its_gpu_make_it():
    plain = hardware.look({}, gpu=False)
    assert (plain.kind, plain.lanes, plain.seconds) == ("cpu", 1, 900.0)
    assert plain.cores >= 1
    assert 10**8 < plain.memory < 10**13
    zero = hardware.look({"SPACES_ZERO_GPU": "true"}, gpu=True)
    assert (zero.kind, zero.lanes, zero.seconds) == ("zero", 2, 120.0)
    assert hardware.look({"SPACES_ZERO_GPU": "false"}, gpu=True).kind == "gpu"
    assert hardware.look({}, gpu=True).flops > plain.flops
    assert replace(plain, cores=1).told == "1 CPU core"
    assert replace(plain, cores=8).flops == pytest.approx(2 * replace(plain, cores=4).flops)


def test_a_container_has_the_memory_that_it_is_given(tmp_path, monkeypatch):
    file = tmp_path / "memory.max"
    monkeypatch.setattr(hardware, "_CGROUP", tmp_path)
    whole = hardware.look({}, gpu=False).memory
    file.write_text("1000000000\n")
    assert hardware.look({}, gpu=False).memory == 800_000_000
    file.write_text("max\n")
    assert hardware.look({}, gpu=False).memory == whole


def test_a_container_has_the_cores_that_it_is_given(tmp_path, monkeypatch):
    monkeypatch.setattr(hardware, "_CGROUP", tmp_path)
    monkeypatch.setattr(hardware.os, "sched_getaffinity", lambda _: set(range(16)))
    assert hardware.look({}, gpu=False).cores == 16
    (tmp_path / "cpu.max").write_text("200000 100000\n")
    assert hardware.look({}, gpu=False).cores == 2
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert hardware.look({}, gpu=False).cores == 16
