#!/usr/bin/python3
"""a1 and d1 send each other each packet twice, over disjoint paths: whatever is cut of one, nothing is lost."""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from cases import FOUR_DOMAINS, Case, expect, finish, lab_up  # noqa: E402
from lablib import wait_until  # noqa: E402
from traffic import UdpStream, reach  # noqa: E402

ENDS = {"a1": "d1", "d1": "a1"}


def copying(node):
    return {"circuits": {"copy": {"to": [ENDS[node]], "rate": 100_000}}} if node in ENDS else {}


def state(node):
    return next((group["copies"] for group in lab.show(node, "groups") or [] if group["node"] == ENDS[node]), "")


def whole():
    wait_until(lambda: [state(node) for node in ENDS] == ["twice"] * 2, 60, "copies both ways")


def expect_none_lost(laps):
    expect(not any(lap["lost"] or lap["duplicates"] for lap in laps), f"{laps}")


with lab_up(FOUR_DOMAINS, router=copying) as lab:
    addresses = {node: lab.addresses(node)["ipv6"] for node in ENDS}
    for node, far in ENDS.items():
        reach(lab, node, addresses[far])
    with Case("each packet goes over two circuits and is delivered once") as case:
        whole()
        before = lab.counters("a1")["copied"]
        flows = [UdpStream(lab, node, far, addresses[far], port=7001) for node, far in ENDS.items()]
        time.sleep(1)
        expect_none_lost([flow.lap() for flow in flows])
        copied = lab.counters("a1")["copied"] - before
        case.note(f"{copied} copies")
        expect(copied > 500, f"{copied} copies in a second of 1000 packets")
        expect(lab.drops("d1").get("copy_duplicate", 0) > 500, f"{lab.drops('d1')}")

    for link in lab.links:
        with Case(f"{link} is cut: 0 lost, 0 duplicated") as case:
            whole()
            for flow in flows:
                flow.lap()
            try:
                lab.cut(link)
                time.sleep(0.5)
                laps = [flow.lap() for flow in flows]
            finally:
                lab.mend(link)
            case.note(f"silence {laps[0]['silence_ms']} and {laps[1]['silence_ms']} ms")
            expect_none_lost(laps)

    for node in ENDS:
        with Case(f"{node}'s control plane is killed: the circuits that return are still a pair") as case:
            whole()
            circuits = {row["circuit"] for row in lab.live_circuits("a1", "d1")}
            for flow in flows:
                flow.lap()
            lab.kill(node, "control")
            time.sleep(1)
            wait_until(lambda: lab.healthy(node), 20, f"{node} is well")
            whole()
            expect_none_lost([flow.lap() for flow in flows])
            expect({row["circuit"] for row in lab.live_circuits("a1", "d1")} >= circuits, "they are other circuits")

    with Case("nothing of all that came twice") as case:
        ends = [flow.finish() for flow in flows]
        case.note(f"{sum(end['sent'] for end in ends)} datagrams")
        expect(not any(end["duplicates"] for end in ends), f"{ends}")

finish()
