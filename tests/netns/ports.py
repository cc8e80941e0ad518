#!/usr/bin/python3
"""Two nodes joined by ports of each sort beside AF_PACKET (AF_XDP, TAP, memif), without hugepages and with them.

With words (xdp tap memif single hugepages) only these parts.
"""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from cases import ROOT, Case, expect, finish, lab_up  # noqa: E402
from lablib import LabError, run, wait_until  # noqa: E402
from lablib.wires import up  # noqa: E402
from traffic import Iperf, ping, reach  # noqa: E402

TWO_NODES = ROOT / "tests" / "netns" / "two-nodes.yaml"
LINK, HERE, THERE = "a1-b1", "a1", "b1"
# What is noticed late is not said to be lost: loaded machines keep a worker waiting for longer than 60 ms.
ROUTER = {"links": {LINK: {"liveness": {"interval": "100ms"}}}}
LARGEST_MTU = {"packet": 9000, "xdp": 3502, "tap": 1500, "memif": 9000}
NR_HUGEPAGES = Path("/proc/sys/vm/nr_hugepages")


class Api(http.client.HTTPConnection):
    """A node's API without a program in between: two readings lie a millisecond apart."""

    def __init__(self, lab, node):
        super().__init__("localhost", timeout=5)
        self.path = lab.path / node / "api.sock"

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self.path))

    def counted(self):
        self.request("GET", "/v1/ports")
        return json.loads(self.getresponse().read())[0]


def missing(lab):
    """Frames that one end has sent and the other has not received, each way: the least of many readings, since what is
    sent between the reading of one end and of the other looks missing."""
    here, there = Api(lab, HERE), Api(lab, THERE)

    def once(sender, receiver):
        received = receiver.counted()["received"]
        return sender.counted()["transmitted"] - received

    return [min(once(*pair) for _ in range(50)) for pair in ((here, there), (there, here))]


def silence(lab):
    """Nothing of THERE's arrives any more; returns what undoes it."""
    if lab.ports != "memif":
        lab.cut(LINK, THERE)
        return lambda: lab.mend(LINK)
    pid = lab.pid(THERE, "data")
    os.kill(pid, signal.SIGSTOP)
    return lambda: os.kill(pid, signal.SIGCONT)


def link_up(lab, node):
    links = lab.show(node, "links")
    return bool(links) and links[0]["state"] == "up"


def carries(lab, word):
    address = lab.addresses(THERE)["ipv6"]
    with Case(f"{word}: packets of every size arrive, frames out of one end are frames into the other") as case:
        reach(lab, HERE, address)
        mtu = int(lab.run(HERE, "cat", "/sys/class/net/sky0/mtu").stdout)
        case.note(f"port's MTU {lab.mtu}, TUN's {mtu}")
        expect(mtu > lab.mtu - 100, f"the TUN's MTU is {mtu}")
        before = missing(lab)
        for size in (0, 56, 1200, mtu - 48):
            result = ping(lab, HERE, address, count=20, interval=0.005, size=size)
            expect(result["lost"] == 0, f"{size} bytes: {result}")
        after = missing(lab)
        expect(before == after, f"missing frames there and back: {before} before the pings, {after} after them")

    with Case(f"{word}: iperf3") as case:
        result = Iperf(lab, HERE, THERE, address, 1).finish()
        case.note(f"{result['gbit_s']} Gbit/s")
        expect(result["gbit_s"] > 0.05, f"{result}")


def notices_silence(lab, word):
    with Case(f"{word}: silence is noticed, and its end") as case:
        undo = silence(lab)
        start = time.monotonic()
        try:
            wait_until(lambda: not link_up(lab, HERE), 2, "the link is down", every=0.005)
            case.note(f"after {time.monotonic() - start:.2f} s")
        finally:
            undo()
        lab.wait_links(10)
        reach(lab, HERE, lab.addresses(THERE)["ipv6"])


def survives_kills(lab, word):
    for node, other in ((HERE, THERE), (THERE, HERE)):
        with Case(f"{word}: the dataplane of {node} is killed under load and comes back, the other lives on") as case:
            alive, keys = lab.pid(other, "data"), lab.link_keys(node)
            flow = Iperf(lab, other, node, lab.addresses(node)["ipv6"], 5)
            time.sleep(0.3)
            start = time.monotonic()
            lab.kill(node, "data")
            wait_until(lambda: link_up(lab, node) and not keys & lab.link_keys(node), 10, "a link with new keys")
            case.note(f"link up after {time.monotonic() - start:.1f} s")
            flow.stop()
            lab.wait_links(10)
            reach(lab, HERE, lab.addresses(THERE)["ipv6"])
            expect(lab.pid(other, "data") == alive, f"the dataplane of {other} died too")


def left_behind(lab):
    """What a killed dataplane could leave: hugepage files, sockets, programs on interfaces."""
    found = [str(path) for folder in ("/dev/hugepages", "/run/dpdk") for path in Path(folder).glob("*")]
    found += [str(path) for path in lab.path.rglob("*") if path.is_socket() and path.suffix == ".memif"]
    for node in lab.nodes:
        shown = run("ip", "-n", lab.space(node), "link", "show").stdout
        found += [f"{node}: {line}" for line in shown.splitlines() if "xdp" in line.split()]
    return found


def lab_of(sort):
    with lab_up(TWO_NODES, ROUTER, sort, LARGEST_MTU[sort]) as lab:
        carries(lab, sort)
        notices_silence(lab, sort)
        survives_kills(lab, sort)
        with Case(f"{sort}: no frame is told by a signal, which would wake the main core"):
            fields = dict(line.split(":", 1) for line in Path(f"/proc/{lab.pid(HERE, 'data')}/status").open())
            expect(int(fields["SigCgt"], 16) >> 33 == 0, f"realtime signals are caught: {fields['SigCgt']}")
        with Case(f"{sort}: dataplanes that are stopped leave nothing"):
            for node in lab.nodes:
                lab.stop(node, "data")
            expect(not left_behind(lab), f"{left_behind(lab)}")


class Hugepages:
    """2 MiB pages for as long as the `with` lasts; as many as before afterwards."""

    def __init__(self, count):
        self.count = count

    def __enter__(self):
        self.before = int(NR_HUGEPAGES.read_text())
        NR_HUGEPAGES.write_text(str(self.before + self.count))
        if (found := int(NR_HUGEPAGES.read_text())) != self.before + self.count:
            self.__exit__()
            raise LabError(f"hugepages: found {found}, wanted {self.before + self.count}")
        return self

    def __exit__(self, *_):
        NR_HUGEPAGES.write_text(str(self.before))

    @staticmethod
    def free():
        fields = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
        return int(fields["HugePages_Free"])


def runs_on_hugepages(sort, pages):
    free = pages.free()
    with lab_up(TWO_NODES, ROUTER | {"dataplane": {"hugepages": True}}, sort) as lab:
        used = free - pages.free()
        carries(lab, f"{sort} on hugepages")
        with Case(f"{sort} on hugepages: dataplanes killed for good leave no page and no file") as case:
            case.note(f"{used} pages of 2 MiB were in use")
            expect(used > 0, "no hugepage was in use")
            for node in lab.nodes:
                lab.stop(node, "data", signal.SIGKILL)
            wait_until(lambda: pages.free() == free, 5, lambda: f"{free} hugepages free ({pages.free()})")
            left = [each for each in left_behind(lab) if "xdp" not in each and not each.endswith(".memif")]
            expect(not left, f"{left}")


class Probe:
    """One port by itself (tests/support/port_probe.cc)."""

    def __init__(self, space, device, workers, lanes=False):
        program = Path(os.environ.get("SKYEDGE_BUILD", ROOT / "build")) / "tests" / "support" / "port_probe"
        words = ["ip", "netns", "exec", space, program, device, 1500, workers, *(["lanes"] if lanes else [])]
        self.process = subprocess.Popen([str(word) for word in words], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL, text=True)
        self.said = self.line()

    def line(self):
        """The next line that is no log."""
        while (line := self.process.stdout.readline()).startswith("<"):
            pass
        return line.strip()

    def ask(self, *words):
        print(*words, file=self.process.stdin, flush=True)
        return self.line()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(10)


@contextmanager
def pair(queues=1):
    """Two namespaces joined by a veth pair `v`."""
    spaces = [f"sky.probe{os.getpid()}.{end}" for end in "ab"]
    try:
        for space in spaces:
            run("ip", "netns", "add", space)
        count = ("numtxqueues", queues, "numrxqueues", queues)
        run("ip", "link", "add", "v", "netns", spaces[0], *count, "type", "veth",
            "peer", "name", "v", "netns", spaces[1], *count)
        for space in spaces:
            up(space, "v", 1500)
        yield spaces
    finally:
        for space in spaces:
            run("ip", "netns", "del", space, check=False)


def single_ports():
    with pair() as (here, there):
        steered_lanes(here, there)
        for device in ("net_af_packet0,iface=v", "net_af_xdp0,iface=v"):
            shared_queue(device, here, there)
        foreign_taps(here)
    with pair(2) as (here, _), Case("AF_XDP on an interface with two queues is refused: nobody would read the second"):
        with Probe(here, "net_af_xdp0,iface=v", 1) as probe:
            expect("found 2 queues, wanted one" in probe.said and "ethtool -L v combined 1" in probe.said, probe.said)


def steered_lanes(here, there):
    with Case("AF_PACKET, two workers, lanes steered: each lane comes to its queue, in full"):
        device = "net_af_packet0,iface=v"
        with Probe(here, device, 2, True) as left, Probe(there, device, 2, True) as right:
            expect((left.said, right.said) == ("ready 2 2 2",) * 2, f"{left.said}, {right.said}")
            for lane in range(4):
                # Frames of all lengths, several bursts of each.
                expect(left.ask("send", lane % 2, lane, 300, 60 + 450 * lane) == "sent 300", "not all were sent")
                seen = right.ask("count")
                expect(seen == f"{lane % 2}:{lane}:300", f"lane {lane}: {seen}")
            expect(right.ask("send", 1, 5, 1, 60) == "sent 1" and left.ask("count") == "1:5:1", "nothing came back")


def shared_queue(device, here, there):
    with Case(f"{device}, three workers: one receive queue, which wakes, and all of them send"):
        with Probe(here, device, 3) as left, Probe(there, device, 3) as right:
            expect((left.said, right.said) == ("ready 1 1 1",) * 2, f"{left.said}, {right.said}")
            for worker in range(3):
                expect(left.ask("send", worker, worker, 100, 1514) == "sent 100", "not all were sent")
            expect(right.ask("sleep", 500) == "woken", "a frame does not wake")
            seen = right.ask("count")
            expect(seen == "0:0:100 0:1:100 0:2:100", f"{seen}")
            expect(right.ask("sleep", 50) == "slept", "awake without a frame")


def foreign_taps(here):
    with Case("a TAP that another process holds is refused, and so is a name that is no TAP"):
        with Probe(here, "net_tap0,iface=t0", 1) as first, Probe(here, "net_tap0,iface=t0", 1) as second:
            expect(first.said == "ready 1 1 1", first.said)
            expect(second.said == "port p0: interface t0: found it in use, wanted a name of its own", second.said)
        with Probe(here, "net_tap0,iface=v", 1) as wrong:
            expect("interface v: found it in use" in wrong.said, wrong.said)


def on_hugepages():
    with Hugepages(220) as pages:  # up to 220 MiB a node
        for sort in ("packet", "xdp", "memif"):
            runs_on_hugepages(sort, pages)


PARTS = {"xdp": lambda: lab_of("xdp"), "tap": lambda: lab_of("tap"), "memif": lambda: lab_of("memif"),
         "single": single_ports, "hugepages": on_hugepages}
for part in sys.argv[1:] or PARTS:
    PARTS[part]()
finish()
