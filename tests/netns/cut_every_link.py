#!/usr/bin/python3
"""Each link of each path between a1 and d1 is cut under traffic in both directions: how long is it silent?"""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from cases import FOUR_DOMAINS, Case, expect, finish, lab_up  # noqa: E402
from lablib import wait_until  # noqa: E402
from traffic import UdpStream, port_on_path, reach  # noqa: E402

MOST_SILENCE_MS = 120  # liveness at 20 ms x 3 in the lab
PATHS = (["a1-g1", "g1-d1"], ["a1-b1", "b1-b2", "b2-d1"])


def cut_under_traffic(case, path, link, sender=None):
    """Traffic of both directions runs over `path`; then `link` of it is cut."""
    flows = [UdpStream(lab, "a1", "d1", there, ports[0][tuple(path)]),
             UdpStream(lab, "d1", "a1", here, ports[1][tuple(path)])]
    try:
        time.sleep(0.3)
        lab.cut(link, sender)
        time.sleep(1)
        after = lab.busy_path("a1", "d1")
    finally:
        lab.mend(link)
        results = [flow.finish() for flow in flows]
    silences = [result["silence_ms"] for result in results]
    case.note(f"silence {silences[0]} and {silences[1]} ms")
    expect(link not in after, f"the traffic still runs over {after}")
    expect(any(result["lost"] for result in results), "nothing was lost: the link carried no traffic")
    expect(max(silences) <= MOST_SILENCE_MS, f"silent for {max(silences)} ms, wanted at most {MOST_SILENCE_MS}")
    expect(not any(result["duplicates"] for result in results), f"duplicates: {results}")


with lab_up(FOUR_DOMAINS) as lab:
    here, there = lab.addresses("a1")["ipv6"], lab.addresses("d1")["ipv6"]
    reach(lab, "a1", there)

    def whole():
        wait_until(lambda: lab.live_circuits("a1", "d1", 2) and lab.live_circuits("d1", "a1", 2), 15,
                   "two live circuits each way")

    whole()
    ports = [{tuple(path): port_on_path(lab, *ends, (lambda found, want=want: found == want)) for path, want in pairs}
             for ends, pairs in ((("a1", "d1", there), [(path, path) for path in PATHS]),
                                 (("d1", "a1", here), [(path, path[::-1]) for path in PATHS]))]
    for path in PATHS:
        for link in path:
            with Case(f"{link} cut") as case:
                whole()
                cut_under_traffic(case, path, link)
            for sender, _ in lab.ends(link):
                with Case(f"{link} cut one way, from {sender}") as case:
                    whole()
                    cut_under_traffic(case, path, link, sender)

finish()
