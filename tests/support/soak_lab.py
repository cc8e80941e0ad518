"""The smallest lab, for rows that do things to whole processes: a1 and b1 with one link between them."""

import os
import signal
import sys
import time
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests" / "support")]
from lablib import Lab, run, wait_until  # noqa: E402,F401
from traffic import UdpStream, reach  # noqa: E402

TWO_NODES = ROOT / "tests" / "netns" / "two-nodes.yaml"


@contextmanager
def two_nodes(router=None):
    """A lab of a1 and b1 that reach each other, gone afterwards whatever happened."""
    with Lab.up(TWO_NODES, router=router, build=os.environ.get("SKYEDGE_BUILD")) as lab:
        reach(lab, "a1", lab.addresses("b1")["ipv6"])
        yield lab


def stream_to_b1(lab, **options):
    return UdpStream(lab, "a1", "b1", lab.addresses("b1")["ipv6"], **options)


@contextmanager
def stopped(lab, node, role):
    """A process that stands still."""
    pid = lab.pid(node, role)
    os.kill(pid, signal.SIGSTOP)
    try:
        yield pid
    finally:
        os.kill(pid, signal.SIGCONT)


def sockets(lab):
    """{path: listeners} of the lab's Unix sockets, and every socket file of its nodes, listened to or not."""
    listed = [line.split()[4] for node in lab.nodes for line in lab.run(node, "ss", "-Hxl").stdout.splitlines()]
    files = {str(path) for path in Path(lab.path).rglob("*.sock")}
    return {path: listed.count(path) for path in files | {each for each in listed if each.startswith(str(lab.path))}}


def back(lab, node, role, old, seconds=10):
    """Waits until another process has taken the place of `old`; returns its PID."""
    return wait_until(lambda: (pid := lab.pid(node, role)) != old and pid, seconds, f"{role} of {node} is back",
                      every=0.01)


def timed(action):
    """(seconds that it took, its result)"""
    start = time.monotonic()
    result = action()
    return time.monotonic() - start, result
