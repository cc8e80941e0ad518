"""Hours of mixed load with a fault every few seconds, in a lab of four domains. SKYEDGE_SOAK_MINUTES says how many."""

import os
import random
import re
import signal
import tempfile
import time
from collections import Counter
from pathlib import Path

import row as rows
import yaml
from a08_handshake_flood import initiations, start_flood, write_pool
from soak_lab import back, wait_until
from lablib import Lab, LabError
from traffic import Iperf, UdpStream, reach

TITLE = "mixed load with a fault every 5 s: accounting exact, nothing leaks, memory does not grow, all works afterwards"
CI, FULL = "3 s, a fault every second", "2 h, or SKYEDGE_SOAK_MINUTES"
SEED = int(os.environ.get("SKYEDGE_SOAK_SEED", "7"))
FOUR_DOMAINS = rows.ROOT / "conf" / "lab" / "four-domains.yaml"
INJECT = rows.ROOT / "tests" / "support" / "inject.py"
STEADY = ("g1", "d1")  # their processes live from beginning to end: they are who could leak
FAULTED = ("a1", "b1", "b2")
FAULT_S = 1.0  # how long a cable is cut, a process stands still, a flood lasts
LONG_S = 7200
MOST_GROWTH = 0.01  # of a process's memory, an hour
MOST_GROWTH_SHORT = 0.05  # in all, where a heap's last steps weigh more than a leak could


def run(row):
    minutes = float(os.environ.get("SKYEDGE_SOAK_MINUTES", "120"))
    row.figure(f"seed {SEED}")
    with Lab.up(FOUR_DOMAINS, build=rows.BUILD) as lab, tempfile.TemporaryDirectory() as folder:
        Soak(row, lab, Path(folder)).run(row.size(3, minutes * 60), row.size(1, 5))


class Soak:
    def __init__(self, row, lab, folder):
        self.row, self.lab, self.folder, self.dice = row, lab, folder, random.Random(SEED)
        self.faults, self.samples = Counter(), []
        self.pids = {(node, role): lab.pid(node, role) for node in lab.nodes for role in ("data", "control")}
        self.domains = yaml.safe_load((lab.path / "topology.yaml").read_text())["domains"].values()
        self.sorts = [self.cut, self.cut_one_way, self.kill, self.freeze_control_plane, self.restart,
                      self.flood_handshakes, self.throw_garbage]

    def run(self, seconds, interval):
        self.whole()
        start, load = time.monotonic(), Load(self.lab, seconds)
        for number in range(1, int(seconds / interval) + 1):
            self.sorts[number % len(self.sorts)]()
            self.look(time.monotonic() - start)
            load.tend()
            if number % (60 // interval) == 0:
                self.tell_progress(seconds)
            time.sleep(max(0.0, start + number * interval - time.monotonic()))
        self.whole()
        laps = load.settled_laps()
        load.finish(self.row)
        self.row.figure(f"{sum(self.faults.values())} faults in {time.monotonic() - start:.0f} s "
                        f"({', '.join(f'{count} {what}' for what, count in sorted(self.faults.items()))})")
        self.come_to_rest()
        self.judge_memory(seconds)
        # Last, so that two hours have said the rest whatever a busy machine did in these two seconds.
        self.row.expect(all(lap["lost"] == lap["duplicates"] == 0 for lap in laps), f"after the last fault: {laps}")

    # --- faults

    def cut(self, one_way=False):
        link = self.dice.choice(sorted(self.lab.links))
        ends = [node for node, _ in self.lab.ends(link)]
        self.lab.cut(link, self.dice.choice(ends) if one_way else None)
        time.sleep(FAULT_S)
        self.lab.mend(link)
        self.faults["cables cut one way" if one_way else "cables cut"] += 1

    def cut_one_way(self):
        self.cut(one_way=True)

    def kill(self):
        node, role = self.dice.choice(FAULTED), self.dice.choice(("data", "control"))
        old = self.lab.kill(node, role)
        self.pids[node, role] = back(self.lab, node, role, old)
        self.faults[f"{role} planes killed"] += 1

    def freeze_control_plane(self):
        pid = self.pids[self.dice.choice(sorted(self.lab.nodes)), "control"]
        os.kill(pid, signal.SIGSTOP)
        time.sleep(FAULT_S)
        os.kill(pid, signal.SIGCONT)
        self.faults["control planes frozen"] += 1

    def restart(self):
        node, role = self.dice.choice(FAULTED), self.dice.choice(("data", "control"))
        self.lab.stop(node, role)
        time.sleep(FAULT_S)
        self.lab.start(node, role)
        self.pids[node, role] = wait_until(lambda: self.lab.pid(node, role), 10, f"{role} of {node} is back")
        self.faults[f"{role} planes restarted"] += 1

    def flood_handshakes(self):
        sender, device, victim, mac = self.wire()
        key = next(domain["nodes"][victim]["key"] for domain in self.domains if victim in domain["nodes"])
        source = bytes.fromhex(self.mac_of(sender, device).replace(":", ""))
        frames = initiations(bytes.fromhex(mac.replace(":", "")), source, key)
        pool = write_pool(self.folder / "initiations", frames)
        start_flood(self.lab.argv(sender), device, pool, FAULT_S, "mac").communicate()
        self.faults["handshake floods"] += 1

    def throw_garbage(self):
        sender, device, _, mac = self.wire()
        self.lab.run(sender, INJECT, device, "--to", mac, "--random", int(10_000 * FAULT_S), "--rate", 10_000,
                     "--seed", self.dice.randrange(1 << 30))
        self.faults["floods of garbage"] += 1

    def wire(self):
        """(sender, its device, who is at the other end, that one's MAC address)"""
        (sender, device), (victim, other) = self.dice.sample(self.lab.ends(self.dice.choice(sorted(self.lab.links))), 2)
        return sender, device, victim, self.mac_of(victim, other)

    def mac_of(self, node, device):
        return self.lab.run(node, "cat", f"/sys/class/net/{device}/address").stdout.strip()

    # --- judging

    def whole(self):
        """Every link up, every node healthy, both paths between the ends in use."""
        self.lab.wait_links(seconds=90)  # held down for a minute at most
        for node in self.lab.nodes:
            wait_until(lambda node=node: self.lab.healthy(node), 30, f"{node} is healthy")
        reach(self.lab, "a1", self.lab.addresses("d1")["ipv6"], seconds=30)
        wait_until(lambda: self.lab.live_circuits("a1", "d1", 2), 90, "two live circuits")

    def look(self, seconds):
        """Nobody ended but whom a fault ended; what the steady ones hold is written down."""
        def gone():
            return sorted(each for each, pid in self.pids.items() if self.lab.pid(*each) != pid)

        # Asked twice: a process that is just being executed has no command line yet.
        ended = gone() and (time.sleep(0.3) or gone())
        self.row.expect(not ended, f"processes ended by themselves: {ended}\n"
                        + "\n".join(self.lab.log(*each) for each in ended or []))
        self.samples.append((seconds, {(node, role): (own_kib(self.pids[node, role]),
                                                      len(os.listdir(f"/proc/{self.pids[node, role]}/fd")))
                                       for node in STEADY for role in ("data", "control")}))

    def tell_progress(self, seconds):
        at, held = self.samples[-1]
        memory = ", ".join(f"{node} {role} {kib} KiB" for (node, role), (kib, _) in held.items())
        print(f"# {at / 60:.0f} of {seconds / 60:.0f} min: {sum(self.faults.values())} faults, {memory}", flush=True)

    def come_to_rest(self):
        """Without load all that came in has gone out, and every buffer is home."""
        def at_rest(node):
            counters = self.lab.counters(node)
            return counters and counters["under_way"] == 0 and counters["buffers"] == counters["buffers_free"]

        for node in self.lab.nodes:
            wait_until(lambda node=node: at_rest(node), 20, lambda node=node: f"{node} is at rest: "
                       f"{self.lab.counters(node)}", every=0.02)
        received = sum(self.lab.counters(node)["received"] for node in self.lab.nodes)
        self.row.figure(f"accounting exact at {len(self.lab.nodes)} nodes, {received} frames since their starts")

    def judge_memory(self, seconds):
        """By the second half: in the first one tables and heaps reach the size that they need."""
        half = self.samples[len(self.samples) // 2:]
        hours, grown = (half[-1][0] - half[0][0]) / 3600, {}
        for who, (first, files) in half[0][1].items():
            last, open_files = half[-1][1][who]
            self.row.expect(open_files <= files + 8, f"{who}: {files} files open, then {open_files}")
            slope = slope_of([(at / 3600, held[who][0]) for at, held in half])
            grown[" ".join(who)] = (slope / first * min(hours, 1), f"{first} to {last} KiB")
        worst = max(grown, key=lambda who: grown[who][0])
        part, figures = grown[worst]
        span = "an hour" if hours >= 1 else f"in {hours * 60:.0f} min"
        self.row.figure(f"memory grew by {100 * part:.2f} % {span} at most ({worst}, {figures})")
        most = MOST_GROWTH if seconds >= LONG_S else MOST_GROWTH_SHORT
        self.row.expect(part < most, f"wanted below {100 * most:g} %, found {grown}")


def own_kib(pid):
    """Resident memory less what is shared: pages of the rings come in one by one, and their number is fixed."""
    status = dict(re.findall(r"^(VmRSS|RssShmem):\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.M))
    return int(status["VmRSS"]) - int(status["RssShmem"])


def slope_of(points):
    """Least squares, of y by x."""
    middle_x, middle_y = (sum(each) / len(points) for each in zip(*points))
    square = sum((x - middle_x) ** 2 for x, _ in points)
    return sum((x - middle_x) * (y - middle_y) for x, y in points) / square if square else 0.0


class Load:
    """Datagrams of two sizes both ways and to a node in between, and TCP that is made anew whenever it ended."""

    def __init__(self, lab, seconds):
        self.lab, self.tcp_runs, self.tcp_broken = lab, 0, 0
        here, there, between = (lab.addresses(node)["ipv6"] for node in ("a1", "d1", "b2"))
        options = {"seconds": seconds + 600}
        self.streams = [UdpStream(lab, "a1", "d1", there, 7001, 10, **options),
                        UdpStream(lab, "d1", "a1", here, 7002, 10, size=1200, **options),
                        UdpStream(lab, "g1", "b2", between, 7003, 20, size=600, **options)]
        self.tcp = None
        self.tend()

    def tend(self):
        # A lap over hours takes a second, of a probe that has real-time priority: routers on that core would stand still.
        for stream in self.streams:
            stream.lap()
        if self.tcp and self.tcp.client.poll() is None:
            return
        if self.tcp:
            self.tcp_broken += self.tcp.client.returncode != 0
            self.tcp.stop()
        self.tcp_runs += 1
        try:
            self.tcp = Iperf(self.lab, "d1", "a1", self.lab.addresses("a1")["ipv6"], 20, 5201, "-b", "5M")
        except (LabError, KeyError):  # a1 is being started
            self.tcp = None

    def settled_laps(self):
        """What is lost in 2 s without a fault: wanted is nothing."""
        for stream in self.streams:
            stream.lap()
        time.sleep(2)
        return [stream.lap() for stream in self.streams]

    def finish(self, row):
        if self.tcp:
            self.tcp.stop()
        results = [stream.finish() for stream in self.streams]
        row.figure(f"{sum(r['sent'] for r in results)} datagrams, "
                   f"{sum(r['lost'] for r in results)} lost by faults, "
                   f"{sum(r['duplicates'] for r in results)} twice; "
                   f"{self.tcp_runs} TCP flows, {self.tcp_broken} broken")
        row.expect(all(result["duplicates"] == 0 for result in results), f"{results}")
