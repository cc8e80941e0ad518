#!/usr/bin/python3
"""Each link of each path between a1 and d1 is cut under traffic in both directions: how long is it silent?

The streams run through all cases and keep to a path until it fails, so each cut sends them to the other path, where
the next link is cut.
"""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from cases import FOUR_DOMAINS, Case, expect, finish, lab_up  # noqa: E402
from lablib import wait_until  # noqa: E402
from traffic import UdpStream, reach  # noqa: E402

MOST_SILENCE_MS = 120  # liveness at 20 ms x 3 in the lab


def whole():
    wait_until(lambda: lab.live_circuits("a1", "d1", 2) and lab.live_circuits("d1", "a1", 2), 15,
               "two live circuits each way")


def cut_under_traffic(case, link, sender=None):
    """Cuts `link`, which carries the streams, until they have moved."""
    whole()
    for flow in flows:
        flow.lap()
    before = lab.busy_path("a1", "d1")
    expect(link in before, f"the streams run over {before}")
    try:
        lab.cut(link, sender)
        time.sleep(0.4)
        after = lab.busy_path("a1", "d1")
        laps = [flow.lap() for flow in flows]
    finally:
        lab.mend(link)
    silences = [lap["silence_ms"] for lap in laps]
    worst.append(max(silences))
    case.note(f"silence {silences[0]} and {silences[1]} ms")
    expect(link not in after, f"the traffic still runs over {after}")
    expect(any(lap["lost"] for lap in laps), "nothing was lost: the link carried no traffic")
    expect(max(silences) <= MOST_SILENCE_MS, f"silent for {max(silences)} ms, wanted at most {MOST_SILENCE_MS}")
    expect(not any(lap["duplicates"] for lap in laps), f"duplicates: {laps}")


def cuts():
    """(link, sender or None for both) of every cut, from path to path in turn."""
    short, long = ([(link, sender) for link in path for sender in (None, *(end for end, _ in lab.ends(link)))]
                   for path in (["a1-g1", "g1-d1"], ["a1-b1", "b1-b2", "b2-d1"]))
    for number, cut in enumerate(long):
        yield short[number % len(short)]
        yield cut


worst = []
with lab_up(FOUR_DOMAINS) as lab:
    here, there = lab.addresses("a1")["ipv6"], lab.addresses("d1")["ipv6"]
    reach(lab, "a1", there)
    whole()
    flows = [UdpStream(lab, "a1", "d1", there), UdpStream(lab, "d1", "a1", here)]
    time.sleep(0.3)
    for link, sender in cuts():
        with Case(f"{link} cut" + (f" one way, from {sender}" if sender else "")) as case:
            cut_under_traffic(case, link, sender)
    for flow in flows:
        flow.finish()
    print(f"# longest silence of {len(worst)} cuts: {max(worst)} ms")

finish()
