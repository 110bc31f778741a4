"""Stands in for a launcher and what it launches, in tests of runs: does what a file tells for each model.

python stand_in_launcher.py FOLDER -m synbench score ID --revision COMMIT --output FILE ...
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path


def main():
    folder, words = Path(sys.argv[1]), sys.argv[2:]
    assert words[:3] == ["-m", "synbench", "score"]
    model, commit, output = words[3], words[words.index("--revision") + 1], Path(words[words.index("--output") + 1])
    with (folder / "calls.jsonl").open("a") as stream:
        stream.write(json.dumps({"model": model, "commit": commit, "words": words, "env": dict(os.environ)}) + "\n")
    act = json.loads((folder / "acts.json").read_text()).get(model, "score")
    if act == "score":
        half = output.with_suffix(".half")
        shutil.copy(folder / f"{model.replace('/', '--')}@{commit}.json", half)
        half.replace(output)
    elif act == "nothing":
        pass
    elif act.startswith("signal "):
        os.kill(os.getpid(), int(act.split()[1]))
    elif act == "hang":
        # What it started outlives it, unless the whole group is ended.
        other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        (folder / "hanging.json").write_text(json.dumps([os.getpid(), other.pid]))
        time.sleep(600)
    elif act == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        (folder / "hanging.json").write_text(json.dumps([os.getpid()]))
        time.sleep(600)
    else:
        code, _, text = act.partition(" ")
        sys.stderr.write("some library: a warning\n" + text + "\n")
        sys.exit(int(code))


if __name__ == "__main__":
    main()
