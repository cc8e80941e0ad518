#!/usr/bin/python3
"""A fault in what a fuzz target looks at, one after the other, in a copy of the tree: each must be found out.

    tests/fuzz/planted.py [TARGET...]      or all of them, half an hour

A target that finds nothing here would find nothing anywhere. Where a fault's place is gone the code was changed: plant
another. Sanitizers and fuzzer are as in `scripts/test fuzz`.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))
from cases import ROOT, Case, expect, finish  # noqa: E402
from run import ENVIRONMENT, LONGEST, OPTIONS  # noqa: E402

SECONDS = 120

# target: file, what stands there, what takes its place
FAULTS = {
    "api": ("controlplane/api/api.cc", "if (!request.admin)", "if (false)"),
    "attach_control": ("controlplane/install/counters.cc", "layout.bytes > page.bytes()", "false"),
    "attach_dataplane": ("dataplane/agent/agent.cc", "if (is_well_formed(packet))", "if (true)"),
    "core": ("controlplane/core/requests.cc", "finish(request);\n  return true;", "finish(request);\n  return false;"),
    "frame": ("dataplane/stages/classify.cc", "frame.data_len >= kShortest && ", ""),
    "handshake": ("controlplane/session/handshake.cc", "seen.run == theirs.run && theirs.attempt <= seen.attempt",
                  "seen.run == theirs.run && theirs.attempt < seen.attempt"),
    "inner": ("dataplane/stages/inner.h", "if (bytes.size() < 40) return false;", ""),
    "install": ("dataplane/agent/check.cc", "view_.has_link(LinkIndex{static_cast<uint16_t>(to.index)})", "true"),
    "open": ("dataplane/stages/egress.cc", "!source_fits(context, slot, from[i])",
             "!source_fits(context, slot, from[i]) && false"),
    "sequence": ("dataplane/stages/route.cc", "((class_ecn ^ head.treatment) & kTreatmentClass) != 0",
                 "false"),
    "signal": ("controlplane/signalling/messages.cc", "|| rest_.size() != size->get()", "|| rest_.size() < size->get()"),
    "yaml": ("dataplane/base/config_error.cc", "return escaped(line);", "return line;"),
}


def run(*words, **options):
    return subprocess.run([str(word) for word in words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace", **options)


def copy_of_the_tree(folder):
    archive = subprocess.run(["git", "-C", str(ROOT), "archive", "HEAD"], stdout=subprocess.PIPE, check=True).stdout
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive, check=True)
    text = (ROOT / "tests" / "run.py").read_text()
    compiler = re.search(r'"CXX": "([^"]+)"', text)
    done = run("meson", "setup", folder / "build", "-Db_sanitize=address,undefined", "-Db_lundef=false",
               "-Doptimization=1", "-Ddebug=false", "-Dcpp_args=-gline-tables-only", "-Dfuzzing=true", cwd=folder,
               env={**os.environ, "CXX": os.environ.get("CXX") or compiler[1]})
    if done.returncode:
        raise SystemExit(done.stdout)


def find_out(folder, target):
    name, there, instead = FAULTS[target]
    source = folder / name
    text = source.read_text()
    with Case(f"{target}: {name} without `{there}`") as case:
        expect(text.count(there) >= 1, f"it is not there any more: plant another fault in {name}")
        source.write_text(text.replace(there, instead, 1))
        built = run("ninja", "-C", folder / "build", f"tests/fuzz/fuzz_{target}")
        expect(built.returncode == 0, built.stdout[-3000:])
        dictionary = HERE / f"{target}.dict"
        words = [f"-dict={dictionary}"] if dictionary.exists() else []
        fuzzed = run(folder / "build" / "tests" / "fuzz" / f"fuzz_{target}", *OPTIONS, *words,
                     f"-max_len={LONGEST.get(target, 4096)}", f"-max_total_time={SECONDS}",
                     f"-artifact_prefix={folder}/", folder / "tests" / "fuzz" / "corpus" / target,
                     env=ENVIRONMENT, stdin=subprocess.DEVNULL)
        executed = re.findall(r"^stat::number_of_executed_units: (\d+)", fuzzed.stdout, re.M)
        said = re.findall(r"ERROR: [^\n]+|Failure\n[^\n]+|runtime error: [^\n]+", fuzzed.stdout)
        case.note(f"after {executed[0] if executed else '?'} executions")
        if said:
            case.note(" ".join(said[0].split())[:120])
        expect(fuzzed.returncode != 0, "not found")
    source.write_text(text)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        tree = Path(scratch) / "tree"
        tree.mkdir()
        copy_of_the_tree(tree)
        for wanted in sys.argv[1:] or sorted(FAULTS):
            find_out(tree, wanted)
    finish()
