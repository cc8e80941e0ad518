"""perf/run ndr: the rate that a router takes on real ports without a loss (NDR), and with one of 0.5 percent (PDR).

    perf/run ndr --port DEV --port DEV --generator DEV --generator DEV
                                      devices as in router.yaml: a PCI address, or net_af_xdp0,iface=eth1 ...;
                                      each generator's is wired to the port of the same place
    perf/run ndr --veth xdp           the same over two veth pairs in a namespace of its own; or --veth packet
    ... --frame frame-1420            protection and bytes of the packets; header-64 where nothing else is said
    ... --quick                       trials of 0.5 s, the last one of 2 s; without it 1 s and 10 s (--trial, --final)
    ... --json FILE --report FILE.html  as of the other cases
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import files

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))
from lablib import run  # noqa: E402
from lablib.wires import up  # noqa: E402

MTU = 1500
MEMORY = 640 << 20  # what DPDK takes, the buffers of four ports among it


@contextmanager
def cables(sort):
    """(namespace, ports, generators): two veth pairs whose ends all lie in one namespace."""
    space = f"sky.ndr{os.getpid()}"
    try:
        run("ip", "netns", "add", space)
        for name in ("a", "b"):
            run("ip", "-n", space, "link", "add", f"{name}0", "type", "veth", "peer", "name", f"{name}1")
            for end in "01":
                up(space, f"{name}{end}", MTU)
        ends = [f"net_af_{sort}{number},iface={end}" for number, end in enumerate(("a0", "b0", "a1", "b1"))]
        yield space, ends[:2], ends[2:]
    finally:
        run("ip", "netns", "del", space, check=False)


def main(words, build, hugepages):
    """`build` makes the program and returns it; `hugepages`: a context that says whether there are any."""
    parser = argparse.ArgumentParser(prog="perf/run ndr", usage=__doc__)
    parser.add_argument("--port", action="append", default=[])
    parser.add_argument("--generator", action="append", default=[])
    parser.add_argument("--veth", choices=("xdp", "packet"))
    parser.add_argument("--frame", default="header-64")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--trial", type=float, help="seconds")
    parser.add_argument("--final", type=float, help="seconds")
    parser.add_argument("--width", type=float, default=0.01, help="of the interval that ends the search")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--report", type=Path, metavar="FILE.html")
    options = parser.parse_args(words)
    if (len(options.port), len(options.generator)) != ((0, 0) if options.veth else (2, 2)):
        sys.exit("perf/run ndr: wanted --port and --generator twice each, or --veth alone")
    if len(cpus := sorted(os.sched_getaffinity(0))) < 2:
        sys.exit("perf/run ndr: found one CPU, wanted one for the generator and one for the worker")
    files.expect_writable(options.json, options.report)
    program = build()
    trial, final = (0.5, 2) if options.quick else (1, 10)
    with tempfile.TemporaryDirectory() as folder, hugepages as huge:
        out = (options.json or Path(folder) / "ndr.json").absolute()
        words = [program, "--frame", options.frame, "--json", out, "--mtu", MTU, "--cpu", cpus[0], cpus[-1],
                 "--trial", options.trial or trial, "--final", options.final or final, "--width", options.width,
                 *(["--hugepages"] if huge else [])]

        def measure(ports, generators, *before):
            ends = [*("--port", *ports), *("--generator", *generators)]
            return subprocess.run([str(word) for word in (*before, *words, *ends)], cwd=ROOT).returncode

        if options.veth:
            with cables(options.veth) as (space, ports, generators):
                code = measure(ports, generators, "ip", "netns", "exec", space)
        else:
            code = measure(options.port, options.generator)
        if code == 0 and options.json is None:
            print(out.read_text(), end="")
        if code == 0 and options.report:
            import report  # matplotlib takes a second to load
            report.write(options.report, json.loads(out.read_text()))
        return code
