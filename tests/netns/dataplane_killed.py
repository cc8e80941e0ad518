#!/usr/bin/python3
"""A dataplane dies: traffic moves to the other path, and the node comes back with new keys."""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from cases import FOUR_DOMAINS, Case, expect, finish, lab_up  # noqa: E402
from lablib import wait_until  # noqa: E402
from traffic import UdpStream, ping, reach  # noqa: E402

MOST_SILENCE_MS = 120

with lab_up(FOUR_DOMAINS) as lab:
    there = lab.addresses("d1")["ipv6"]

    def whole(seconds=20):
        wait_until(lambda: lab.live_circuits("a1", "d1", 2), seconds, "two live circuits from a1 to d1")

    reach(lab, "a1", there)
    whole()
    stream = UdpStream(lab, "a1", "d1", there)
    time.sleep(0.3)
    # The stream keeps to the path that it moves to: what is killed next lies on that one.
    for node, first in (("g1", "a1-g1"), ("b2", "a1-b1"), ("g1", "a1-g1")):
        with Case(f"dataplane of {node} killed under traffic over it") as case:
            before = lab.busy_path("a1", "d1")
            expect(first in before, f"the stream runs over {before}")
            keys, routes = lab.link_keys(node), lab.route_ids()
            stream.lap()
            start = time.monotonic()
            lab.kill(node, "data")
            time.sleep(0.15)
            after = lab.busy_path("a1", "d1", 0.1)
            lab.wait_links(20)
            whole()
            case.note(f"whole after {time.monotonic() - start:.1f} s")
            result = stream.lap()
            case.note(f"silence {result['silence_ms']} ms")
            expect(first not in after, f"the traffic still runs over {after}")
            expect(result["lost"] and result["silence_ms"] <= MOST_SILENCE_MS, f"{result}")
            expect(not result["duplicates"], f"{result}")
            expect(not keys & lab.link_keys(node), "an old key is in use again")
            expect(lab.route_ids() == routes, f"other circuits or route IDs: {routes}, now {lab.route_ids()}")
    stream.finish()

    with Case("dataplane of the far end killed: it is reached again") as case:
        start = time.monotonic()
        lab.kill("d1", "data")
        lab.wait_links(20)
        reach(lab, "a1", there, seconds=20)
        whole()
        case.note(f"after {time.monotonic() - start:.1f} s")
        result = ping(lab, "a1", there, count=20, interval=0.05)
        expect(result["lost"] == 0, f"{result}")

finish()
