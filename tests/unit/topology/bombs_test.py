#!/usr/bin/python3
"""Files made to exhaust their reader: each is refused by the checker within 1 s and 200 MB.

    bombs_test.py CHECKER...        such as: bombs_test.py build/skyctl check
"""

import os
import sys
import tempfile
from pathlib import Path

MOST_SECONDS = 1
MOST_MEGABYTES = 200


def tenfold_aliases(levels):
    """`levels` lists of ten aliases each of the one before: 10^levels leaves in a few hundred bytes."""
    names = [f"n{level}" for level in range(levels)]
    first = f"{names[0]}: &{names[0]} [{', '.join('x' * 10)}]\n"
    return first + "".join(f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n"
                           for before, name in zip(names, names[1:]))


# Made one at a time: what this process holds counts in the memory of the next child.
TEXTS = {
    "lists in lists, on one line": lambda: "[" * 10**5,
    "lists in lists, in a value": lambda: "domains: " + "[" * 10**5,
    "lists in lists, 16 MB": lambda: "[" * (16 * 2**20 - 1),
    "maps in maps, on one line": lambda: "{ a: " * 10**5,
    "lists in lists, by dashes": lambda: "- " * 10**5 + "x",
    "maps in maps, by indentation": lambda: "".join(" " * depth + "a:\n" for depth in range(2000)),
    "keys in keys": lambda: "? " * 10**5 + "x",
    "aliases to 10^9 leaves": lambda: tenfold_aliases(9),
    "aliases to 10^9 leaves, as domains": lambda: "domains:\n" + "".join(
        f"  {line}\n" for line in tenfold_aliases(9).splitlines()),
    "aliases, one by one": lambda: "a: &a x\nb: [" + "*a, " * 10**6 + "]",
    "anchors": lambda: "a: [" + "".join(f"&n{number} x, " for number in range(10**6)) + "]",
    "one key, 10^5 times": lambda: "domains:\n" + "  a: {}\n" * 10**5,
    "one key in quotes, 16 MB": lambda: '"' + "k" * (16 * 2**20 - 10) + '": x',
    "one list as a key, 16 MB": lambda: "[" + "a," * (8 * 2**20 - 10) + "]: x",
    "one text, 16 MB": lambda: "domains: " + "x" * (16 * 2**20 - 10),
    "one comment, 16 MB": lambda: "# x\n" * (4 * 2**20 - 1),
    "documents": lambda: "---\n" * 10**5,
}


def write_bombs(folder):
    for number, (name, text) in enumerate(TEXTS.items()):
        path = folder / f"{number}.yaml"
        path.write_text(text())
        yield name, path
    path = folder / "large.yaml"
    with path.open("wb") as file:
        file.truncate(100 * 10**6)
    yield "100 MB", path


def run(command, output):
    """(exit code, negative for a signal; seconds of CPU, whatever else the machine does; peak megabytes)."""
    pid = os.fork()
    if pid == 0:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
        os.execv(command[0], command)
    _, status, usage = os.wait4(pid, 0)
    return os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def fault_of(checker, path):
    with tempfile.TemporaryFile("w+") as output:
        code, seconds, megabytes = run([*checker, str(path)], output)
        output.seek(0)
        lines = output.read().splitlines()
    print(f"  {seconds:.2f} s, {megabytes:.0f} MB, {lines[0].removeprefix(str(path)) if lines else 'nothing said'}")
    if code != 2 or not lines:
        return f"exit code {code}, {len(lines)} lines; wanted 2 and a reason"
    if seconds > MOST_SECONDS or megabytes > MOST_MEGABYTES:
        return f"{seconds:.2f} s and {megabytes:.0f} MB; wanted at most {MOST_SECONDS} s and {MOST_MEGABYTES} MB"
    return None


def main():
    checker = [str(Path(sys.argv[1]).resolve()), *sys.argv[2:]]
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for name, path in write_bombs(Path(folder)):
            print(name)
            if fault := fault_of(checker, path):
                failed += 1
                print(f"  FAILED: {fault}")
            path.unlink()
    print(f"{len(TEXTS) + 1} files, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
