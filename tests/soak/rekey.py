"""Keys that step all the time: under load between two dataplanes, and in a lab whose control planes are away."""

import tempfile
import time
from pathlib import Path

from soak_lab import stream_to_b1, two_nodes, wait_until
from traffic import Capture, UdpStream, reach, skyedge_frames

TITLE = "keys step a thousand times under load, and without control planes by the MiB: 0 lost; what must stop stops"
CI, FULL = "1,000 key epochs; 4 s without control planes", "10,000 key epochs; 10 min without control planes"
LEAST_EPOCH_S = 3  # of use, whatever was sent (docs/protocol.md, "Keys")
PACKET_BYTES = 1000  # one each ms and direction: a MiB in a little more than a second

# Keys are what is tried here, not whether a busy machine lets a worker run every 60 ms.
PATIENT = {"links": {"a1-b1": {"liveness": {"interval": "200ms"}}}, "circuits": {"probe": {"interval": "200ms"}}}


def run(row):
    row.gtest("tests/soak/hostile_frames_test", "Rekey.*")
    row.gtest("tests/packet/packet_test", "Keys.ALaneStops*:Keys.ASessionsStreamStops*:Keys.StepsOnBytes*")
    without_control_planes(row, row.size(4, 600))


def without_control_planes(row, seconds):
    with two_nodes(router={"rekey": {"bytes": "1MiB"}} | PATIENT) as lab, tempfile.TemporaryDirectory() as folder:
        reach(lab, "b1", lab.addresses("a1")["ipv6"])
        options = {"seconds": seconds + 60, "size": PACKET_BYTES}
        streams = [stream_to_b1(lab, **options),
                   UdpStream(lab, "b1", "a1", lab.addresses("a1")["ipv6"], port=7002, **options)]
        for node in lab.nodes:
            lab.stop(node, "control")
        before = epochs(lab, folder)
        time.sleep(seconds)
        after = epochs(lab, folder)
        results = [stream.finish() for stream in streams]
        least, most = max(1, int(seconds / (LEAST_EPOCH_S + 0.6))), seconds // LEAST_EPOCH_S + 1
        # The wire has seven bits of the step: the least number with these bits that is enough.
        steps = {node: least + (after[node] - before[node] - least) % 128 for node in lab.nodes}
        row.figure(f"{seconds} s without control planes at 1 MiB an epoch: {sum(r['sent'] for r in results)} "
                   f"datagrams, {sum(r['lost'] for r in results)} lost, epochs stepped {steps}")
        row.expect(all(result["lost"] == result["duplicates"] == 0 for result in results), f"{results}")
        row.expect(all(step <= most for step in steps.values()), f"wanted {least} to {most} steps, found {steps}")
        for node in lab.nodes:
            lab.start(node, "control")
        for node in lab.nodes:
            wait_until(lambda node=node: lab.healthy(node), 30,
                       lambda node=node: lab.skyctl(node, "health", check=False).stdout)


def epochs(lab, folder):
    """{node: epoch byte of the last frame that came to it}: the wire knows while no control plane can be asked."""
    captures = {node: Capture(lab, node, "a1-b1", Path(folder) / node) for node in lab.nodes}
    time.sleep(0.2)
    found = {}
    for node, capture in captures.items():
        mac = bytes.fromhex(lab.run(node, "cat", "/sys/class/net/a1-b1/address").stdout.strip().replace(":", ""))
        capture.finish()
        found[node] = [frame[16] for frame in skyedge_frames(capture.path.read_bytes()) if frame[:6] == mac][-1]
    return found
