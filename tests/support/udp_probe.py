#!/usr/bin/python3
"""A steady stream of numbered UDP datagrams, and what became of it.

    udp_probe.py recv [--bind ADDRESS] PORT
    udp_probe.py send [--bind ADDRESS] [--source-port PORT] [--interval-ms MS] [--seconds S] [--size BYTES]
                      [--marker TEXT] ADDRESS PORT

Both write one JSON object to stdout when they end: the sender after --seconds, or like the receiver on SIGINT or
SIGTERM. Times are CLOCK_MONOTONIC nanoseconds, so the two ends may be compared on one machine. `report` joins the two
objects into lost, duplicates, longest silence and delay. The receiver writes "ready" to stderr once it listens. On
SIGUSR1 it writes what it saw since the last SIGUSR1, one line.
"""

import argparse
import json
import os
import select
import signal
import socket
import struct
import sys
import time

HEADER = struct.Struct("!QQ")  # sequence number, time of sending


stopped = []  # asked to end; looked at between datagrams, so that none is sent or read and not counted


def _as_real_time():
    """The probe measures the network, so it must not itself wait for a CPU. Falls back to what it is allowed."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except (OSError, AttributeError):
        pass


def _socket(address):
    return socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)


def send(options):
    """One datagram per interval, on a fixed grid: a late one does not shift those after it."""
    probe = _socket(options.address)
    probe.bind((options.bind, options.source_port))
    probe.connect((options.address, options.port))
    filler = (options.marker.encode() or b"\0") * options.size
    filler = filler[: max(0, options.size - HEADER.size)]
    interval_ns = round(options.interval_ms * 1e6)
    count = round(options.seconds * 1e9 / interval_ns)
    sent = refused = late_ns = last_ns = 0
    start_ns = time.monotonic_ns()
    for number in range(count):
        due_ns = start_ns + number * interval_ns
        while (now_ns := time.monotonic_ns()) < due_ns:
            time.sleep((due_ns - now_ns) / 1e9)
        if stopped:
            break
        late_ns = max(late_ns, now_ns - due_ns)
        try:
            probe.send(HEADER.pack(number, now_ns) + filler)
            sent, last_ns = sent + 1, now_ns
        except OSError:
            refused += 1
    return {"sent": sent, "refused": refused, "first_ns": start_ns, "last_ns": last_ns, "late_ns": late_ns}


def receive(options):
    probe = _socket(options.bind)
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    probe.bind((options.bind, options.port))
    probe.setblocking(False)
    print("ready", file=sys.stderr, flush=True)
    arrivals = []  # (sequence number, sent at, arrived at)
    lap_at, lap_wanted = 0, []
    signal.signal(signal.SIGUSR1, lambda *_: lap_wanted.append(True))
    while not stopped:
        select.select([probe], [], [], 0.02)
        now_ns = time.monotonic_ns()
        if lap_wanted:
            lap_wanted.clear()
            print(json.dumps(lap(arrivals[lap_at:], now_ns)), flush=True)
            lap_at = max(0, len(arrivals) - 1)
        try:
            arrivals.append((*HEADER.unpack_from(probe.recv(65536)), now_ns))
        except BlockingIOError:
            pass
    numbers = [number for number, _, _ in arrivals]
    gap_ns, gap_at_ns = max(((b[2] - a[2], a[2]) for a, b in zip(arrivals, arrivals[1:])), default=(0, 0))
    delays = sorted(arrived - sent for _, sent, arrived in arrivals)
    return {
        "received": len(arrivals),
        "unique": len(set(numbers)),
        "reordered": sum(b < a for a, b in zip(numbers, numbers[1:])),
        "first_ns": arrivals[0][2] if arrivals else 0,
        "last_ns": arrivals[-1][2] if arrivals else 0,
        "gap_ns": gap_ns,
        "gap_at_ns": gap_at_ns,
        "delay_ns": {name: delays[min(len(delays) - 1, int(len(delays) * part))] if delays else 0
                     for name, part in (("median", 0.5), ("p99", 0.99), ("max", 1))},
    }


def lap(arrivals, now_ns):
    """Between the first and the last of these arrivals; still being silent counts."""
    numbers = [number for number, _, _ in arrivals]
    times = [arrived for _, _, arrived in arrivals] + [now_ns]
    return {
        "lost": max(numbers, default=-1) - min(numbers, default=0) + 1 - len(set(numbers)),
        "duplicates": len(numbers) - len(set(numbers)),
        "silence_ms": round(max((b - a for a, b in zip(times, times[1:])), default=0) / 1e6, 1),
    }


def report(sender, receiver):
    """Joins both ends. A stream that never came back counts as silent up to the last datagram sent."""
    tail_ns = max(0, sender["last_ns"] - (receiver["last_ns"] or sender["first_ns"]))
    return {
        "sent": sender["sent"],
        "lost": sender["sent"] + sender["refused"] - receiver["unique"],
        "duplicates": receiver["received"] - receiver["unique"],
        "reordered": receiver["reordered"],
        "silence_ms": round(max(receiver["gap_ns"], tail_ns) / 1e6, 1),
        "sender_late_ms": round(sender["late_ns"] / 1e6, 1),
        "delay_us": {name: round(value / 1e3) for name, value in receiver["delay_ns"].items()},
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    sender = commands.add_parser("send")
    sender.add_argument("--bind", default="")
    sender.add_argument("--source-port", type=int, default=0)
    sender.add_argument("--interval-ms", type=float, default=1.0)
    sender.add_argument("--seconds", type=float, default=10.0)
    sender.add_argument("--size", type=int, default=64)
    sender.add_argument("--marker", default="")
    sender.add_argument("address")
    sender.add_argument("port", type=int)
    receiver = commands.add_parser("recv")
    receiver.add_argument("--bind", default="::")
    receiver.add_argument("port", type=int)
    options = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.append(True))
    _as_real_time()
    json.dump(send(options) if options.command == "send" else receive(options), sys.stdout)
    print()


if __name__ == "__main__":
    main()
