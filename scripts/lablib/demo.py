"""The steps of scripts/demo. Needs root (network namespaces, TUN); no NIC, no hugepages, no configuration."""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(1, str(Path(__file__).resolve().parents[2] / "tests" / "support"))
from lablib import ROOT, Lab, LabError, table, wait_until  # noqa: E402
from traffic import Capture, Iperf, Ping, UdpStream, capture_wires, captured_frames, ping, reach  # noqa: E402

TOPOLOGY = ROOT / "conf" / "lab" / "four-domains.yaml"
BUILD = os.environ.get("SKYEDGE_BUILD")  # a folder with programs built before; else scripts/setup builds them
HERE, THERE = "a1", "d1"
MARKER = "SKYEDGE-MARKER-1"  # 16 bytes: what ping repeats in its payload
MOST_SILENCE_MS = 120
KEPT = """
The lab {name} is still running. Try:
  scripts/lab status
  scripts/lab skyctl a1 show circuits          scripts/lab skyctl a1 trace d1
  scripts/lab exec a1 ping {address}
  scripts/lab cut g1-d1                        scripts/lab mend g1-d1
  scripts/lab kill g1 control                  scripts/lab kill g1 data
  scripts/lab down"""
BOLD, GREEN, RED, PLAIN = ("\033[1m", "\033[32m", "\033[31m", "\033[0m") if sys.stdout.isatty() else ("",) * 4


def say(text):
    print(f"  {text}", flush=True)


def show(rows):
    print("\n".join(f"    {line}" for line in table(rows).splitlines()), flush=True)


def need(condition, text):
    """Fails the step with the text unless the condition holds."""
    if not condition:
        raise LabError(text)


class Demo:
    """The steps, in the order of this class's methods named step_*; each returns the figure for the summary."""

    def __init__(self):
        self.lab = None

    def step_1(self):
        """links up and keyed"""
        self.lab = Lab.up(TOPOLOGY, build=BUILD, say=say)
        rows = [("link", "ends", "state", "send epoch", "round trip")]
        for link, ends in self.lab.links.items():
            row = next(row for row in self.lab.show(ends[0][0], "links") if row["link"] == link)
            pair = " - ".join(node for node, _ in ends)
            rows.append((link, pair, row["state"], row["send_epoch"], milliseconds(row["rtt_us"])))
        show(rows)
        self.address = self.lab.addresses(THERE)
        return f"{len(self.lab.links)} links, {len(self.lab.nodes)} routers"

    def step_2(self):
        """circuits found: two, disjoint, hop by hop"""
        say(f"the first packet from {HERE} to {THERE} asks for them")
        reach(self.lab, HERE, self.address["ipv6"])
        circuits = self.two_circuits()
        traced = {row["circuit"]: row["hops"] for row in self.lab.trace(HERE, THERE)}
        show([("circuit", "use", "hop by hop, with the round trip to each"),
              *((row["circuit"][:8], "active" if row["weight"] else "standby", walk(traced[row["circuit"]]))
                for row in circuits)])
        need(all([hop["node"] for hop in traced[row["circuit"]]] == row["nodes"] for row in circuits),
             "a trace names other hops")
        links = [set(row["links"]) for row in circuits]
        transit = [set(row["nodes"][1:-1]) for row in circuits]
        need(not links[0] & links[1] and not transit[0] & transit[1], "the two circuits share a link or a node")
        return "2 circuits, no common link or transit node"

    def two_circuits(self, seconds=15):
        """The live circuits from here to there, once there are two."""
        return wait_until(lambda: self.lab.live_circuits(HERE, THERE, 2), seconds,
                          f"two live circuits from {HERE} to {THERE}")

    def step_3(self):
        """ping by Skywire address, IPv6 and IPv4"""
        rows = [("to", "address", "sent", "received", "round trip")]
        for sort in ("skywire", "ipv6", "ipv4"):
            result = ping(self.lab, HERE, self.address[sort], count=5, interval=0.1)
            rows.append((sort, self.address[sort], result["sent"], result["received"], f"{result['rtt_ms']} ms"))
        show(rows)
        need(all(row[2] == row[3] for row in rows[1:]), "not every ping was answered")
        return f"{sum(row[3] for row in rows[1:])} of {sum(row[2] for row in rows[1:])} answered"

    def step_4(self):
        """a marker in the payload is nowhere on any wire"""
        with tempfile.TemporaryDirectory() as folder:
            wires = capture_wires(self.lab, folder)
            inside = [Capture(self.lab, node, "sky0", Path(folder) / f"{node}-sky0.pcap") for node in (HERE, THERE)]
            sender = UdpStream(self.lab, HERE, THERE, self.address["ipv6"], marker=MARKER, size=512, interval_ms=5)
            ping(self.lab, HERE, self.address["ipv4"], count=10, interval=0.1, pattern=MARKER.encode().hex())
            sender.finish()
            found = [(capture.name, kind, capture.finish()) for kind, group in (("wire", wires), ("inside", inside))
                     for capture in group]
        rows = [(name, kind, captured_frames(data), data.count(MARKER.encode())) for name, kind, data in found]
        show([("captured at", "which is", "frames", "markers"), *rows])
        need(all(row[3] for row in rows if row[1] == "inside"), "the search does not even find the marker in plain IP")
        need(not any(row[3] for row in rows if row[1] == "wire"), "the marker is on a wire")
        need(sum(row[2] for row in rows if row[1] == "wire") > 100, "nearly no frames on the wires")
        return f"on {len(wires)} wire ends 0 times, inside {sum(row[3] for row in rows)} times"

    def step_5(self):
        """the active path is cut under iperf3 (TCP, 10 s) and a 1 ms UDP probe"""
        lab, address = self.lab, self.address["ipv6"]
        iperf = Iperf(lab, HERE, THERE, address, seconds=10)
        time.sleep(1)
        path = lab.busy_path(HERE, THERE)
        say(f"iperf3 and the probe run over {' '.join(path)}")
        probe = UdpStream(lab, HERE, THERE, address)
        time.sleep(2)
        lab.cut(path[-1])
        say(f"{path[-1]} is cut: its interfaces stay up, every frame is discarded")
        time.sleep(3)
        after = lab.busy_path(HERE, THERE)
        say(f"the traffic runs over {' '.join(after)}; {path[-1]} is mended")
        lab.mend(path[-1])
        tcp, udp = iperf.finish(), probe.finish()
        show([("traffic", "figure"),
              ("iperf3 TCP", f"{tcp['gbit_s']} Gbit/s over {tcp['seconds']} s, the connection lived"),
              ("UDP, 1 each ms", f"{udp['sent']} sent, {udp['lost']} lost"),
              ("longest silence", f"{udp['silence_ms']} ms (at most {MOST_SILENCE_MS})")])
        need(not set(path) & set(after), f"the traffic did not leave {path}: {after}")
        need(udp["lost"] and udp["silence_ms"] <= MOST_SILENCE_MS, f"silence of {udp['silence_ms']} ms")
        self.two_circuits()
        return f"silence {udp['silence_ms']} ms, TCP {tcp['gbit_s']} Gbit/s"

    def step_6(self):
        """the control plane of a transit node is killed under traffic"""
        lab, before, setups = self.lab, self.two_circuits(), self.setups()
        node = before[0]["nodes"][1]
        flow = Ping(lab, HERE, self.address["ipv6"], count=400, interval=0.01)
        probe = UdpStream(lab, HERE, THERE, self.address["ipv6"], port=7006)
        time.sleep(1)
        old, start = lab.kill(node, "control"), time.monotonic()
        wait_until(lambda: lab.pid(node, "control") not in (0, old) and lab.healthy(node), 15, f"{node} is healthy")
        back = time.monotonic() - start
        pinged, udp = flow.finish(wait=True), probe.finish()
        lost = pinged["lost"] + udp["lost"]
        again = sum(count - (0 if name == node else setups[name]) for name, count in self.setups().items())
        show([("what", "figure"), ("killed", f"{node} control plane, process {old}, now {lab.pid(node, 'control')}"),
              ("attached and healthy", f"after {back:.1f} s"),
              ("ping each 10 ms", f"{pinged['sent']} sent, {pinged['lost']} lost"),
              ("UDP, 1 each ms", f"{udp['sent']} sent, {udp['lost']} lost"), ("SETUPs since", again)])
        need(lost == 0, f"{lost} packets lost")
        need(again == 0 and ids(before) == ids(self.two_circuits()), "circuits were signalled again")
        return f"0 of {pinged['sent'] + udp['sent']} lost, back after {back:.1f} s"

    def setups(self):
        """{node: SETUP messages that its control plane has sent since it started}"""
        return {node: self.lab.counters(node)["setups_sent"] for node in self.lab.nodes}

    def step_7(self):
        """the dataplane of a transit node is killed under traffic"""
        lab, node = self.lab, self.two_circuits()[0]["nodes"][1]
        keys, routes = lab.link_keys(node), lab.route_ids()
        probe = UdpStream(lab, HERE, THERE, self.address["ipv6"], port=7007)
        time.sleep(1)
        path = lab.busy_path(HERE, THERE)
        start = time.monotonic()
        lab.kill(node, "data")
        time.sleep(0.2)
        after = lab.busy_path(HERE, THERE, seconds=0.1)
        lab.wait_links(seconds=20)
        keyed = time.monotonic() - start
        self.two_circuits(seconds=20)
        whole = time.monotonic() - start
        udp = probe.finish()
        show([("what", "figure"), ("killed", f"{node} dataplane"), ("traffic before", " ".join(path)),
              ("traffic after 0.2 s", " ".join(after)), ("links keyed again", f"after {keyed:.1f} s"),
              ("both circuits whole", f"after {whole:.1f} s, with the same route IDs"),
              ("UDP, 1 each ms", f"{udp['sent']} sent, {udp['lost']} lost"),
              ("longest silence", f"{udp['silence_ms']} ms (at most {MOST_SILENCE_MS})")])
        need(not set(path) & set(after), f"the traffic did not leave {path}")
        need(udp["silence_ms"] <= MOST_SILENCE_MS, f"silence of {udp['silence_ms']} ms")
        need(not keys & lab.link_keys(node), "an old key is in use again")
        need(lab.route_ids() == routes, "the circuits are others")
        return f"silence {udp['silence_ms']} ms, whole after {whole:.1f} s"


def walk(hops):
    """a1 -[a1-g1]- g1 (0.4 ms) ..."""
    return " ".join(f"-[{hop['link']}]- {hop['node']} ({milliseconds(hop['delay_us'])})" if hop["link"] else hop["node"]
                    for hop in hops)


def milliseconds(us):
    return "no answer" if us is None else f"{us / 1000:.1f} ms"


def ids(circuits):
    return {row["circuit"] for row in circuits}


def main():
    parser = argparse.ArgumentParser(prog="scripts/demo", description="Shows Skyedge at work on this machine.")
    parser.add_argument("--keep", action="store_true", help="leave the lab running at the end")
    options = parser.parse_args()
    # An interrupt, a closed terminal, `kill`: each cleans up, once.
    endings = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for number in endings:
        signal.signal(number, lambda *_: sys.exit(130))
    if not BUILD and subprocess.run([ROOT / "scripts" / "setup"]).returncode:
        return 1
    demo = Demo()
    try:
        return run_steps(demo)
    finally:
        for number in endings:
            signal.signal(number, signal.SIG_IGN)
        if demo.lab and options.keep:
            print(KEPT.format(name=demo.lab.name, address=demo.lab.addresses(THERE).get("ipv6")))
        elif demo.lab:
            demo.lab.down()


def run_steps(demo):
    """Each step in turn; one that fails does not stop the next, unless there is no lab."""
    steps = [step for name, step in sorted(vars(Demo).items()) if name.startswith("step_")]
    rows, start = [], time.monotonic()
    for number, step in enumerate(steps, 1):
        print(f"\n{BOLD}[{number}/{len(steps)}] {step.__doc__}{PLAIN}", flush=True)
        began = time.monotonic()
        try:
            figure, word = step(demo), "ok"
        except Exception as error:  # whatever it is: the steps after it still run, and the summary is printed
            text = str(error) if isinstance(error, LabError) else f"{type(error).__name__}: {error}"
            figure, word = text.splitlines()[0], "FAILED"
            say(f"{RED}failed: {text}{PLAIN}")
        rows.append((word, step.__doc__, figure, f"{time.monotonic() - began:.1f} s"))
        if demo.lab is None:
            break
    failed = sum(row[0] != "ok" for row in rows) + len(steps) - len(rows)
    print(f"\n{BOLD}Summary{PLAIN}")
    show([("", "step", "figure", "time"), *rows])
    verdict = f"{RED}{failed} of {len(steps)} steps failed" if failed else f"{GREEN}all {len(steps)} steps passed"
    print(f"{verdict}{PLAIN} in {time.monotonic() - start:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
