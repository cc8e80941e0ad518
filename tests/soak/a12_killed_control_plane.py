"""A12: a control plane killed at every step of a commit, and at random under traffic."""

import os
import random
import signal
import time

from soak_lab import back, stream_to_b1, two_nodes, wait_until

TITLE = "control plane killed: 0 frames lost, all of a batch or nothing stands, the next one finds it as it wants it"
CI, FULL = "each step of 4 batches, 3 kills at random", "each step of 400 batches, 100 kills at random"
SEED = 12


def run(row):
    row.gtest("tests/soak/process_faults_test", "KilledControlPlane.*")
    dice = random.Random(SEED)
    row.figure(f"seed {SEED}")
    with two_nodes() as lab:
        circuits = wait_until(lambda: lab.live_circuits("a1", "b1"), 10, "a live circuit")
        before = lab.route_ids()
        streams = [stream_to_b1(lab)]
        for number in range(row.size(3, 100)):
            node = ("a1", "b1")[number % 2]
            old = lab.pid(node, "control")
            time.sleep(dice.uniform(0, 0.4))  # from within its start to well after it
            os.kill(old, signal.SIGKILL)
            back(lab, node, "control", old)
        for node in lab.nodes:
            wait_until(lambda node=node: lab.healthy(node), 15, f"{node} is healthy")
        results = [stream.finish() for stream in streams]
        sent = sum(result["sent"] for result in results)
        row.figure(f"{number + 1} kills at random under {sent} datagrams, {sum(r['lost'] for r in results)} lost")
        row.expect(all(result["lost"] == result["duplicates"] == 0 for result in results), f"{results}")
        row.expect(lab.route_ids() == before, f"route IDs were {before}, are {lab.route_ids()}")
        row.expect(lab.live_circuits("a1", "b1")[0]["circuit"] == circuits[0]["circuit"], "another circuit")
