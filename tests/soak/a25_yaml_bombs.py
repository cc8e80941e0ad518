"""A25: files made to exhaust their reader, given to `skyctl check`."""

import re
import subprocess

from row import BUILD, ROOT

TITLE = "YAML bombs and huge files: each refused within 1 s and 200 MB"
CI = FULL = "depth 10^5, 10^9 aliases, 100 MB, keys that repeat or hash alike, 19 files in all"


def run(row):
    words = [ROOT / "tests/unit/topology/bombs_test.py", BUILD / "skyctl", "check"]
    done = subprocess.run(words, capture_output=True, text=True)
    seen = re.findall(r"^  ([\d.]+) s, (\d+) MB,", done.stdout, re.M)
    row.figure(f"{len(seen)} files")
    row.figure(f"at most {max(float(seconds) for seconds, _ in seen)} s and {max(int(size) for _, size in seen)} MB")
    row.expect(done.returncode == 0, done.stdout + done.stderr)
