#!/usr/bin/python3
"""Ten idle routers in a row: at most 30 % of one core in sum; what a hop adds when workers sleep."""

import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from cases import ROOT, Case, expect, finish, lab_up  # noqa: E402
from traffic import ping, reach  # noqa: E402

MOST_CPU = 0.30
SECONDS = 10


def cpu_seconds():
    """CPU time so far of both processes of every node."""
    ticks = 0
    for node in lab.nodes:
        for role in ("data", "control"):
            fields = Path(f"/proc/{lab.pid(node, role)}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


with lab_up(ROOT / "tests" / "netns" / "ten-routers.yaml") as lab:
    with Case(f"ten idle routers use at most {MOST_CPU:.0%} of one core") as case:
        time.sleep(2)
        before, start = cpu_seconds(), time.monotonic()
        time.sleep(SECONDS)
        share = (cpu_seconds() - before) / (time.monotonic() - start)
        case.note(f"{share:.0%}")
        expect(share <= MOST_CPU, f"{share:.0%} of a core")

    with Case("delay that a hop adds while workers sleep between packets") as case:
        delays = {}
        for hops in (1, 9):
            address = lab.addresses(f"r{hops}")["ipv6"]
            reach(lab, "r0", address)
            result = ping(lab, "r0", address, count=50, interval=0.05)
            expect(result["lost"] == 0, f"{hops} hops: {result}")
            delays[hops] = result["rtt_ms"]
        case.note(f"{(delays[9] - delays[1]) / 8 / 2 * 1000:.0f} us a hop and direction; "
                  f"round trip {delays[1]} ms over 1 hop, {delays[9]} ms over 9")

finish()
