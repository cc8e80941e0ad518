#!/usr/bin/python3
"""Runs fuzz targets with libFuzzer, two at a time, and prints a TAP line for each (docs/testing.md, "Fuzzing").

What is found beyond the kept corpora, and what ends a target, is written to build-asan/found/TARGET/.
"""

import argparse
import concurrent.futures
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))
from cases import ROOT, Case, expect, finish  # noqa: E402

BUILD = ROOT / "build-asan"
MOST_FILES, MOST_BYTES = 60, 40 << 10  # of a kept corpus
LONGEST = {"yaml": 65_537}  # an input's bytes; of the others 4,096
OPTIONS = ["-timeout=30", "-rss_limit_mb=2048", "-detect_leaks=0", "-print_final_stats=1"]
ENVIRONMENT = {**os.environ, "ASAN_SYMBOLIZER_PATH": "/usr/bin/addr2line", "ASAN_OPTIONS": "detect_leaks=0",
               "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1"}


def targets():
    return sorted(path.name for path in (HERE / "corpus").iterdir())


def program(target):
    return BUILD / "tests" / "fuzz" / f"fuzz_{target}"


def found(target):
    folder = BUILD / "found" / target
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def fuzz(target, *words):
    """All that libFuzzer says, and its exit code."""
    done = subprocess.run([program(target), *OPTIONS, f"-max_len={LONGEST.get(target, 4096)}",
                           f"-artifact_prefix={found(target)}/", *words],
                          env=ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.stdout.decode(errors="replace"), done.returncode


def run(target, seconds):
    with Case(target) as case:
        dictionary = HERE / f"{target}.dict"
        words = [f"-dict={dictionary}"] if dictionary.exists() else []
        kept = list((HERE / "corpus" / target).iterdir())
        output, code = fuzz(target, *words, f"-max_total_time={seconds}", found(target), HERE / "corpus" / target)
        executed = re.findall(r"^stat::number_of_executed_units: (\d+)", output, re.M)
        covered = re.findall(r" cov: (\d+) ft: (\d+)", output)
        if executed and covered:
            case.note(f"{int(executed[0]):,} executions")
            case.note("{} edges".format(covered[-1][0]))
            case.note(f"{len(kept)} inputs kept")
        inputs = re.findall(r"Test unit written to (\S+)", output)
        again = "".join(f"\nagain: {program(target).relative_to(ROOT)} {path}" for path in inputs)
        expect(code == 0, "\n".join(output.splitlines()[-80:]) + again)


def new_features(target, folders):
    """(how many features it shows that none of the smaller ones does, path) of each input: libFuzzer's own merge."""
    with tempfile.TemporaryDirectory() as scratch:
        control = Path(scratch) / "control"
        (Path(scratch) / "merged").mkdir()
        output, code = fuzz(target, "-merge=1", f"-merge_control_file={control}", Path(scratch) / "merged", *folders)
        if code:
            raise SystemExit(output[-4000:])
        lines = control.read_text().splitlines()
    names = lines[2:2 + int(lines[0])]
    shown = (re.fullmatch(r"FT (\d+)(.*)", line) for line in lines)
    return [(len(each[2].split()), Path(names[int(each[1])])) for each in shown if each]


def minimise(target):
    """The kept corpus becomes the inputs that show most, of it and of what was found."""
    corpus = HERE / "corpus" / target
    chosen, size = {}, 0
    for count, path in sorted(new_features(target, [corpus, found(target)]), reverse=True):
        if count and len(chosen) < MOST_FILES and size + path.stat().st_size <= MOST_BYTES:
            size += path.stat().st_size
            chosen[path.name.removeprefix("seed-")] = path.read_bytes()
    shutil.rmtree(corpus)
    corpus.mkdir()
    for name, data in chosen.items():
        (corpus / name).write_bytes(data)
    print(f"{target}: {len(chosen)} files, {size} bytes")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=int(os.environ.get("SKYEDGE_FUZZ_SECONDS", 30)),
                        help="for each target; default 30, or SKYEDGE_FUZZ_SECONDS")
    parser.add_argument("--minimise", action="store_true", help="rewrite the kept corpora and run nothing")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="; ".join(targets()))
    asked = parser.parse_args()
    if unknown := set(asked.targets) - set(targets()):
        parser.error(f"unknown {' '.join(sorted(unknown))}; targets are {' '.join(targets())}")
    wanted = asked.targets or targets()
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        if asked.minimise:
            list(pool.map(minimise, wanted))
            return
        list(pool.map(lambda target: run(target, asked.seconds), wanted))
    finish()


if __name__ == "__main__":
    main()
