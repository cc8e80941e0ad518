"""The rows of scripts/soak, which says how it is called."""

import importlib
import re
import signal
import sys
import time
import traceback
from pathlib import Path

from row import Failed, Row

# Ended from outside, a row still takes its labs down.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def rows():
    """{name: module}: a01_replay.py is A1, mixed_load.py is mixed_load."""
    found = {}
    for file in sorted(Path(__file__).parent.glob("*.py")):
        if file.stem in ("row", "run"):
            continue
        number = re.match(r"a(\d+)_", file.stem)
        found[f"A{int(number[1])}" if number else file.stem] = importlib.import_module(file.stem)
    return found


def run(name, module, full):
    """Runs one row and prints its last line; True when it held."""
    row, start, problem = Row(full), time.monotonic(), ""
    try:
        module.run(row)
    except Failed as error:
        problem = str(error)
    except Exception:
        problem = traceback.format_exc()
    if problem:
        print("\n".join(f"#   {line}" for line in problem.splitlines()), flush=True)
    figures = ", ".join([*row.figures, f"{time.monotonic() - start:.1f} s"])
    print(f"{name} {'fail' if problem else 'pass'} {figures}", flush=True)
    return not problem


def main():
    known = rows()
    words = sys.argv[1:]
    full = "--ci" not in words
    names = [word for word in words if not word.startswith("--")]
    if "--list" in words:
        for name, module in known.items():
            print(f"{name:<15} {module.TITLE}\n{'':<15} CI: {module.CI}; full: {module.FULL}")
        return 0
    wrong = [f"row {name}" for name in names if name not in known]
    wrong += [f"option {word}" for word in words if word.startswith("--") and word != "--ci"]
    if wrong or (full and not names):
        print(f"scripts/soak: found {', '.join(wrong) or 'no row'}, wanted --list, --ci or rows of {' '.join(known)}",
              file=sys.stderr)
        return 2
    return 0 if all([run(name, known[name], full) for name in names or known]) else 1


if __name__ == "__main__":
    sys.exit(main())
