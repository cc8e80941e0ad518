"""What DPDK's own testpmd takes for a macswap: its clocks a packet, as it counts them itself."""

import os
import re
import statistics
import subprocess
import tempfile
import time

WINDOWS = 41
WINDOW_S = 0.02  # short ones: what else this core does then is in few of them
FRAMES = 960  # that go round, in bursts of 64


def macswap(hugepages):
    """Clocks a packet, median of short windows; None where testpmd is missing (Debian's dpdk-dev) or does not run.

    One core, one port of two rings in memory (net_ring) whose frames go round: what is sent is what comes next."""
    cpus = sorted(os.sched_getaffinity(0))
    memory = ["--in-memory"] if hugepages else ["--no-huge"]
    words = ["dpdk-testpmd", f"--lcores=0@{cpus[0]},1@{cpus[-1]}", "--main-lcore=0", "-m", "64", *memory, "--no-pci",
             "--no-telemetry", "--vdev=net_ring0", "--", "-i", "--port-topology=loop", "--forward-mode=macswap",
             "--burst=64", "--nb-cores=1", "--total-num-mbufs=4096", "--record-core-cycles"]
    try:
        with tempfile.TemporaryDirectory() as folder, \
                subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                 env=os.environ | {"RUNTIME_DIRECTORY": folder}) as process:
            def say(*lines):
                process.stdin.write("\n".join(lines) + "\n")
                process.stdin.flush()

            try:
                say(f"start tx_first {FRAMES // 64}")
                time.sleep(1)  # it starts, and the clock settles
                for _ in range(WINDOWS):
                    say("clear fwd stats all")
                    time.sleep(WINDOW_S)
                    say("show fwd stats all")
                said, _ = process.communicate("stop\nquit\n", timeout=10)
            finally:
                process.kill()
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = [float(clocks) for clocks in re.findall(r"CPU cycles/packet=([\d.]+)", said)]
    return statistics.median(found) if len(found) > WINDOWS // 2 else None
