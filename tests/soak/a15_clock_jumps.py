"""A15: the wall clock of one control plane jumps; monotonic time goes on, as it does on a machine."""

import os
import random
import struct
import subprocess
import tempfile
import time
from pathlib import Path

from row import BUILD, ROOT

from lablib import Lab, wait_until
from traffic import UdpStream, reach

TITLE = "clock jumps of a control plane: no session drops, nothing expires early, handshakes go on"
CI, FULL = "1 s after each jump", "20 s after each jump"

LIBRARY = BUILD / "tests" / "soak" / "wall_clock.so"
DAY = 24 * 3600
# (seconds to add, the second at which the clock stands still or 0)
JUMPS = ((DAY, 0), (-DAY, 0), (3652 * DAY, 0), (-3652 * DAY, 0), (0, 2 * 10**9))
STEPS = 1000
MOST_HANDSHAKE_S = 10
# Renewed every second: each jump falls into handshakes. Circuits outlive the test; what expires does so early.
ROUTER = {"rekey": {"time": "1s", "handshake": "1s"}, "circuits": {"refresh": "1min", "life": "5min"}}


def programs(folder, clock):
    """The built programs, a1's control plane under the clock of that file."""
    for name in ("skyedge-dataplane", "skyctl"):
        (folder / name).symlink_to(BUILD / name)
    (folder / "skyedge-controlplane").write_text(
        f"#!/bin/sh\ncase \"$*\" in */a1/*) export LD_PRELOAD={LIBRARY} WALL_CLOCK_FILE={clock};; esac\n"
        f"exec {BUILD}/skyedge-controlplane \"$@\"\n")
    (folder / "skyedge-controlplane").chmod(0o755)


def set_clock(clock, added, stopped=0):
    with clock.open("r+b") as file:
        file.write(struct.pack("<qq", added, stopped))


def year_under(clock):
    return subprocess.run(["date", "+%Y"], capture_output=True, text=True, check=True,
                          env={**os.environ, "LD_PRELOAD": str(LIBRARY), "WALL_CLOCK_FILE": str(clock)}).stdout.strip()


def handshake_seconds(lab):
    """How long it takes from now on until new keys are in use on the link."""
    before, start = lab.link_keys("a1"), time.monotonic()
    wait_until(lambda: lab.link_keys("a1") - before, MOST_HANDSHAKE_S, "new keys of the link")
    return time.monotonic() - start


def run(row):
    with tempfile.TemporaryDirectory() as folder:
        clock, build = Path(folder) / "clock", Path(folder) / "build"
        build.mkdir()
        clock.write_bytes(bytes(16))
        programs(build, clock)
        with Lab.up(ROOT / "tests/netns/two-nodes.yaml", build=build, router=ROUTER) as lab:
            there = lab.addresses("b1")["ipv6"]
            reach(lab, "a1", there)
            wait_until(lambda: lab.live_circuits("a1", "b1"), 15, "a circuit")
            sessions = {session["session"]: session["state"] for session in lab.show("a1", "sessions")}
            routes, flaps, pids = lab.route_ids(), lab.flaps(), lab.pid("a1", "control")
            stream = UdpStream(lab, "a1", "b1", there, interval_ms=2)
            slowest, years = 0, []
            for jump in JUMPS:
                set_clock(clock, *jump)
                years.append(year_under(clock))
                slowest = max(slowest, handshake_seconds(lab))
                time.sleep(row.size(0, 20))
            dice = random.Random(15)
            for _ in range(STEPS):
                set_clock(clock, dice.randint(-10**9, 10**9))
                time.sleep(row.size(0, 0.02))
            slowest = max(slowest, handshake_seconds(lab))
            set_clock(clock, 3652 * DAY)
            kept = {session["session"]: session["state"] for session in lab.show("a1", "sessions")}
            row.expect(sessions and kept == sessions, f"sessions {sessions}, then {kept}")
            unharmed = lab.route_ids() == routes and lab.flaps() == flaps and lab.pid("a1", "control") == pids
            row.expect(unharmed, f"routes {routes} {lab.route_ids()}, flaps {flaps} {lab.flaps()}")
            lab.kill("a1", "control")
            wait_until(lambda: lab.show("a1", "links"), 10, "a control plane that starts with its clock ten years ahead")
            slowest = max(slowest, handshake_seconds(lab))
            result = stream.finish()
            row.figure(f"{len(JUMPS) + STEPS} jumps (years {' '.join(years)}), new keys within {slowest:.1f} s of each, "
                       f"{result['lost']} of {result['sent']} datagrams lost")
            row.expect(len(set(years)) > 3, f"the clock did not jump: {years}")
            row.expect(result["lost"] == 0 and result["duplicates"] == 0, f"{result}")
            row.expect(lab.route_ids() == routes and lab.flaps() == flaps, "a circuit or link did not survive the restart")
