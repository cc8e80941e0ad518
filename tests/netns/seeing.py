#!/usr/bin/python3
"""Packets looked at where they pass: traced, captured, and opened with the keys that a laboratory writes."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from cases import ROOT, Case, expect, finish, lab_up  # noqa: E402
from traffic import Ping, capture_wires, ping, reach  # noqa: E402
from lablib import wait_until  # noqa: E402

LUA = ROOT / "conf" / "wireshark" / "skyedge.lua"
COUNT = 20


def shown(path, *fields, only=None):
    """One dictionary of lists of texts a packet, of those fields that it has."""
    words = [word for name in fields for word in ("-e", name)]
    only = ["-Y", only] if only else []
    done = subprocess.run(["tshark", "-X", f"lua_script:{LUA}", "-n", "-r", str(path), *only, "-T", "json", *words],
                          capture_output=True, text=True)
    expect(done.returncode == 0, done.stderr)
    return [packet["_source"].get("layers", {}) for packet in json.loads(done.stdout)]


def capture(lab, node, path, *words):
    """skyctl capture, running."""
    return lab.popen(node, *lab.skyctl_argv(node, "capture", "--write", path, *words), stdout=subprocess.PIPE,
                     stderr=subprocess.PIPE)


def begun(lab, node, path, *words):
    """The same, once the dataplane was asked: then the file begins."""
    process = capture(lab, node, path, *words)
    wait_until(lambda: path.exists() and path.stat().st_size > 0, 10, "a capture")
    return process


def open_capture(*files):
    program = ROOT / "scripts" / "open-capture"
    return subprocess.run([program, *files], capture_output=True, text=True, check=True).stdout


def ended(process, seconds=15):
    out, error = process.communicate(timeout=seconds)
    expect(process.returncode == 0, f"exit code {process.returncode}: {out} {error}")
    return out, error


with tempfile.TemporaryDirectory() as folder:
    folder = Path(folder)
    with lab_up(ROOT / "tests" / "netns" / "two-nodes.yaml",
                router={"laboratory": True, "dataplane": {"key_log": "keys.log"}}) as lab:
        keys = lab.path / "a1" / "keys.log"  # one node's keys are those of both directions
        address = lab.addresses("b1")["ipv6"]
        reach(lab, "a1", address)

        with Case("a ping's way through both nodes, stage by stage"):
            pinging = Ping(lab, "a1", address, interval=0.1)
            there = lab.skyctl("b1", "trace-packets", "--match", "type=datagram", "--count", "1").stdout
            back = lab.skyctl("b1", "trace-packets", "-o", "json", "--match", "type=datagram", "--count", "6").stdout
            pinging.finish()
            for words in ("open       next; port a1-b1, link a1-b1, worker 0", "route      egress",
                          "egress     delivered", "datagram, route 0x", f"to {address}, next header 58"):
                expect(words in there, f"no {words!r} in:\n{there}")
            records = [json.loads(line) for line in back.splitlines()]
            stages = {record["packet"]: [] for record in records}
            for record in records:
                stages[record["packet"]].append((record["stage"], record["verdict"]))
            expect(len(stages) == 6, f"packets {sorted(stages)}, wanted six")
            arrives = [("open", "next"), ("route", "egress"), ("egress", "delivered")]
            leaves = [("ingress", "next"), ("seal", "next"), ("transmit", "next")]
            expect({tuple(way) for way in stages.values()} == {tuple(arrives), tuple(leaves)}, f"{stages}")

        with Case("pcapng of every point, read by tshark: interfaces, comments, opened packets") as case:
            file = folder / "points.pcapng"
            taking = capture(lab, "b1", file, "--point", "rx", "--point", "tx", "--point", "opened", "--count", "200")
            pinging = Ping(lab, "a1", address, interval=0.02)
            out, error = ended(taking)
            pinging.finish()
            packets = shown(file, "frame.interface_name", "frame.comment", "skyedge.kind", "skyedge.type", "ipv6.dst")
            expect(len(packets) == 200, f"{len(packets)} packets; {error}")
            names = {packet["frame.interface_name"][0] for packet in packets}
            expect(names == {"a1-b1", "a1-b1 opened"}, f"interfaces {names}")
            comments = [packet["frame.comment"][0] for packet in packets]
            for start in ("receive next; port a1-b1", "transmit next; port a1-b1, link a1-b1",
                          "open next; port a1-b1, link a1-b1", "egress delivered; port a1-b1, link a1-b1"):
                expect(any(comment.startswith(start) for comment in comments), f"no comment {start!r}: {comments[:9]}")
            inside = [packet for packet in packets if address in packet.get("ipv6.dst", [])]
            expect(inside and all("egress delivered" in each["frame.comment"][0] for each in inside), "no pings open")
            sealed = [packet for packet in packets if packet["frame.interface_name"] == ["a1-b1"]]
            expect(all("skyedge.kind" in each and "skyedge.type" not in each for each in sealed), "open on the wire")
            case.note(f"{len(inside)} pings opened end to end among {len(packets)}")

        with Case("what is dropped, with its reason, through a pipe into tshark"):
            wire = dict(lab.ends("a1-b1"))
            taking = lab.popen("b1", "sh", "-c", " ".join(map(str, lab.skyctl_argv(
                "b1", "capture", "--point", "dropped", "--match", "drop=unknown_link", "--count", "3"))) +
                " | tshark -r - -T fields -e frame.comment -e frame.len",
                stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            header = "ffffffffffff" "020000000001" "88b5" "10320000" "00004444"  # of a link that nobody has
            frame = bytes.fromhex(header) + bytes(80)
            sending = lab.popen("a1", "/usr/bin/python3", "-c", f"""
import socket, time
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
wire.bind(("{wire['a1']}", 0))
for _ in range(150):
    wire.send(bytes.fromhex("{frame.hex()}"))
    time.sleep(0.1)
""")
            out, error = ended(taking)
            sending.kill()
            sending.wait()
            lines = out.splitlines()
            expect(len(lines) == 3, f"{out} {error}")
            for line in lines:
                expect(line.startswith("classify drop: unknown_link; port a1-b1, worker 0"), line)
                expect(line.endswith(f"\t{len(frame)}"), line)

        with Case("one looks at a time, and one who went away is not waited for"):
            looking = begun(lab, "b1", folder / "first", "--point", "dropped")
            second = lab.skyctl("b1", "trace-packets", "--count", "1", check=False)
            expect(second.returncode == 2 and "watches packets already" in second.stderr, f"{second}")
            looking.kill()
            looking.communicate()
            wait_until(lambda: lab.skyctl("b1", "trace-packets", "--count", "1", check=False).returncode == 0, 10,
                       "a place for the next one")
            looking = begun(lab, "b1", folder / "third", "--point", "dropped")
            looking.terminate()
            ended(looking)
            lab.skyctl("b1", "trace-packets", "--count", "1")

        with Case("who may only read sees no packets"):
            done = lab.run("b1", "setpriv", "--reuid", "65534", "--clear-groups", "--regid", "0",
                           *lab.skyctl_argv("b1", "trace-packets", "--count", "1"), check=False)
            expect(done.returncode == 2 and "only root" in done.stderr, f"{done}")

        with Case("the laboratory's key log opens what was on the wire, end to end") as case:
            wires = capture_wires(lab, folder)
            result = ping(lab, "a1", address, count=COUNT, interval=0.02)
            data = [wire.finish() for wire in wires][0]
            expect(result["lost"] == 0, f"{result}")
            (folder / "wire.pcap").write_bytes(data)
            expect(os.stat(keys).st_mode & 0o777 == 0o600, "others may read the keys")
            said = open_capture(keys, folder / "wire.pcap", folder / "opened.pcapng")
            case.note(said.strip())
            pings = shown(folder / "opened.pcapng", "ipv6.dst", "icmpv6.type", only="icmpv6")
            kinds = [packet["icmpv6.type"][0] for packet in pings]
            expect((kinds.count("128"), kinds.count("129")) == (COUNT, COUNT), f"{kinds}")
            sealed = shown(folder / "wire.pcap", "icmpv6.type", only="icmpv6")
            expect(sealed == [], "they could be read without keys")

        with Case("captures of the dataplane pass through open-capture"):
            file = folder / "mixed.pcapng"
            taking = capture(lab, "b1", file, "--point", "rx", "--point", "opened", "--count", "60")
            ping(lab, "a1", address, count=COUNT, interval=0.02)
            ended(taking)
            open_capture(keys, file, folder / "both.pcapng")
            wanted = shown(file, "ipv6.dst", only="icmpv6")
            got = shown(folder / "both.pcapng", "ipv6.dst", only="icmpv6")
            expect(len(got) >= 2 * len(wanted) > 0, f"{len(got)} pings, {len(wanted)} of them opened before")

    with Case("without laboratory there is no key log, and the file says so"):
        check = folder / "router.yaml"
        sample = (ROOT / "conf" / "router.yaml").read_text()
        check.write_text(sample.replace("  hugepages: false", "  key_log: keys.log\n  hugepages: false"))
        build = Path(os.environ.get("SKYEDGE_BUILD") or ROOT / "build")
        done = subprocess.run([build / "skyedge-dataplane", "--check", "--config", check],
                              capture_output=True, text=True)
        expect(done.returncode == 2 and "dataplane.key_log: found a key log" in done.stderr, f"{done}")

finish()
