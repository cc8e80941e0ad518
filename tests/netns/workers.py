#!/usr/bin/python3
"""Two workers a node: each with ports of its own, and both on one port where lanes are told apart by MAC address."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from cases import FOUR_DOMAINS, ROOT, Case, Skip, expect, finish, lab_up  # noqa: E402
from traffic import ping, reach  # noqa: E402

CPUS = sorted(os.sched_getaffinity(0))[:2]
TWO = {"dataplane": {"workers": CPUS}}


def accounted(lab):
    """Every worker's counters; fails where a node's accounting does not come to rest."""
    for node in lab.nodes:
        counters = lab.show(node, "counters")
        expect(abs(counters["under_way"]) < 100, f"{node}: {counters['under_way']} packets under way")
    return {node: lab.show(node, "workers") for node in lab.nodes}


with Case("four domains: each port has a worker, frames pass from one to the other's port") as case:
    if len(CPUS) < 2:
        raise Skip("one CPU")
    with lab_up(FOUR_DOMAINS, router=TWO) as lab:
        address = lab.addresses("d1")["ipv6"]
        reach(lab, "a1", address)
        result = ping(lab, "a1", address, count=100, interval=0.01)
        expect(result["lost"] == 0, f"{result}")
        workers = accounted(lab)
        expect(all(worker["received"] > 0 for worker in workers["a1"]), f"a worker of a1 received nothing: {workers}")
        case.note(f"a1's workers received {[worker['received'] for worker in workers['a1']]}")

with Case("one port, lanes by MAC address: each worker has a queue of it") as case:
    if len(CPUS) < 2:
        raise Skip("one CPU")
    router = TWO | {"ports": {"a1-b1": {"lanes": "mac"}}}
    with lab_up(ROOT / "tests" / "netns" / "two-nodes.yaml", router=router) as lab:
        address = lab.addresses("b1")["ipv6"]
        reach(lab, "a1", address)
        result = ping(lab, "a1", address, count=100, interval=0.01)
        expect(result["lost"] == 0, f"{result}")
        flaps = [link["flaps"] for node in lab.nodes for link in lab.show(node, "links")]
        expect(flaps == [0, 0], f"flaps {flaps}")
        workers = accounted(lab)
        case.note(f"b1's workers received {[worker['received'] for worker in workers['b1']]}, "
                  f"handed over {[worker['handed_over'] for worker in workers['b1']]}")

finish()
