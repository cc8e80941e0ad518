#!/usr/bin/python3
"""perf/run's search for the rate without a loss, over veth pairs: that it ends, and in figures that fit each other."""

import json
import os
import subprocess
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from cases import ROOT, Case, expect, finish  # noqa: E402

sys.path.insert(0, str(ROOT / "perf"))
import ndr  # noqa: E402

PROGRAM = Path(os.environ.get("SKYEDGE_BUILD", ROOT / "build")).resolve() / "perf" / "ndr"
SHORT = ("--trial", "0.1", "--final", "0.3", "--width", "0.1")


def search(sort, frame):
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "ndr.json")
        code = ndr.main(["--veth", sort, "--frame", frame, *SHORT, "--json", str(out)], lambda: PROGRAM, nullcontext(False))
        expect(code == 0, f"exit code {code}")
        return json.loads(out.read_text())["cases"]


for sort, frame in (("xdp", "header-64"), ("packet", "frame-1420")):
    with Case(f"{sort}: a router on a core of its own takes so many frames a second") as case:
        without, some = search(sort, frame)
        case.note(f"{frame}: {without['value']:.0f} without a loss, {some['value']:.0f} with 0.5 %")
        expect((without["name"], some["name"]) == (f"ndr/{frame}", f"pdr/{frame}"), f"{without} {some}")
        for one in (without, some):
            expect(one["unit"] == "packets/s" and one["value"] > 1000, f"{one}")
            expect(abs(one["ratio"] - one["value"] / one["limit"]) < 1e-6, f"{one}")
        expect(some["value"] >= without["value"], "with a loss it is less than without")

with Case("nothing of it is left, and what it does not know is refused by name"):
    done = subprocess.run([PROGRAM, "--port", "a", "b", "--generator", "c", "d", "--json", "/dev/null", "--frame", "tail-64"],
                          capture_output=True, text=True)
    expect(done.returncode == 2 and "--frame: found tail-64, wanted clear, header or frame" in done.stderr, done.stderr)
    spaces = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True).stdout
    expect(f"sky.ndr{os.getpid()}" not in spaces, spaces)
finish()
