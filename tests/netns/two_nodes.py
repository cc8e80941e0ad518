#!/usr/bin/python3
"""The thinnest way through everything: two nodes, one circuit, ping."""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from cases import ROOT, Case, expect, finish, lab_up  # noqa: E402
from traffic import capture_wires, captured_frames, ping, reach  # noqa: E402

MARKER = "SKYEDGE-MARKER-1"

with lab_up(ROOT / "tests" / "netns" / "two-nodes.yaml") as lab:
    address = lab.addresses("b1")
    for sort in ("ipv6", "ipv4", "skywire"):
        with Case(f"ping by {sort} address") as case:
            reach(lab, "a1", address[sort])
            result = ping(lab, "a1", address[sort], count=20, interval=0.05)
            case.note(f"{result['rtt_ms']} ms")
            expect(result["lost"] == 0, f"{result}")

    with Case("packets of every size up to the TUN's MTU arrive whole") as case:
        mtu = int(lab.run("a1", "cat", "/sys/class/net/sky0/mtu").stdout)
        case.note(f"MTU {mtu}")
        expect(mtu >= 1280, f"MTU {mtu}, wanted at least 1280")
        for size in (0, 1, 7, 8, 100, 1000, 1232, mtu - 48):
            result = ping(lab, "a1", address["ipv6"], count=2, interval=0.02, size=size)
            expect(result["lost"] == 0, f"{size} bytes: {result}")

    with Case("the payload is on no wire in clear"):
        with tempfile.TemporaryDirectory() as folder:
            wires = capture_wires(lab, folder)
            ping(lab, "a1", address["ipv6"], count=20, interval=0.02, pattern=MARKER.encode().hex())
            data = b"".join(wire.finish() for wire in wires)
        expect(data.count(MARKER.encode()) == 0, "the marker is on a wire")
        expect(data.count(b"\x88\xb5") >= 40, "the capture holds no Skyedge frames")

finish()
