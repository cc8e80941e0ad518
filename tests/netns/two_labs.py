#!/usr/bin/python3
"""Two labs of one topology stand beside each other, and one that goes leaves the other alone."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from cases import ROOT, Case, expect, finish, lab_up  # noqa: E402
from lablib import labs, run  # noqa: E402
from traffic import UdpStream, ping, reach  # noqa: E402

TOPOLOGY = ROOT / "tests" / "netns" / "two-nodes.yaml"

with lab_up(TOPOLOGY) as one:
    there = one.addresses("b1")["ipv6"]
    reach(one, "a1", there)
    stream = UdpStream(one, "a1", "b1", there)
    with lab_up(TOPOLOGY) as two:
        with Case("both carry traffic at once"):
            reach(two, "a1", there)
            for lab in (one, two):
                result = ping(lab, "a1", there, count=20, interval=0.02)
                expect(result["lost"] == 0, f"{lab.name}: {result}")
        with Case("a cable cut in one is whole in the other"):
            two.cut("a1-b1")
            expect(ping(two, "a1", there, count=3, interval=0.2)["received"] == 0, "the cut link still carries")
            expect(ping(one, "a1", there, count=20, interval=0.02)["lost"] == 0, "the other lab lost packets")
    with Case("the first lost nothing while the second came, ran and went") as case:
        result = stream.finish()
        case.note(f"{result['sent']} datagrams")
        expect(result["lost"] == 0, f"{result}")

with Case("nothing is left of either"):
    left = [name for name in labs() if name in (one.name, two.name)]
    mine = (f"sky.{one.name}.", f"sky.{two.name}.")
    left += [space for space in run("ip", "netns", "list").stdout.split() if space.startswith(mine)]
    expect(not left, f"left behind: {left}")

finish()
