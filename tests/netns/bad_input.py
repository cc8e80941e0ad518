#!/usr/bin/python3
"""A stranger on the cable: random, mutated and replayed frames, and a neighbour with a foreign key.

Nothing crashes, nothing is delivered, everything is counted under its reason, and the traffic goes on.
"""

import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from cases import ROOT, FOUR_DOMAINS, Case, expect, finish, lab_up  # noqa: E402
from lablib import run  # noqa: E402
from traffic import Capture, UdpStream, ping, reach  # noqa: E402

INJECT = ROOT / "tests" / "support" / "inject.py"
FRAMES = 500_000  # random ones, and as many that are captured and then changed
VICTIM, NEIGHBOUR, WIRE = "g1", "a1", "a1-g1"


def inject(*words):
    """Frames from the neighbour's end of the wire to the victim; returns how many were sent."""
    mac = lab.run(VICTIM, "cat", f"/sys/class/net/{WIRE}/address").stdout.strip()
    return int(lab.run(NEIGHBOUR, INJECT, WIRE, "--to", mac, *words, timeout=120).stdout)


def drops():
    """Frames that the victim dropped, by reason."""
    return {reason: count for reason, count in lab.drops(VICTIM).items() if count}


def attack(case, *words, by_reason=()):
    """Injects and expects: same processes, nothing delivered, as many drops as frames that came in."""
    time.sleep(0.3)
    processes = [lab.pid(node, role) for node in lab.nodes for role in ("data", "control")]
    before, delivered, punted = drops(), lab.counters("d1")["delivered_tun"], lab.counters(VICTIM)["punted"]
    sent = inject(*words)
    time.sleep(0.5)
    grown = {reason: count - before.get(reason, 0) for reason, count in drops().items()}
    grown = {reason: count for reason, count in grown.items() if count}
    reasons = sorted(grown.items(), key=lambda item: -item[1])
    case.note(f"{sent} frames: " + ", ".join(f"{count} {reason}" for reason, count in reasons))
    now = [lab.pid(node, role) for node in lab.nodes for role in ("data", "control")]
    expect(now == processes and all(now), "a process ended")
    expect(lab.counters("d1")["delivered_tun"] == delivered, "a packet was delivered")
    # The socket's ring may overflow under the flood (the kernel counts those), and handshakes go to the control plane.
    seen = sum(grown.values()) + lab.counters(VICTIM)["punted"] - punted
    expect(0.5 * sent <= seen <= sent + 1000, f"{seen} dropped or handed to the control plane, of {sent}: {grown}")
    for reason in by_reason:
        expect(grown.get(reason), f"none counted as {reason}: {grown}")


with lab_up(FOUR_DOMAINS) as lab, tempfile.TemporaryDirectory() as folder:
    there = lab.addresses("d1")["ipv6"]
    reach(lab, "a1", there)
    pcap = Path(folder) / "wire.pcap"
    capture = Capture(lab, VICTIM, WIRE, pcap)
    streams = [UdpStream(lab, "a1", "d1", there, 7001 + number, size=64 + 300 * number) for number in range(4)]
    time.sleep(10)
    for stream in streams:
        stream.finish()
    capture.finish()

    with Case(f"{FRAMES} random frames on a live port") as case:
        attack(case, "--random", FRAMES, by_reason=("bad_version", "bad_kind", "unknown_link", "frame_short"))
    with Case(f"{FRAMES} truncated, extended and bit-flipped frames on a live port") as case:
        attack(case, "--mutate", pcap, FRAMES, by_reason=("bad_tag", "replayed", "frame_short"))
    with Case("every frame of a 10 s capture replayed") as case:
        attack(case, "--replay", pcap, by_reason=("replayed",))
    with Case("replayed under live traffic: no datagram arrives twice, none is lost"):
        stream = UdpStream(lab, "a1", "d1", there)
        time.sleep(0.2)
        inject("--replay", pcap, "--rate", 10_000)
        result = stream.finish()
        expect(result["lost"] == result["duplicates"] == 0, f"{result}")
    with Case("all is well after it"):
        result = ping(lab, "a1", there, count=50, interval=0.02)
        expect(result["lost"] == 0 and lab.healthy(VICTIM), f"{result}")

    with Case("a neighbour with a foreign key gets no link") as case:
        for role in ("control", "data"):
            lab.stop(VICTIM, role)
        home = lab.path / VICTIM
        key = run(lab.build / "skyctl", "keygen", home / "foreign.key").stdout.strip()
        lab.give_identity(VICTIM, home / "foreign.key", key)
        for role in ("control", "data"):
            lab.start(VICTIM, role)
        time.sleep(5)
        links = {row["link"]: row["state"] for row in lab.show("a1", "links")}
        refused = lab.counters("a1")["handshakes_refused_unknown_peer"]
        case.note(f"{refused} handshakes refused")
        expect(links[WIRE] != "up" and links["a1-b1"] == "up", f"{links}")
        expect(refused > 0, "no handshake was refused for its key")
        told = lab.skyctl("a1", "health", check=False).stdout
        expect(f"link {WIRE} to {VICTIM} is down: unknown_peer" in told, f"health does not say why:\n{told}")
        expect(ping(lab, "a1", there, count=20, interval=0.02)["lost"] == 0, "the other path lost packets")

finish()
