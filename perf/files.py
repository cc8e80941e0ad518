"""The files that perf/run reads and writes: what is wrong with one is said before minutes go into a run."""

import json
import sys


def earlier(file):
    """What --json wrote to a file, read before this run may write there; ends the program where it is no such file."""
    try:
        run = json.loads(file.read_text())
        if all({"name", "unit", "value", "ratio"} <= set(case) for case in run["cases"]):
            return run
        problem = "a case without name, unit, value or ratio"
    except OSError as error:
        problem = error.strerror
    except ValueError as error:
        problem = f"no JSON ({error})"
    except (KeyError, TypeError):
        problem = "JSON without cases"
    sys.exit(f"perf/run: --compare {file}: found {problem}, wanted a file that --json wrote")


def expect_writable(*files):
    """Ends the program where it cannot write one of them, all that are wrong at once; None is no file."""
    problems = []
    for file in filter(None, files):
        try:
            file.open("a").close()
        except OSError as error:
            problems.append(f"perf/run: {file}: cannot be written: {error.strerror}")
    if problems:
        sys.exit("\n".join(problems))
