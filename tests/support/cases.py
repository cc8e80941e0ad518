"""Test scripts that print one TAP line per case, so that each script runs alone and scripts/test can count cases."""

import os
import signal
import sys
import time
import traceback
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests" / "support")]
from lablib import Lab, LabError  # noqa: E402

FOUR_DOMAINS = ROOT / "conf" / "lab" / "four-domains.yaml"


# Ended from outside, a script still takes its labs down.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


class Skip(Exception):
    """Raised inside a case: cannot be tried here, and why."""


_counts = {"ok": 0, "not ok": 0, "skip": 0}


class Case:
    """`with Case("what must hold"):` prints ok, not ok or skip; a failed case does not stop those after it.

    `note(text)` adds a figure to the line.
    """

    def __init__(self, name):
        self.name, self.notes = name, []

    def note(self, text):
        self.notes.append(str(text))

    def __enter__(self):
        self.start = time.monotonic()
        return self

    def __exit__(self, kind, error, trace):
        if kind and not issubclass(kind, Exception):
            return False
        word = "ok" if error is None else "skip" if kind is Skip else "not ok"
        _counts[word] += 1
        number = sum(_counts.values())
        notes = f" ({', '.join(self.notes)})" if self.notes else ""
        end = f" # SKIP {error}" if word == "skip" else f" # {time.monotonic() - self.start:.1f} s"
        print(f"{'ok' if word == 'skip' else word} {number} - {self.name}{notes}{end}", flush=True)
        if word == "not ok":
            wanted = (AssertionError, LabError)
            text = str(error) if issubclass(kind, wanted) else "".join(traceback.format_exception(kind, error, trace))
            print("\n".join(f"#   {line}" for line in text.splitlines()), flush=True)
        return True


def expect(condition, text):
    """Fails the case with the text unless the condition holds."""
    if not condition:
        raise AssertionError(text)


def finish():
    """Prints the plan and exits: 0 when no case failed and at least one ran."""
    print(f"1..{sum(_counts.values())}")
    sys.exit(1 if _counts["not ok"] or not sum(_counts.values()) else 0)


def lab_up(topology, router=None, ports="packet", mtu=1500):
    """A lab of the programs under test: those of SKYEDGE_BUILD, or build/. Its steps are TAP comments."""
    return Lab.up(topology, router=router, build=os.environ.get("SKYEDGE_BUILD"), ports=ports, mtu=mtu,
                  say=lambda text: print(f"# {text}", flush=True))
