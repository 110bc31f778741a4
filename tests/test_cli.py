"""The command line as a user meets it: what it prints, what it writes, how it ends."""

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from synbench import Report, cli

FEW = ["--samples", "16", "--scales", "1,2"]


@pytest.fixture
def run(monkeypatch, capsys):
    """Run the command line in this process; return exit code, stdout and stderr."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["synbench", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return end.value.code, *capsys.readouterr()

    return call


def test_demo_is_scored_without_a_model(run):
    code, out, err = run("score", *FEW)
    assert code == 0
    assert out.startswith("synbench:demo\n")
    assert "paper protocol: 2 scales × 2 splits × 16 images = 64 images" in out
    assert "synbench_score" in out
    assert "note: The representation has 64 dimensions" in out
    assert err == "", "no bar where stderr is not a terminal"


def test_the_population_protocol_prints_kappa_interval_and_meaning(run):
    code, out, err = run("score", "--images", 512, "--baseline", "untrained")
    assert code == 0
    assert "population protocol: 512 images" in out
    assert re.search(r"synbench_score 0\.\d{4}  \(95 % interval 0\.\d{4} to 0\.\d{4}, standard error 0\.\d{4}\)", out)
    assert " κ " in out
    assert "keep" in out
    assert "points less." in out.replace("\n", " ")
    assert max(map(len, out.split("synbench_score")[0].splitlines())) <= 80
    assert err == ""


def test_compare_prints_ranks_and_writes_what_is_asked_for(run, tmp_path):
    code, saved, _ = run("score", "--images", 512, "--untrained", "--json")
    twin = tmp_path / "twin.json"
    twin.write_text(saved)
    code, out, err = run(
        "compare", "synbench:demo", twin, "--images", 512,
        "--output", tmp_path / "both.json", "--plot", tmp_path / "both.png",
    )  # fmt: skip
    assert code == 0
    assert out.index("twin)") < out.rindex("synbench:demo")
    assert "Encoders that share a letter are not told apart at the 5% level" in out
    found = json.loads((tmp_path / "both.json").read_text())
    assert [entry["trained"] for entry in found["entries"]] == [False, True]
    assert (tmp_path / "both.png").read_bytes().startswith(b"\x89PNG")
    assert err.count("wrote") == 2
    code, out, _ = run("compare", twin, "synbench:demo", "--images", 512, "--csv")
    assert code == 0
    assert len(out.splitlines()) == 3
    code, out, _ = run("compare", twin, "synbench:demo", "--images", 512, "--json")
    assert [entry["score"] for entry in json.loads(out)["entries"]] == [e["score"] for e in found["entries"]]


def test_compare_tells_what_is_kept_of_textures(run, tmp_path):
    code, saved, _ = run("score", "--images", 512, "--untrained", "--direction", "texture", "--json")
    twin = tmp_path / "twin.json"
    twin.write_text(saved)
    textures = ["compare", "synbench:demo", twin, "--images", 512, "--direction", "texture"]
    code, out, err = run(*textures)
    assert code == 0, err
    assert "κ of textures at ε = 0 (population protocol)" in out
    assert "a_t" not in out
    code, out, _ = run(*textures, "--measure", "score", "--json")
    assert (code, json.loads(out)["measure"]) == (0, "score")
    assert run(*textures, "--measure", "accuracy")[0] == 2


def test_json_is_all_that_stdout_holds(run):
    code, out, _ = run("score", *FEW, "--json")
    report = Report.from_dict(json.loads(out))
    assert code == 0
    assert report.images == 64


def test_output_goes_to_exactly_the_file_that_is_named(run, tmp_path):
    code, out, err = run("score", *FEW, "--json", "--output", tmp_path / "result.txt", "--plot", tmp_path / "p.svg")
    assert code == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["p.svg", "result.txt"]
    assert json.loads((tmp_path / "result.txt").read_text()) == json.loads(out)
    assert err.count("wrote") == 2
    assert (tmp_path / "result.txt").stat().st_mode & 0o777 == 0o666 & ~_umask()


def test_options_reach_the_study(run):
    code, out, _ = run(
        "score", "--samples", 8, "--scales", "0.5,3", "--epsilons", "0.4", "--thresholds", "0.8,0.9", "--seed", 4,
        "--batch-size", 3, "--image-mean", "0.1,0.2,0.3", "--image-std", "0.5", "--as-published", "--json",
        "--device", "cpu", "--dtype", "float64",
    )  # fmt: skip
    report = Report.from_dict(json.loads(out))
    settings = report.settings
    assert code == 0
    assert (report.scales, report.epsilons, report.thresholds) == ([0.5, 3.0], [0.4], [0.8, 0.9])
    assert (settings.samples, settings.seed, settings.batch_size, settings.as_published) == (8, 4, 3, True)
    assert (settings.preprocessing.image_mean, settings.preprocessing.image_std) == ([0.1, 0.2, 0.3], [0.5] * 3)
    assert (settings.precision.dtype, settings.precision.reason) == ("float64", "asked for")


def test_textures_are_scored_and_told_as_such(run):
    code, out, _ = run("score", "--direction", "texture", "--images", "512")
    # A score of 0 ± 0 would say that nothing is kept, surely; κ says what is.
    assert (code, "κ of textures by ε" in out, "synbench_score" in out) == (0, True, False)
    code, out, _ = run("score", "--direction", "texture", "--images", "512", "--json")
    report = json.loads(out)
    assert (code, report["settings"]["direction"]) == (0, "texture")
    assert "differ in texture" in report["meaning"]
    code, _, err = run("score", "--direction", "texture", "--samples", "8")
    assert (code, "direction='texture' belongs to protocol='population'" in err) == (2, True)


def test_untrained_twin_is_told_apart(run):
    code, out, _ = run("score", *FEW, "--untrained")
    assert code == 0
    assert "synbench:demo (untrained twin)" in out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["score", "--epsilons", "1"], 2, "epsilons must lie in [0, 1)"),
        (["score", "--thresholds", "0.5"], 2, "thresholds must lie in [0.6, 1)"),
        (["score", "--scales", "1,,2"], 2, "expected numbers separated by commas, such as 0.5,1,2, got '1,,2'"),
        (["score", "--samples", "1"], 2, "samples must be an integer of at least 3, got 1"),
        (["score", "--images", "9"], 2, "images must be an integer of at least 64, got 9"),
        (["score", "--baseline", "random"], 2, "baseline must be 'untrained' or None, got 'random'"),
        (["compare", "synbench:demo"], 2, "expected two models or more to compare, got 1"),
        (["compare", "a", "b", "--json", "--csv"], 2, "choose one"),
        (["compare", "synbench:demo", "./nowhere"], 3, "nowhere"),
        (["score", "--samples", "many"], 2, "--samples"),
        (["score", "--device", "nonsense"], 2, "device must be one that torch can use here"),
        (
            ["score", "--dtype", "int8"],
            2,
            "dtype must be one of 'float32', 'bfloat16', 'float16', 'float64', got 'int8'",
        ),
        (["score", "--bogus"], 2, "--bogus"),
        (["score", "--plot", "plot.jpeg"], 2, "must end in .png, .svg or .pdf, got 'plot.jpeg'"),
        (["score", "--output", "no/such/folder/x.json"], 2, "cannot write 'no/such/folder/x.json': No such file"),
        (
            ["score", "--output", "."],
            2,
            "expected the name of a file to write to, got the folder '.'. Add a file name.",
        ),
        (["score", "./no-such-model"], 3, "cannot load './no-such-model': expected the id of a vision model"),
        (["nonsense"], 2, "nonsense"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_errors_are_sentences_with_a_documented_code(run, tmp_path, monkeypatch, arguments, code, message):
    monkeypatch.chdir(tmp_path)
    found, out, err = run(*arguments)
    assert found == code
    assert message in err
    assert "Traceback" not in out + err
    assert list(tmp_path.iterdir()) == []


def test_unusable_representations_end_with_3(run, monkeypatch):
    import torch

    from synbench import encoders

    monkeypatch.setattr(encoders.Encoder, "represent", lambda self, images: torch.ones(len(images), 2))
    code, _, err = run("score", *FEW)
    assert code == 3
    assert "gives one and the same vector for" in err


def test_exit_codes_are_in_the_help(run):
    code, out, _ = run("score", "--help")
    text = " ".join(out.split())
    assert code == 0
    for part in ("0 done", "2 bad arguments", "3 the model or its representations cannot be used", "130 interrupted"):
        assert part in text


def test_version(run):
    import synbench

    assert run("--version") == (0, f"synbench {synbench.__version__}\n", "")


def test_links_are_followed_and_pipes_are_written_to(tmp_path):
    from synbench.output import check_writable, replacing

    (tmp_path / "real.json").write_text("old")
    (tmp_path / "link.json").symlink_to(tmp_path / "real.json")
    with replacing(tmp_path / "link.json") as stream:
        stream.write(b"new")
    assert (tmp_path / "link.json").is_symlink()
    assert (tmp_path / "real.json").read_text() == "new"
    os.mkfifo(tmp_path / "pipe")
    check_writable(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    with replacing(tmp_path / "pipe") as stream:
        stream.write(b"through")
    assert os.read(reader, 100) == b"through"
    os.close(reader)
    assert (tmp_path / "pipe").is_fifo()


def test_a_write_that_fails_is_a_sentence_and_costs_no_result(run, tmp_path, monkeypatch):
    from synbench import report

    class Full(str):
        def encode(self):
            raise OSError(28, "No space left on device")

    text = report.Report.to_json
    monkeypatch.setattr(
        report.Report, "to_json", lambda self: type("Full", (Full,), {"__add__": lambda s, o: s})(text(self))
    )
    code, out, err = run("score", *FEW, "--output", tmp_path / "x.json")
    assert code == 2
    assert "synbench_score" in out
    assert "No space left on device" in err
    assert list(tmp_path.iterdir()) == []


def test_one_file_cannot_take_both(run, tmp_path):
    code, _, err = run("score", *FEW, "--output", tmp_path / "a.png", "--plot", tmp_path / "a.png")
    assert code == 2
    assert "--output and --plot must be two files" in err


def test_names_are_shown_as_they_are(run, tmp_path, monkeypatch):
    import shutil

    import synbench

    name = "runs[/x]$a$^{$b"
    shutil.copytree(Path(synbench.__file__).parent / "demo", tmp_path / name)
    monkeypatch.chdir(tmp_path)
    code, out, _ = run("score", *FEW, name, "--plot", tmp_path / "p.png")
    assert code == 0
    assert out.startswith(name + "\n")


@pytest.mark.slow
def test_a_stream_without_greek_shows_the_result_all_the_same():
    done = subprocess.run(
        [sys.executable, "-m", "synbench.cli", "score", *FEW],
        capture_output=True, check=False, env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    assert done.returncode == 0
    assert b"synbench_score" in done.stdout


def test_interrupted_writing_leaves_the_old_file(tmp_path):
    from synbench.output import replacing

    (tmp_path / "result.json").write_text("old")

    def interrupted():
        with replacing(tmp_path / "result.json") as stream:
            stream.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [p.name for p in tmp_path.iterdir()] == ["result.json"]
    assert (tmp_path / "result.json").read_text() == "old"


# A test run in the background inherits that Ctrl-C is ignored; a command on a terminal does not.
START = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from synbench.cli import main
main()
"""


@pytest.mark.slow
def test_a_terminal_sees_a_bar_and_can_interrupt_it(tmp_path):
    """A real process on a real terminal: the bar moves, Ctrl-C ends with 130, nothing is written."""
    screen, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    output = tmp_path / "result.json"
    process = subprocess.Popen(
        [sys.executable, "-c", START, "score", "--images", "1000000", "--output", str(output)],
        stdout=subprocess.DEVNULL, stderr=terminal, cwd=tmp_path,
    )  # fmt: skip
    os.close(terminal)
    seen = b""
    while not re.search(rb"embedding: +[1-9]\d*%.*img/s", seen):
        seen += os.read(screen, 4096)
    process.send_signal(signal.SIGINT)
    while True:
        try:
            seen += os.read(screen, 4096)
        except OSError:  # the terminal is closed when the process has ended
            break
    assert process.wait(timeout=60) == 130
    assert b"interrupted; nothing is half-written." in seen
    assert b"Traceback" not in seen
    assert list(tmp_path.iterdir()) == []
    os.close(screen)


@pytest.mark.slow
def test_the_installed_command_registers_and_takes_back(tmp_path):
    """What a newcomer does: register, load by the bare name from another folder, remove."""
    home = tmp_path / "home"
    command = Path(sys.executable).parent / "synbench"
    environment = {**os.environ, "HF_HOME": str(home)}
    call = lambda *a: subprocess.run(  # noqa: E731
        a, capture_output=True, text=True, check=False, env=environment, cwd=tmp_path
    )
    assert call(command, "register").returncode == 0
    code = "import evaluate; print(evaluate.load('synbench').name)"
    assert call(sys.executable, "-c", code).stdout.strip() == "synbench"
    assert call(command, "register", "--remove").stdout.strip() == "removed"
    assert call(command, "register", "--remove").stdout.strip() == "was not registered"
    assert "Couldn't find a module script" in call(sys.executable, "-c", code).stderr


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask
