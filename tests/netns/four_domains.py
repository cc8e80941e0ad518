#!/usr/bin/python3
"""Four domains: circuits over two disjoint paths, every sort of address, and what skyctl says of it."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from cases import FOUR_DOMAINS, Case, expect, finish, lab_up  # noqa: E402
from lablib import wait_until  # noqa: E402
from traffic import UdpStream, ping, reach  # noqa: E402

with lab_up(FOUR_DOMAINS) as lab:
    address = lab.addresses("d1")
    for sort in ("skywire", "ipv6", "ipv4"):
        with Case(f"a1 pings d1 by {sort} address") as case:
            reach(lab, "a1", address[sort])
            result = ping(lab, "a1", address[sort], count=20, interval=0.05)
            case.note(f"{result['rtt_ms']} ms")
            expect(result["lost"] == 0, f"{result}")

    with Case("every node reaches every other"):
        for source in lab.nodes:
            for target in lab.nodes:
                if source != target:
                    reach(lab, source, lab.addresses(target)["ipv6"], seconds=10)

    with Case("two circuits, no link and no transit node in common"):
        one, two = wait_until(lambda: lab.live_circuits("a1", "d1", 2), 10, "two live circuits from a1 to d1")
        expect(not set(one["links"]) & set(two["links"]), f"links in common: {one} {two}")
        expect(not set(one["nodes"][1:-1]) & set(two["nodes"][1:-1]), f"nodes in common: {one} {two}")

    with Case("10,000 datagrams arrive once and in order") as case:
        stream = UdpStream(lab, "a1", "d1", address["ipv6"], seconds=10)
        stream.sender.wait(20)
        result = stream.finish()
        case.note(f"delay {result['delay_us']['median']} us median, {result['delay_us']['p99']} us p99")
        expect(result["lost"] == result["duplicates"] == result["reordered"] == 0, f"{result}")

    with Case("skyctl health is 0 on every node"):
        for node in lab.nodes:
            expect(lab.healthy(node), lab.skyctl(node, "health", check=False).stdout)

    with Case("skyctl ping and trace reach d1 over both circuits"):
        expect(lab.skyctl("a1", "ping", "d1", check=False).returncode == 0, "skyctl ping d1 failed")
        trace = lab.skyctl("a1", "trace", "d1").stdout
        expect("g1" in trace and "b1" in trace and "b2" in trace, f"a hop is missing:\n{trace}")

    with Case("skyctl ping of no such node is an error, exit code 2"):
        expect(lab.skyctl("a1", "ping", "z9", check=False).returncode == 2, "wanted exit code 2")

    with Case("skyctl draws the network that the router knows"):
        drawn = lab.skyctl("a1", "topology", "-o", "dot").stdout
        expect(all(f'"{node}"' in drawn for node in lab.nodes) and drawn.count(" -- ") == len(lab.links), drawn)

    with Case("skyctl shows every table as text and as JSON"):
        for what in ("links", "paths", "circuits", "groups", "sessions", "ports", "workers", "stages", "counters", "drops",
                     "destinations"):
            expect(lab.skyctl("a1", "show", what).stdout.strip(), f"show {what} is empty")
            json.loads(lab.skyctl("a1", "show", what, "-o", "json").stdout)

finish()
