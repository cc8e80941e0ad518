#!/usr/bin/python3
"""What a fault in the programs could be used for is made small by the compiler, the linker and the service manager.

    hardening_test.py BUILD         the build's folder, with programs, compile_commands.json and conf/systemd/

Prints what systemd-analyze makes of the units, and fails where that is above what they had when they were written.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

BUILD = Path(sys.argv[1]).resolve()
PROGRAMS = ("skyedge-dataplane", "skyedge-controlplane", "skyctl")
COMPILED_WITH = ("-fstack-protector-strong", "-fstack-clash-protection", "-fcf-protection=full",
                 "-D_FORTIFY_SOURCE=3")
MOST_EXPOSED = {"skyedge-dataplane.service": 2.0, "skyedge-controlplane.service": 1.2}

failures = []


def expect(holds, text):
    if not holds:
        failures.append(text)


def output_of(*words):
    done = subprocess.run([str(word) for word in words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.returncode, done.stdout


def look_at_compiler():
    """Every file that is part of a program was compiled with all of it."""
    sources = json.loads((BUILD / "compile_commands.json").read_text())
    ours = [each for each in sources if re.search(r"(^|/)(dataplane|controlplane|drivers)/", each["file"])]
    expect(len(ours) > 50, f"compile_commands.json: found {len(ours)} sources of programs")
    for each in ours:
        words = each["command"].split()
        missing = [flag for flag in COMPILED_WITH if flag not in words]
        expect(not missing, f"{each['file']}: compiled without {' '.join(missing)}")


def look_at_program(name):
    path = BUILD / name
    _, dynamic = output_of("readelf", "--wide", "--dynamic", path)
    _, segments = output_of("readelf", "--wide", "--segments", path)
    _, symbols = output_of("readelf", "--wide", "--dyn-syms", path)
    expect(re.search(r"FLAGS_1.*\bNOW\b.*\bPIE\b", dynamic), f"{name}: not position independent, or bound lazily")
    expect("GNU_RELRO" in segments, f"{name}: what relocation wrote stays writable")
    stack = re.search(r"GNU_STACK.*? ([RWE ]{3}) 0x", segments)
    expect(stack and "E" not in stack[1], f"{name}: executable stack")
    both = [line for line in segments.splitlines() if re.search(r"^\s+LOAD .* RWE ", line)]
    expect(not both, f"{name}: a segment is writable and executable")
    expect("__stack_chk_fail" in symbols, f"{name}: no stack protector")
    expect(re.search(r"__(mem|str|v?sn?printf|read|recv|poll|fdelt)\w*_chk\b", symbols), f"{name}: nothing is fortified")
    expect(not re.search(r"\((RPATH|RUNPATH)\)", dynamic), f"{name}: looks for libraries in folders of its own")


def look_at_unit(folder, name, most):
    path = folder / name
    path.write_text(re.sub(r"(?m)^ExecStart=\S*/", f"ExecStart={BUILD}/", (BUILD / "conf/systemd" / name).read_text()))
    code, text = output_of("systemd-analyze", "verify", "--man=no", path)
    expect(code == 0 and not text.strip(), f"{name}: {text}")
    _, text = output_of("systemd-analyze", "security", "--offline=true", "--no-pager", path)
    exposure = re.search(r"Overall exposure level for \S+: ([\d.]+)", text)
    print(f"figure: systemd-analyze security: {name} {exposure[1] if exposure else text}, at most {most}")
    expect(exposure and float(exposure[1]) <= most, f"{name}: exposed more than {most}\n{text}")


def main():
    look_at_compiler()
    for name in PROGRAMS:
        look_at_program(name)
    with tempfile.TemporaryDirectory() as folder:
        for name in MOST_EXPOSED:  # one names the other
            (Path(folder) / name).touch()
        for name, most in MOST_EXPOSED.items():
            look_at_unit(Path(folder), name, most)
    print("\n".join(failures) or "all as wanted")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
