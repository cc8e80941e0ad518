#!/usr/bin/python3
"""Links of every kind and suite, as a user would set them: what is agreed, what is on the wire, and that it works."""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from cases import ROOT, Case, expect, finish, lab_up  # noqa: E402
from traffic import capture_wires, ping, reach, skyedge_frames  # noqa: E402

# (links.protect, circuits.protect, suites): what links show, kinds of the frames that carry pings
CASES = [
    (("header", "header", ["aes-256-gcm", "chacha20-poly1305"]), ("header", "aes-256-gcm"), {0, 1}),
    (("header", "frame", ["chacha20-poly1305"]), ("header", "chacha20-poly1305"), {0}),
    (("clear", "clear", ["aes-256-gcm"]), ("clear", "aes-256-gcm"), {0, 2}),
]

for (link, circuits, suites), agreed, kinds in CASES:
    with Case(f"links {link}, circuits {circuits}, {' or '.join(suites)}") as case:
        router = {"laboratory": True, "links": {"a1-b1": {"protect": link}}, "circuits": {"protect": circuits},
                  "dataplane": {"suites": suites}}
        with lab_up(ROOT / "tests" / "netns" / "two-nodes.yaml", router=router) as lab:
            address = lab.addresses("b1")["ipv6"]
            reach(lab, "a1", address)
            row = lab.show("a1", "links")[0]
            expect((row["protection"], row["suite"]) == agreed, f"found {row}, wanted {agreed}")
            with tempfile.TemporaryDirectory() as folder:
                wires = capture_wires(lab, folder)
                result = ping(lab, "a1", address, count=20, interval=0.02, size=1000)
                frames = [frame for wire in wires for frame in skyedge_frames(wire.finish())]
            expect(result["lost"] == 0, f"{result}")
            large = [frame for frame in frames if len(frame) > 1000]
            found = {frame[14] & 15 for frame in frames}
            expect(found == kinds, f"kinds {found} on the wire, wanted {kinds}")
            expect({frame[14] & 15 for frame in large} == {max(kinds)}, "large frames of another kind")
            case.note(f"{len(large)} of {len(frames)} frames carry pings, kinds {sorted(found)}")

finish()
