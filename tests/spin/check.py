#!/usr/bin/python3
"""Has Spin look at every state of install.pml, and at the same with each of its faults, which must be found.

    check.py            what scripts/test runs
    check.py --full     two deaths, a late and a wrong batch in one run, and liveness beside a packet: 3 min, 4 GB
"""

import concurrent.futures
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "support"))
from cases import Case, expect, finish  # noqa: E402

MODEL = Path(__file__).with_name("install.pml")
SAFETY, LIVENESS = "safety", "liveness"

HOLDS = [
    ("one death, a late and a wrong batch: no state is bad", SAFETY, ["DEATHS=1"]),
    ("two deaths: no state is bad", SAFETY, ["DEATHS=2", "FAULTS=false"]),
    ("one death, a late and a wrong batch: the tables become what is wanted", LIVENESS, ["DEATHS=1", "NO_PACKET"]),
    ("two deaths: the tables become what is wanted", LIVENESS, ["DEATHS=2", "FAULTS=false", "NO_PACKET"]),
]
FULL = [
    ("two deaths, a late and a wrong batch: no state is bad", SAFETY, ["DEATHS=2"]),
    ("one death beside a packet: the tables become what is wanted", LIVENESS, ["DEATHS=1", "FAULTS=false"]),
]

STALE = r"batch_fence==fence"
NOT_APPLIED = r"socket==.*destination==target"
# (fault, where it shows, how Spin says so)
FAULTS = [
    ("ACK_FIRST", SAFETY, [], NOT_APPLIED),
    ("NO_FENCE_CHECK", SAFETY, [], STALE),
    ("NO_BOOT_CHECK", SAFETY, [], STALE),
    ("NO_CHECK", SAFETY, [], NOT_APPLIED),
    ("PIECEWISE", SAFETY, ["FAULTS=false"], r"applying\|\|.*whole_destination"),
    ("PUBLISH_FIRST", SAFETY, ["FAULTS=false"], r"by!=0"),
    ("DELETE_FIRST", SAFETY, ["FAULTS=false"], r"by!=0|links\[by\]"),
    ("NO_GRACE", SAFETY, ["FAULTS=false"], r"by!=0|links\[by\]"),
    ("NO_ADOPTION", SAFETY, ["FAULTS=false"], NOT_APPLIED),
    ("KEEP_OPEN_BATCH", SAFETY, ["FAULTS=false"], r"invalid end state"),
    ("RING_OVERRUN", SAFETY, ["FAULTS=false"], r"tail-install_head"),
    ("GIVE_UP", LIVENESS, ["NO_PACKET"], r"acceptance cycle"),
]


def run(*words, folder):
    done = subprocess.run(words, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    expect(done.returncode == 0, f"{' '.join(words)}: exit code {done.returncode}\n{done.stdout}")
    return done.stdout


def search(sort, defines):
    """(errors, states, all that Spin's verifier says) of the whole state space."""
    with tempfile.TemporaryDirectory() as folder:
        defines = [*defines, "TIME_PASSES"] if sort == LIVENESS else defines
        run("spin", "-a", *(f"-D{each}" for each in defines), str(MODEL), folder=folder)
        options = ["-DSAFETY", "-DNOCLAIM", "-DCOLLAPSE"] if sort == SAFETY else ["-DNFAIR=3", "-DNOBOUNDCHECK"]
        run("gcc", "-O1", "-w", *options, "-o", "pan", "pan.c", folder=folder)
        output = run("./pan", "-m100000", *([] if sort == SAFETY else ["-a", "-f"]), folder=folder)
    errors = re.search(r"errors: (\d+)", output)
    states = re.search(r"(\d+) states, stored", output)
    expect(errors and states, output)
    whole = "Search not completed" not in output and "max search depth too small" not in output
    return int(errors[1]), int(states[1]), whole, output


def main():
    holds = HOLDS + (FULL if "--full" in sys.argv[1:] else [])
    with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        good = [(name, pool.submit(search, sort, defines)) for name, sort, defines in holds]
        bad = [(fault, wanted, pool.submit(search, sort, [fault, "DEATHS=1", *defines]))
               for fault, sort, defines, wanted in FAULTS]
        for name, result in good:
            with Case(name) as case:
                errors, states, whole, output = result.result()
                case.note(f"{states} states")
                expect(errors == 0 and whole, output)
        for fault, wanted, result in bad:
            with Case(f"the fault {fault} is found out") as case:
                errors, _, _, output = result.result()
                said = re.search(r"^pan:1: (.*?)( \(at depth (\d+)\))?$", output, re.M)
                expect(errors > 0 and said and re.search(wanted, said[1]), f"wanted {wanted}\n{output}")
                case.note(f"after {said[3]} steps")
    finish()


main()
