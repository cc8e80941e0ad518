"""Small things that the lab, the demo and the tests share."""

import subprocess
import time


class LabError(Exception):
    """What went wrong in words for the user."""


def run(*argv, check=True, timeout=30, **options):
    """Runs a program to its end; its output is text. Raises LabError with what it printed when it fails."""
    argv = [str(word) for word in argv]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout, **options)
    except subprocess.TimeoutExpired as late:
        raise LabError(f"{' '.join(argv)}: no end within {timeout} s") from late
    if check and done.returncode != 0:
        raise LabError(f"{' '.join(argv)}: exit code {done.returncode}: {(done.stderr or done.stdout).strip()}")
    return done


def wait_until(condition, seconds, what, every=0.05):
    """Calls condition() until it is true; raises LabError naming `what` (text or callable) after that many seconds."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > end:
            raise LabError(f"not within {seconds:g} s: {what() if callable(what) else what}")
        time.sleep(every)
    return value


def table(rows):
    """Rows of words as aligned columns; the first row is the heading."""
    widths = [max(len(str(row[column])) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(str(word).ljust(width) for word, width in zip(row, widths)).rstrip() for row in rows)
