"""A10: processes and threads that stand still, at either end of every ring."""

import time

from soak_lab import stopped, stream_to_b1, timed, two_nodes, wait_until

TITLE = "frozen reader or writer: the other side neither waits nor grows, and both agree when it goes on"
CI, FULL = "2 x 10^5 updates, 1.5 s frozen", "10^6 updates, 60 s frozen"
MOST_ANSWER_S, MOST_AGREE_S = 1.0, 2.0  # an answer of the API: skyctl's start and a busy machine included


def run(row):
    row.gtest("tests/soak/process_faults_test", "FrozenPeer.*")
    seconds = row.size(1.5, 60)
    with two_nodes() as lab:
        routes = lab.route_ids()
        stream = stream_to_b1(lab)
        with stopped(lab, "b1", "control"):
            time.sleep(seconds)
        result = stream.finish()
        row.figure(f"control plane frozen {seconds} s: {result['lost']} of {result['sent']} lost")
        row.expect(result["lost"] == result["duplicates"] == 0, f"{result}")

        with stopped(lab, "b1", "data"):
            slowest, end = 0, time.monotonic() + seconds
            while time.monotonic() < end:
                took, links = timed(lambda: lab.show("b1", "links"))
                row.expect(links is not None, "the control plane does not answer while its dataplane is frozen")
                slowest = max(slowest, took)
                time.sleep(0.05)
        row.figure(f"dataplane frozen {seconds} s: slowest answer of its control plane {slowest * 1e3:.0f} ms")
        took, _ = timed(lambda: wait_until(lambda: lab.links_up()[0] == 2 and lab.live_circuits("a1", "b1"), 20,
                                           "the link is up and the circuit live"))
        row.figure(f"all live again after {took:.2f} s")
        row.expect(slowest <= MOST_ANSWER_S, f"an answer took {slowest:.2f} s")
        row.expect(took <= MOST_AGREE_S, f"all live again only after {took:.2f} s")
        row.expect(lab.route_ids() == routes, f"route IDs were {routes}, are {lab.route_ids()}")
