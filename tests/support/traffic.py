"""Traffic between the nodes of a lab: pings, numbered UDP streams, iperf3, captures."""

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
sys.path.insert(0, str(Path(__file__).resolve().parent))
import udp_probe  # noqa: E402
from lablib import LabError, wait_until  # noqa: E402

PROBE = Path(udp_probe.__file__)


def _end(process, number=signal.SIGINT, seconds=10):
    """Ends a program that reports on a signal; returns (stdout, stderr)."""
    if process.poll() is None:
        process.send_signal(number)
    try:
        return process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.communicate()


class Ping:
    """`ping` running in a node, until it has sent `count` or `finish` ends it."""

    def __init__(self, lab, node, address, count=None, interval=0.2, size=56, pattern=None):
        words = ["ping", "-n", "-q", "-i", interval, "-s", size, "-W", 1]
        words += ["-c", count] if count else []
        words += ["-p", pattern] if pattern else []
        self.process = lab.popen(node, *words, address, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def finish(self, wait=False, seconds=60):
        """{"sent", "received", "lost", "rtt_ms"}; `wait`: let it send its count to the end."""
        if wait:
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                pass
        out, error = _end(self.process)
        counts = re.search(r"(\d+) packets transmitted, (\d+) received", out)
        if not counts:
            raise LabError(f"ping: {(error or out).strip()}")
        sent, received = map(int, counts.groups())
        times = re.search(r"= [\d.]+/([\d.]+)/", out)
        return {"sent": sent, "received": received, "lost": sent - received,
                "rtt_ms": float(times.group(1)) if times else None}


def ping(lab, node, address, count=5, **options):
    """Pings to the end and returns what became of it."""
    return Ping(lab, node, address, count, **options).finish(wait=True)


def reach(lab, node, address, seconds=15):
    """Waits until one ping is answered: circuits are made on demand, the first packets may come too early."""
    def answered():
        return lab.run(node, "ping", "-n", "-q", "-c", 1, "-W", 1, address, check=False).returncode == 0

    wait_until(answered, seconds, f"{node} reaches {address}", every=0.1)


class UdpStream:
    """Numbered datagrams from one node to an address of another, one each interval, until `finish`."""

    def __init__(self, lab, source, target, address, port=7001, interval_ms=1, seconds=600, marker="", size=64):
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.receiver = lab.popen(target, PROBE, "recv", "--bind", address, port, **pipes)
        if self.receiver.stderr.readline().strip() != "ready":
            raise LabError(f"udp probe at {target}: {self.receiver.stderr.read()}")
        marking = ["--marker", marker] if marker else []
        self.sender = lab.popen(source, PROBE, "send", "--source-port", port + 1000, "--interval-ms", interval_ms,
                                "--seconds", seconds, "--size", size, *marking, address, port, **pipes)

    def lap(self):
        """{"lost", "duplicates", "silence_ms"} since the last lap; the stream goes on."""
        if self.sender.poll() is not None or self.receiver.poll() is not None:
            raise LabError(f"udp probe ended early: {self.finish()}")
        self.receiver.send_signal(signal.SIGUSR1)
        return json.loads(self.receiver.stdout.readline())

    def finish(self, settle=0.3):
        """Ends both sides and joins what they saw (udp_probe.report)."""
        out, error = _end(self.sender)
        time.sleep(settle)  # what is on its way still counts
        seen, seen_error = _end(self.receiver)
        try:
            return udp_probe.report(json.loads(out), json.loads(seen))
        except ValueError as broken:
            raise LabError(f"udp probe: {error}{seen_error}") from broken


class Iperf:
    """iperf3 over TCP from one node to an address of another."""

    def __init__(self, lab, source, target, address, seconds=10, port=5201, *extra):
        self.seconds = seconds
        self.server = lab.popen(target, "iperf3", "-s", "-1", "-p", port, stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL)
        wait_until(lambda: lab.run(target, "ss", "-Hltn", f"sport = :{port}").stdout, 5, "iperf3 server listens")
        self.client = lab.popen(source, "iperf3", "-J", "-c", address, "-p", port, "-t", seconds, *extra,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def finish(self):
        """{"gbit_s", "retransmits", "seconds"}: what arrived. Raises LabError when the connection did not live."""
        try:
            out, error = self.client.communicate(timeout=self.seconds + 15)
        except subprocess.TimeoutExpired as late:
            self.client.kill()
            raise LabError(f"iperf3: no end within {self.seconds + 15} s") from late
        finally:
            self.server.kill()
            self.server.wait()
        result = json.loads(out or "{}")
        if result.get("error") or "end" not in result:
            raise LabError(f"iperf3: {result.get('error') or error.strip()}")
        arrived = result["end"]["sum_received"]
        return {"gbit_s": round(arrived["bits_per_second"] / 1e9, 3), "seconds": round(arrived["seconds"], 1),
                "retransmits": result["end"]["sum_sent"].get("retransmits", 0)}

    def stop(self):
        """Ends it, whatever became of the connection."""
        for process in (self.client, self.server):
            process.kill()
            process.communicate()


class Capture:
    """tcpdump on one device of a node, whole frames to a file."""

    def __init__(self, lab, node, device, path):
        self.name, self.path = f"{node}/{device}", Path(path)
        self.process = lab.popen(node, "tcpdump", "-i", device, "-w", path, "-U", "-s", 0, "-B", 8192, "-Z", "root",
                                 "--immediate-mode", stderr=subprocess.PIPE)
        line = self.process.stderr.readline()
        while line and "listening on" not in line:
            line = self.process.stderr.readline()
        if not line:
            raise LabError(f"tcpdump on {self.name} did not start")

    def finish(self):
        """The captured bytes, after tcpdump has written all of them."""
        _end(self.process)
        return self.path.read_bytes()


def pcap_frames(pcap):
    """The frames in the bytes of a pcap file."""
    frames, offset = [], 24
    while offset + 16 <= len(pcap):
        end = offset + 16 + int.from_bytes(pcap[offset + 8 : offset + 12], "little")
        frames.append(pcap[offset + 16 : end])
        offset = end
    return frames


def captured_frames(pcap):
    """Number of frames in the bytes of a pcap file."""
    return len(pcap_frames(pcap))


def skyedge_frames(pcap):
    """Those of Skyedge's EtherType."""
    return [frame for frame in pcap_frames(pcap) if frame[12:14] == b"\x88\xb5"]


def capture_wires(lab, folder):
    """A capture on every veth end of every node."""
    return [Capture(lab, node, device, Path(folder) / f"{node}-{device}.pcap")
            for ends in lab.links.values() for node, device in ends]
