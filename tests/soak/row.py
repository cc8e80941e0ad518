"""What a row of tests/soak/ is made of: a module with TITLE, FULL, CI and run().

    TITLE = "what is attacked, and what must hold"
    CI, FULL = "10^5 frames", "10^7 frames"      # the two sizes, in words
    def run(row): ...                            # row.full tells the size; row.figure() and row.expect() judge

The row's name is the first word of the file's: a01_replay.py is A1.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests" / "support")]
BUILD = Path(os.environ.get("SKYEDGE_BUILD", ROOT / "build"))
SANITIZED = ROOT / "build-asan"


class Failed(Exception):
    """A row's mark that was missed: what was wanted, what was found."""


class Row:
    """One run of one row, at one of its two sizes."""

    def __init__(self, full):
        self.full, self.figures = full, []

    def size(self, ci, full):
        return full if self.full else ci

    def figure(self, text):
        """A figure of the row's last line."""
        self.figures.append(str(text))

    def expect(self, holds, text):
        if not holds:
            raise Failed(text)

    def gtest(self, program, cases, build=BUILD, **environment):
        """Runs cases of a test program, SKYEDGE_SOAK=1 at the full size; its `figure:` lines become the row's."""
        variables = {"SKYEDGE_SOAK": "1"} if self.full else {}
        variables.update({name: str(value) for name, value in environment.items()})
        done = subprocess.run([build / program, f"--gtest_filter={cases}"], cwd=build, text=True, errors="replace",
                              env={**os.environ, **variables}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for figure in re.findall(r"^figure: (.*)", done.stdout, re.M):
            self.figure(figure)
        ran = re.search(r"^\[  PASSED  \] (\d+) test", done.stdout, re.M)
        if done.returncode or not ran or int(ran[1]) == 0:
            raise Failed(f"{program} {cases}: exit code {done.returncode}\n{done.stdout[-4000:]}")
