"""The steps of scripts/test, which names them."""

import concurrent.futures
import fnmatch
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "support"))
from stalls import Stalls  # noqa: E402

MOST_STALL_MS = 30  # half of what a live network is silent when a path dies
SOURCES = ("dataplane", "controlplane", "drivers", "tests", "perf")
JOBS = len(os.sched_getaffinity(0))

# Which folders a folder may include from: the build's targets say the same to the linker.
LEAVES = ("dataplane/base", "dataplane/protocol")
LAYERS = {
    "dataplane/base": ("dataplane/base",),
    "dataplane/protocol": LEAVES,
    "dataplane/crypto": (*LEAVES, "dataplane/crypto", "dataplane/batch.h"),
    "dataplane/tables": (*LEAVES, "dataplane/crypto", "dataplane/tables", "dataplane/batch.h"),
    "dataplane/stages": (*LEAVES, "dataplane/crypto", "dataplane/tables", "dataplane/stages", "dataplane/batch.h",
                         "dataplane/verdict.h", "dataplane/watch.h", "dataplane/worker_channel.h", "drivers"),
    "controlplane": (*LEAVES, "controlplane"),
}


class Results:
    """Every case's name and outcome: "passed", "failed" or "skipped"."""

    def __init__(self):
        self.cases = []
        lines = (ROOT / "tests" / "allowed_skips").read_text().splitlines()
        self.allowed = [line.split("#")[0].strip() for line in lines if line.split("#")[0].strip()]

    def add(self, name, outcome):
        self.cases.append((name, outcome))

    def count(self, outcome):
        return sum(each == outcome for _, each in self.cases)

    def skips_not_allowed(self):
        return [name for name, outcome in self.cases
                if outcome == "skipped" and not any(fnmatch.fnmatch(name, pattern) for pattern in self.allowed)]


results = Results()


def say(text=""):
    print(text, flush=True)


def check(name, problem):
    """Counts a check that is one case by itself; `problem` is empty or what is wrong."""
    results.add(name, "failed" if problem else "passed")
    say(f"  {'FAILED' if problem else 'passed'}  {name}")
    if problem:
        say("\n".join(f"    {line}" for line in problem.strip().splitlines()[:40]))


def command(*words, env=None):
    """Runs a program; returns (exit code, all of its output)."""
    done = subprocess.run([str(word) for word in words], cwd=ROOT, env=env, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace")
    return done.returncode, done.stdout


# --- counting the cases of one test program ------------------------------------------------------------------------


def gtest_cases(output):
    """(name, outcome) of each GoogleTest case; one that began and never ended (a crash) has failed."""
    words = {"OK": "passed", "FAILED": "failed", "SKIPPED": "skipped"}
    cases = {name: "failed" for name in re.findall(r"^\[ RUN +\] (\S+)", output, re.M)}
    for word, name in re.findall(r"\[ +(OK|FAILED|SKIPPED) +\] ([^\s,]+).*\(\d+ ms\)", output):
        cases[name] = words[word]
    return list(cases.items())


def tap_cases(output):
    """(name, outcome) of each TAP line."""
    cases = []
    for word, name, skip in re.findall(r"^(ok|not ok)\b *\d* *-? *([^#\n]*)(# *SKIP)?", output, re.M | re.I):
        name = re.sub(r" \(.*\)$", "", name.strip())
        cases.append((name, "skipped" if skip else "passed" if word == "ok" else "failed"))
    return cases


def soak_cases(output):
    """(name, outcome) of a row's last line."""
    return [(name, "passed" if word == "pass" else "failed")
            for name, word in re.findall(r"^(\S+) (pass|fail)\b", output, re.M)]


def output_of(words, timeout, env, cwd):
    """(all output, exit code) of a program; one that does not end in time is asked to, so that it can clean up."""
    with subprocess.Popen(words, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT) as process:
        note = ""
        try:
            output, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            note = f"\nno end within {timeout} s\n"
            process.terminate()
            try:
                output, _ = process.communicate(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                output, _ = process.communicate()
    return output.decode(errors="replace") + note, -1 if note else process.returncode


def tried(name, words, protocol, timeout, env=None, cwd=ROOT):
    """Runs one test program; returns its cases, as (name, outcome), and the text to show."""
    start = time.monotonic()
    try:
        output, code = output_of(words, timeout, {**os.environ, **(env or {})}, cwd)
    except OSError as error:
        output, code = str(error), -1
    parse = {"gtest": gtest_cases, "tap": tap_cases, "soak": soak_cases}.get(protocol, lambda _: [])
    cases = parse(output)
    if code != 0 and not any(outcome == "failed" for _, outcome in cases):
        cases.append((f"exit code {code}", "failed"))
    elif not cases:  # one case by itself, or a program whose cases are gone
        cases.append(("as a whole", "passed") if protocol == "exitcode" else ("no case ran", "failed"))
    counts = [sum(outcome == word for _, outcome in cases) for word in ("passed", "failed", "skipped")]
    text = f"  {'FAILED' if counts[1] else 'passed'}  {name}: {counts[0]} of {sum(counts)} cases"
    text += f", {counts[2]} skipped" if counts[2] else ""
    text += f", {time.monotonic() - start:.1f} s"
    if counts[1]:
        text += "\n" + "\n".join(f"    {line}" for line in output.strip().splitlines()[-60:])
    else:  # the figures that cases note
        notes = {"tap": r"^ok \d+ - (.* \(.*\)) #", "soak": r"^\S+ pass (.*)"}.get(protocol, r"^figure: (.*)")
        text += "".join(f"\n          {line}" for line in re.findall(notes, output, re.M))
    return cases, text


def counted(name, cases, text):
    for case, outcome in cases:
        results.add(f"{name}: {case}", outcome)
    return text


def run_program(name, *how, **more):
    """Runs one test program, as tried(), and counts its cases; returns the text to show."""
    return counted(name, *tried(name, *how, **more))


def run_live(name, *how):
    """run_program() for one whose promises are in milliseconds of a live network.

    What fails while the machine itself stands still for as long as such a promise is run again, twice at most.
    """
    for again in (2, 1, 0):
        with Stalls() as stalls:
            cases, text = tried(name, *how)
        if not again or stalls.longest_ms < MOST_STALL_MS or all(outcome != "failed" for _, outcome in cases):
            return counted(name, cases, text)
        say(f"{text}\n  again   {name}: the machine stood still for {stalls.longest_ms:.0f} ms meanwhile")


def meson_tests(build, suites=None):
    """The tests that the build knows, of these suites ("unit", "packet", ...) or all."""
    return [test for test in introspect(build, "--tests")
            if suites is None or any(suite.split(":")[-1] in suites for suite in test["suite"])]


def introspect(build, what):
    code, output = command("meson", "introspect", what, build)
    if code:
        raise SystemExit(f"meson introspect: {output}")
    return json.loads(output)


def run_meson_tests(build, tests, prefix="", env=None):
    """Runs them as meson does: from the build's folder unless they name another."""
    def one(test):
        return run_program(prefix + test["name"], test["cmd"], test["protocol"], max(test["timeout"], 1) * 4,
                           {**test["env"], **(env or {})}, test["workdir"] or build)

    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        for text in pool.map(one, [test for test in tests if test["is_parallel"]]):
            say(text)
    for test in tests:
        if not test["is_parallel"]:
            say(one(test))


# --- steps ---------------------------------------------------------------------------------------------------------


def step_setup():
    """packages and the build, warnings are errors (g++)"""
    if subprocess.run([ROOT / "scripts" / "setup", "--werror"], cwd=ROOT).returncode:
        results.add("build", "failed")
        raise SystemExit(finish("the build failed"))
    check("build with g++ -Werror", "")


def source_files(*endings):
    return sorted(str(path.relative_to(ROOT)) for folder in SOURCES for path in (ROOT / folder).rglob("*")
                  if path.name.endswith(endings))


def step_format():
    """clang-format agrees with every source file"""
    code, output = command("clang-format", "--dry-run", "-Werror", *source_files(".h", ".cc"))
    check("clang-format", output if code else "")


def step_layers():
    """who includes and links what"""
    wrong = []
    for name in source_files(".h", ".cc"):
        allowed = next((LAYERS[folder] for folder in LAYERS if name.startswith(folder + "/")), None)
        for include in re.findall(r'^#include "([^"]+)"', (ROOT / name).read_text(), re.M) if allowed else []:
            if not include.startswith(tuple(each if each.endswith(".h") else each + "/" for each in allowed)):
                wrong.append(f"{name} includes {include}, wanted only {', '.join(allowed)}")
    check("includes stay inside their layer", "\n".join(wrong))
    foreign = [f"{name} names {word}" for name in source_files(".h", ".cc")
               if name.startswith(("dataplane", "controlplane"))
               for word in re.findall(r"\brte_eth_\w+", (ROOT / name).read_text())]
    check("only drivers/ names rte_eth_*", "\n".join(foreign))
    for program in ("skyedge-controlplane", "skyctl"):
        code, output = command("ldd", ROOT / "build" / program)
        linked = [line.strip() for line in output.splitlines() if re.search(r"librte_|libIPSec", line, re.I)]
        check(f"{program} links no DPDK", output if code else "\n".join(linked))


def step_unit():
    """unit, packet, schema and model tests"""
    run_meson_tests(ROOT / "build", meson_tests(ROOT / "build"))


def sanitized_build(*targets):
    """Builds them in build-asan, with clang++, its sanitizers and the fuzzer's coverage; False when that fails."""
    build = ROOT / "build-asan"
    if not (build / "build.ninja").exists():
        code, output = command("meson", "setup", build, "-Dwerror=true", "-Db_sanitize=address,undefined",
                               "-Db_lundef=false", "-Doptimization=1", "-Ddebug=false", "-Dfuzzing=true",
                               "-Dcpp_args=-gline-tables-only", env={**os.environ, "CXX": "clang++-19"})
        if code:
            check("clang++ with sanitizers: meson setup", output)
            return False
    code, output = command("ninja", "-k", "0", "-C", build, *targets)
    check(f"build {targets[0]} with clang++ -Werror and sanitizers", output[-4000:] if code else "")
    return code == 0


def step_sanitizers():
    """clang++ builds every source file, warnings are errors; unit, sim, packet and fuzz tests with its sanitizers"""
    # The benchmarks are no part of a build that asks for nothing.
    if sanitized_build("all", "perf/loop", "perf/micro"):
        build = ROOT / "build-asan"
        run_meson_tests(build, meson_tests(build, ("unit", "sim", "packet", "fuzz")), "sanitized ",
                        {"UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1"})


def step_threads():
    """code that two threads share, with clang++'s thread sanitizer, and the same with faults planted in it"""
    build = ROOT / "build-tsan"
    if not (build / "build.ninja").exists():
        code, output = command("meson", "setup", build, "-Dwerror=true", "-Db_sanitize=thread", "-Db_lundef=false",
                               "-Doptimization=1", "-Ddebug=false", "-Dcpp_args=-gline-tables-only",
                               env={**os.environ, "CXX": "clang++-19"})
        if code:
            return check("clang++ with the thread sanitizer: meson setup", output)
    planted = build / "tests" / "threads" / "threads_planted"
    code, output = command("ninja", "-C", build, "tests/threads/threads_test", planted.relative_to(build))
    check("build with the thread sanitizer", output[-4000:] if code else "")
    if code:
        return
    options = {"TSAN_OPTIONS": "halt_on_error=1"}
    run_meson_tests(build, meson_tests(build, ("thread",)), "sanitized ", options)
    _, listed = command(planted, "--gtest_list_tests")
    suites = re.findall(r"^(\S+\.)\n((?:  .*\n?)+)", listed, re.M)
    check("faults are planted", "" if suites else listed)
    for case in [suite + case for suite, cases in suites for case in cases.split()]:
        for _ in range(3):  # whether two threads meet is chance, more so on a busy machine
            code, output = command(planted, f"--gtest_filter={case}", env={**os.environ, **options})
            found = code == 66 and "ThreadSanitizer: data race" in output
            if found:
                break
        check(f"planted: {case} is found out", "" if found else f"exit code {code}\n{output}")


def step_spin():
    """every state of a model of attach, batch, commit and death of either process"""
    say(run_program("spin", ["/usr/bin/python3", "tests/spin/check.py"], "tap", 300))


def step_fuzz():
    """each target of tests/fuzz/ for SKYEDGE_FUZZ_SECONDS (30)"""
    if sanitized_build("fuzz"):
        say(run_program("fuzz", ["/usr/bin/python3", str(ROOT / "tests" / "fuzz" / "run.py")], "tap", 4 * 3600))


def step_netns():
    """labs in network namespaces"""
    for script in sorted((ROOT / "tests" / "netns").glob("*.py")):
        say(run_live(f"netns/{script.stem}", ["/usr/bin/python3", str(script)], "tap", 180))


def step_soak():
    """every row of tests/soak/ at its CI size"""
    program = ["/usr/bin/python3", str(ROOT / "tests" / "soak" / "run.py")]
    _, listed = command(*program, "--list")
    rows = re.findall(r"^(\S+) ", listed, re.M)
    for row in rows:
        say(run_live(f"soak/{row}", [*program, "--ci", row], "soak", 120))
    if not rows:
        check("soak: its rows", listed)


STEPS = {name.removeprefix("step_"): step for name, step in list(globals().items()) if name.startswith("step_")}


def finish(note=""):
    """The summary; returns the exit code."""
    failed = [name for name, outcome in results.cases if outcome == "failed"]
    refused = results.skips_not_allowed()
    say()
    for title, names in (("failed", failed), ("skipped, not in tests/allowed_skips", refused)):
        for name in names:
            say(f"{title}: {name}")
    if note:
        say(note)
    say(f"{results.count('passed')} passed, {results.count('failed')} failed, {results.count('skipped')} skipped")
    return 1 if failed or refused or not results.cases else 0


def main():
    wanted = sys.argv[1:] or list(STEPS)
    if unknown := [name for name in wanted if name not in STEPS]:
        print(f"scripts/test: unknown {' '.join(unknown)}; steps are {' '.join(STEPS)}", file=sys.stderr)
        return 2
    times = {}
    for number, name in enumerate(wanted, 1):
        say(f"== {number}/{len(wanted)} {name}: {STEPS[name].__doc__}")
        start = time.monotonic()
        STEPS[name]()
        times[name] = time.monotonic() - start
    say("\n" + "  ".join(f"{name} {seconds:.0f} s" for name, seconds in times.items()))
    return finish()


if __name__ == "__main__":
    sys.exit(main())
