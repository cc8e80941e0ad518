#!/usr/bin/python3
"""iperf3 TCP from a1 to d1 over the lab's transit hops, beside kernel IPv6 forwarding over the same veth chain."""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from cases import FOUR_DOMAINS, Case, expect, finish, lab_up  # noqa: E402
from traffic import Iperf, reach  # noqa: E402

SECONDS = 5


def kernel_forwards(lab, path):
    """Turns the lab's dataplanes off and routes IPv6 through the same devices; returns the target's address."""
    for node in lab.nodes:
        for role in ("control", "data"):
            lab.stop(node, role)
    for node in lab.nodes:
        lab.run(node, "sysctl", "-qw", "net.ipv6.conf.all.forwarding=1")
    node, address = "a1", None
    for number, link in enumerate(path):
        ends = lab.ends(link)
        (near, device), (far, far_device) = ends if ends[0][0] == node else ends[::-1]
        for end, dev, host in ((near, device, 1), (far, far_device, 2)):
            lab.run(end, "sysctl", "-qw", f"net.ipv6.conf.{dev}.disable_ipv6=0")
            lab.run(end, "ip", "addr", "add", f"fd77:{number}::{host}/64", "dev", dev, "nodad")
        node, address = far, f"fd77:{number}::2"
    node = "a1"
    for number, link in enumerate(path):
        near, far = (end for end, _ in (lab.ends(link) if lab.ends(link)[0][0] == node else lab.ends(link)[::-1]))
        for other in range(len(path)):
            if other > number:
                lab.run(near, "ip", "route", "replace", f"fd77:{other}::/64", "via", f"fd77:{number}::2")
            if other < number:
                lab.run(far, "ip", "route", "replace", f"fd77:{other}::/64", "via", f"fd77:{number}::1")
        node = far
    return address


with lab_up(FOUR_DOMAINS) as lab:
    there = lab.addresses("d1")["ipv6"]
    with Case("iperf3 TCP a1 to d1 through Skyedge, and through the kernel over the same cables") as case:
        reach(lab, "a1", there)
        flow = Iperf(lab, "a1", "d1", there, SECONDS)
        time.sleep(1)
        path = lab.busy_path("a1", "d1")
        skyedge = flow.finish()
        address = kernel_forwards(lab, path)
        reach(lab, "a1", address)
        kernel = Iperf(lab, "a1", "d1", address, SECONDS).finish()
        # The kernel hands 64 kB pieces from device to device, which no cable does: once more with frames of 1500 bytes.
        for link in path:
            for node, device in lab.ends(link):
                lab.run(node, "ip", "link", "set", "dev", device, "gso_max_segs", 1)
        frames = Iperf(lab, "a1", "d1", address, SECONDS).finish()
        case.note(f"over {len(path)} links: Skyedge {skyedge['gbit_s']} Gbit/s, "
                  f"kernel {frames['gbit_s']} in frames of 1500 bytes, {kernel['gbit_s']} in pieces of 64 kB")
        expect(skyedge["gbit_s"] > 0.1, f"{skyedge}")

finish()
