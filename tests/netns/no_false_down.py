#!/usr/bin/python3
"""A saturated network keeps its links: iperf3 in both directions, and no link goes down.

SKYEDGE_SATURATE_S: for how many seconds (default 15; 60 is the full size).
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from cases import FOUR_DOMAINS, Case, expect, finish, lab_up  # noqa: E402
from traffic import Iperf, reach  # noqa: E402

SECONDS = int(os.environ.get("SKYEDGE_SATURATE_S", "15"))

with lab_up(FOUR_DOMAINS) as lab:
    reach(lab, "a1", lab.addresses("d1")["ipv6"])
    with Case(f"no link goes down in {SECONDS} s of saturating iperf3") as case:
        before = lab.flaps()
        flows = [Iperf(lab, source, target, lab.addresses(target)["ipv6"], SECONDS, port, "-P", "4")
                 for source, target, port in (("a1", "d1", 5201), ("d1", "a1", 5202))]
        case.note(" and ".join(f"{flow.finish()['gbit_s']} Gbit/s" for flow in flows))
        expect(lab.flaps() == before, f"links went down: {lab.flaps()}, before: {before}")

finish()
