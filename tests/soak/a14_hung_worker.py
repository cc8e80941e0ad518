"""A14: a worker that hangs is noticed, and the service manager's watchdog has the dataplane started anew."""

import ctypes
import os
import signal
import socket
import struct
import threading
import time
from pathlib import Path

import row as rows
from soak_lab import reach, stream_to_b1, two_nodes, wait_until

TITLE = "a worker hangs: flagged within 1 s, the dataplane started anew within 3 s"
CI, FULL = "1 hang", "20 hangs"
UNIT = rows.ROOT / "conf" / "systemd" / "skyedge-dataplane.service.in"
MOST_FLAGGED_S, MOST_BACK_S = 1.0, 3.0
PTRACE_SEIZE, PTRACE_INTERRUPT = 0x4206, 0x4207
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


class Held:
    """One thread of a process stands still, as if it span without end; the others go on. Ends with the process."""

    def __init__(self, thread):
        for request in (PTRACE_SEIZE, PTRACE_INTERRUPT):
            if libc.ptrace(request, thread, None, None):
                raise OSError(ctypes.get_errno(), f"ptrace of thread {thread}")
        os.waitpid(thread, 0x40000000)  # __WALL: until it stands


def worker_threads(pid):
    """Threads of DPDK's workers: named after their lcore."""
    return [int(task.name) for task in Path(f"/proc/{pid}/task").iterdir()
            if (task / "comm").read_text().startswith(("lcore-worker", "rte-worker"))]


class Watchdog(threading.Thread):
    """What systemd does for the dataplane's unit: SIGABRT when it says WATCHDOG=trigger, or for as long as the unit's
    WatchdogSec= does not say WATCHDOG=1."""

    def __init__(self, path, interval_s):
        super().__init__(daemon=True)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.socket.settimeout(0.02)
        self.socket.bind(path)
        self.interval_s, self.fed, self.killed, self.ended = interval_s, {}, {}, False

    def run(self):
        while not self.ended:
            try:
                text, extra, _, _ = self.socket.recvmsg(4096, 256)
                self._heard(struct.unpack("3i", extra[0][2][:12])[0], text.decode().split())
            except TimeoutError:
                pass
            for pid, at in list(self.fed.items()):
                if not is_dataplane(pid):
                    del self.fed[pid]
                elif time.monotonic() - at > self.interval_s:
                    self._kill(pid)

    def _heard(self, pid, words):
        if not is_dataplane(pid) or "STOPPING=1" in words:
            self.fed.pop(pid, None)
        elif "WATCHDOG=trigger" in words:
            self._kill(pid)
        elif {"READY=1", "WATCHDOG=1"} & set(words):
            self.fed[pid] = time.monotonic()

    def _kill(self, pid):
        if pid not in self.killed:
            self.killed[pid] = time.monotonic()
            os.kill(pid, signal.SIGABRT)


def is_dataplane(pid):
    try:
        return Path(f"/proc/{pid}/comm").read_text().startswith("skyedge-datapla")
    except OSError:
        return False


def watchdog_seconds():
    line = next(line for line in UNIT.read_text().splitlines() if line.startswith("WatchdogSec="))
    text = line.partition("=")[2]
    return float(text.removesuffix("ms")) / 1e3 if text.endswith("ms") else float(text.removesuffix("s"))


def flagged(lab):
    """`skyctl health` names the worker."""
    return "worker" in lab.skyctl("b1", "health", check=False).stdout


def hang(row, lab, watchdog, there):
    """(seconds until it was flagged, seconds until datagrams arrive again)"""
    reach(lab, "a1", there)
    pid = lab.pid("b1", "data")
    wait_until(lambda: pid in watchdog.fed, 5, "the dataplane feeds the watchdog")
    workers = worker_threads(pid)
    row.expect(len(workers) == 1, f"workers of {pid}: {workers}")
    row.expect(not flagged(lab), lab.skyctl("b1", "health", check=False).stdout)
    start = time.monotonic()
    held = Held(workers[0])
    wait_until(lambda: flagged(lab), 10, "the worker is flagged", every=0.02)
    flagged_s = time.monotonic() - start
    wait_until(lambda: pid in watchdog.killed, 10, "the watchdog bites", every=0.02)
    os.waitpid(workers[0], 0x40000000)  # its end
    del held
    wait_until(lambda: lab.pid("b1", "data") not in (0, pid) and lab.pid("b1", "data") in watchdog.fed, 10,
               "the dataplane is back", every=0.01)
    return flagged_s, time.monotonic() - start


def in_one_lab(row, watchdog, count):
    """What hang() says of so many. Few in one lab: a link that fails again and again is held down longer each time."""
    with two_nodes() as lab:
        there = lab.addresses("b1")["ipv6"]  # gone with each dataplane for a while
        times = [hang(row, lab, watchdog, there) for _ in range(count)]
        lab.wait_links()
        reach(lab, "a1", there)
        stream = stream_to_b1(lab)
        time.sleep(0.5)
        result = stream.finish()
        row.expect(result["lost"] == 0, f"{result}")
        said = (Path(lab.path) / "b1" / "data.log").read_text().count("worker 0 hangs")
        row.expect(said == count, f"{said} hangs said of {count}: a worker that has yet to begin does not hang")
    return times


def run(row):
    path = f"/run/skyedge-watchdog-{os.getpid()}"
    watchdog = Watchdog(path, watchdog_seconds())
    watchdog.start()
    os.environ["NOTIFY_SOCKET"] = path
    try:
        times = [each for count in row.size([1], [2] * 10) for each in in_one_lab(row, watchdog, count)]
    finally:
        del os.environ["NOTIFY_SOCKET"]
        watchdog.ended = True
        watchdog.join()
        os.unlink(path)
    row.figure(f"{len(times)} hangs: flagged within {max(t[0] for t in times):.2f} s")
    row.figure(f"started anew within {max(t[1] for t in times):.2f} s")
    row.expect(max(t[0] for t in times) <= MOST_FLAGGED_S, f"flagged after {times}")
    row.expect(max(t[1] for t in times) <= MOST_BACK_S, f"back after {times}")
