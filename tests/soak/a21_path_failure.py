"""A21: a path is cut under load. Mode copy: each packet is sent over two circuits and delivered once. Else: one of two
parallel links is cut, again and again, and the other one takes over."""

import os
import time
from pathlib import Path

from lablib import Lab, wait_until
from traffic import UdpStream, reach

TITLE = "a path cut under load: in mode copy nothing lost or twice; else lost for as long as the cut takes to be found"
CI, FULL = "3 x 10^5 packets, 4 ms apart; 4 cuts", "10^7 packets at 15 million a second, 20 ms apart; 100 cuts"

NETWORK = Path(__file__).resolve().parents[1] / "netns" / "parallel-links.yaml"
RATE = 1000  # datagrams a second and direction
DETECTION_MS = 3 * 20  # the lab's liveness
SLACK_MS = 2, 10  # the two ends are not cut at one instant, and a busy machine is late
MOST_UP_S = 70  # a link that fails often is held down for up to a minute


def cuts_in_one_lab(row, count):
    """What each cost. Few in one lab: a link that fails again and again is held down longer each time. There is one
    circuit, so nothing but its alternates can take over."""
    with Lab.up(NETWORK, router={"circuits": {"paths": 1}}, build=os.environ.get("SKYEDGE_BUILD")) as lab:
        here, there = lab.addresses("a1")["ipv6"], lab.addresses("d1")["ipv6"]
        reach(lab, "a1", there)
        circuit = wait_until(lambda: lab.live_circuits("a1", "d1"), 15, "a circuit")[0]["circuit"]
        flows = [UdpStream(lab, "a1", "d1", there), UdpStream(lab, "d1", "a1", here)]
        time.sleep(0.3)
        lost = []
        for cut in range(count):
            link = lab.busy_path("a1", "d1", 0.1)[cut % 2]
            for flow in flows:
                flow.lap()
            lab.cut(link)
            time.sleep(0.3)
            lost.append(max(flow.lap()["lost"] for flow in flows))
            row.expect(link not in lab.busy_path("a1", "d1", 0.1), f"{link} is cut and still sent on")
            lab.mend(link)
            wait_until(lambda: lab.links_up() == (8, 8), MOST_UP_S, f"{link} is up", every=0.05)
        last = [flow.finish() for flow in flows]
        row.expect(circuit in [each["circuit"] for each in lab.live_circuits("a1", "d1")], "it is another circuit")
        row.expect(not any(each["duplicates"] for each in last), f"{last}")
        return lost


def run(row):
    row.gtest("tests/soak/process_faults_test", "CopiedStream.*:Neighbours.*")
    lost = [each for _ in range(row.size(1, 25)) for each in cuts_in_one_lab(row, 4)]
    row.figure(f"{len(lost)} cuts of one of two parallel links: at most {max(lost)} datagrams lost at {RATE}/s")
    most = (DETECTION_MS + row.size(*reversed(SLACK_MS))) * RATE // 1000
    row.expect(max(lost) <= most, f"lost {lost}, wanted at most {most}")
