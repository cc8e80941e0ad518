#!/usr/bin/python3
"""Traffic does not notice that control planes die, return, or stay away while keys step on."""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from cases import FOUR_DOMAINS, Case, expect, finish, lab_up  # noqa: E402
from lablib import wait_until  # noqa: E402
from traffic import Ping, UdpStream, reach  # noqa: E402

KILLS = 20
EPOCHS, EPOCH_S = 20, 2


def setups(node):
    """SETUPs that the node's control plane has sent since it started."""
    return lab.counters(node)["setups_sent"]


def back(node, old):
    return lab.pid(node, "control") not in (0, old) and lab.healthy(node)


def lossless(case, flows):
    """Ends the flows and expects that every datagram arrived once."""
    results = [flow.finish() for flow in flows]
    case.note(f"{sum(result['sent'] for result in results)} datagrams")
    expect(not any(result["lost"] or result["duplicates"] for result in results), f"{results}")


with lab_up(FOUR_DOMAINS, {"rekey": {"time": f"{EPOCH_S}s"}}) as lab:
    here, there = lab.addresses("a1")["ipv6"], lab.addresses("d1")["ipv6"]
    reach(lab, "a1", there)
    wait_until(lambda: lab.live_circuits("a1", "d1", 2), 15, "two live circuits")

    with Case(f"control planes killed {KILLS} times under ping -i 0.01: 0 lost, nothing signalled again") as case:
        circuits = {row["circuit"] for row in lab.live_circuits("a1", "d1", 2)}
        flow = Ping(lab, "a1", there, interval=0.01, count=100_000)
        streams = [UdpStream(lab, "a1", "d1", there), UdpStream(lab, "d1", "a1", here)]
        slowest, again, seen = 0, 0, {node: setups(node) for node in lab.nodes}
        for number in range(KILLS):
            node = ("g1", "b1", "b2", "a1", "d1")[number % 5]
            again, seen[node] = again + setups(node) - seen[node], 0
            old, start = lab.kill(node, "control"), time.monotonic()
            wait_until(lambda: back(node, old), 15, f"control plane of {node} is back")
            slowest = max(slowest, time.monotonic() - start)
        pinged = flow.finish()
        case.note(f"{pinged['sent']} pings, {pinged['lost']} lost, slowest return {slowest:.1f} s")
        # The one on its way when ping is ended counts as lost: the streams say exactly what was.
        expect(pinged["lost"] <= 1, f"{pinged}")
        lossless(case, streams)
        same = wait_until(lambda: lab.live_circuits("a1", "d1", 2), 5, "two live circuits")
        expect({row["circuit"] for row in same} == circuits, "the circuits are others")
        again += sum(setups(node) - seen[node] for node in lab.nodes)
        expect(again == 0, f"{again} SETUPs were sent")

    with Case(f"all control planes stopped for {EPOCHS} epochs of {EPOCH_S} s under traffic: 0 lost") as case:
        reach(lab, "a1", lab.addresses("b1")["ipv6"])
        before = {link: lab.epochs("g1")[link] for link in ("a1-g1", "g1-d1")}
        both = [UdpStream(lab, "a1", "d1", there), UdpStream(lab, "d1", "a1", here)]
        one_way = UdpStream(lab, "a1", "b1", lab.addresses("b1")["ipv6"], port=7002)
        for node in lab.nodes:
            lab.stop(node, "control")
        time.sleep(EPOCHS * EPOCH_S + 2)
        lossless(case, [*both, one_way])
        for node in lab.nodes:
            lab.start(node, "control")
        lab.wait_links()
        stepped = {link: (lab.epochs("g1")[link] - epoch) % 256 for link, epoch in before.items()}
        case.note(f"epochs stepped: {stepped}")
        expect(min(stepped.values()) >= EPOCHS - 1, f"the keys did not step on: {stepped}")

finish()
