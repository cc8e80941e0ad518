#!/usr/bin/python3
"""Both processes as their units run them: users of their own, no capability that is not needed, few system calls."""

import os
import re
import socket
import struct
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from cases import ROOT, Case, expect, finish, lab_up  # noqa: E402
from confined import users  # noqa: E402
from lablib import wait_until  # noqa: E402
from traffic import ping, reach  # noqa: E402

BUILD = Path(os.environ.get("SKYEDGE_BUILD", ROOT / "build")).resolve()
TWO_NODES = ROOT / "tests" / "netns" / "two-nodes.yaml"
CONFINED = ROOT / "tests" / "support" / "confined.py"
NET_ADMIN, IPC_LOCK = 1 << 12, 1 << 14
NOT_ALLOWED = 3
METRICS = "[::1]:9477"
METRICS_UNIT = ROOT / "conf" / "systemd" / "metrics.conf"


def confine(folder, etc):
    """A folder of programs that start the built ones confined, the control plane with the drop-in for metrics."""
    for program in ("skyedge-dataplane", "skyedge-controlplane"):
        unit = folder / f"{program}.service"
        unit.write_text((BUILD / "conf" / "systemd" / unit.name).read_text()
                        + (METRICS_UNIT.read_text() if program == "skyedge-controlplane" else ""))
        (folder / program).write_text(f"#!/bin/sh\nexec {sys.executable} {CONFINED} {unit} {etc} {BUILD / program} \"$@\"\n")
        (folder / program).chmod(0o755)
    (folder / "skyctl").symlink_to(BUILD / "skyctl")
    return folder


def threads(lab, node, role):
    """{thread: its lines of /proc} of a process."""
    return {f"{node} {role} {(task / 'comm').read_text().strip()}":
            dict(line.split(":\t", 1) for line in (task / "status").read_text().splitlines() if ":\t" in line)
            for task in Path(f"/proc/{lab.pid(node, role)}/task").iterdir()}


def expect_capabilities(lab, case):
    """None is left but for NET_ADMIN of the control plane, and IPC_LOCK where locked memory has a limit."""
    for node in lab.nodes:
        limits = Path(f"/proc/{lab.pid(node, 'data')}/limits").read_text()
        limited = not re.search(r"Max locked memory +unlimited", limits)
        for role, most in (("data", IPC_LOCK if limited else 0), ("control", NET_ADMIN)):
            for name, status in threads(lab, node, role).items():
                left = {key: int(status[key], 16) for key in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}
                expect(left["CapEff"] | most == most and left["CapPrm"] | most == most, f"{name} keeps {left}")
                expect(left["CapAmb"] == left["CapInh"] == 0, f"{name}: inheritable or ambient: {left}")
                expect(status["NoNewPrivs"] == "1", f"{name} may gain privileges")
            case.note(f"{node} {role} {len(threads(lab, node, role))} threads, 0x{most:x}")


def scrape(lab, node, path):
    """(HTTP status, body) of what is served to Prometheus, as seen from the node itself."""
    ask = f"""import http.client
connection = http.client.HTTPConnection("{METRICS}", timeout=5)
connection.request("GET", "{path}")
answer = connection.getresponse()
print(answer.status, answer.read().decode())"""
    status, _, text = lab.run(node, sys.executable, "-c", ask).stdout.partition(" ")
    return int(status), text


def attach_as(path, user, group):
    """What the dataplane answers to somebody: EACCES of the kernel, or the status of its reply."""
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        os.setgroups([])
        os.setgid(group)
        os.setuid(user)
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as peer:
            peer.settimeout(5)
            try:
                peer.connect(str(path))
                reply, descriptors, _, _ = socket.recv_fds(peer, 4096, 8)
                text = f"{struct.unpack_from('<I', reply, 44)[0]} {len(descriptors)}"
            except OSError as error:
                text = type(error).__name__
        os.write(writer, text.encode())
        os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader) as answer:
        return answer.read()


with tempfile.TemporaryDirectory() as folder:
    Path(folder).chmod(0o755)
    (programs := Path(folder, "build")).mkdir()
    etc = users(ROOT / "conf" / "systemd" / "skyedge.sysusers", Path(folder, "root"))
    ids = {name: int(user) for name, _, user, *_ in (line.split(":") for line in (etc / "passwd").read_text().splitlines())}
    os.environ["SKYEDGE_BUILD"] = str(confine(programs, etc))
    with lab_up(TWO_NODES, {"metrics": {"listen": METRICS}}) as lab:
        there = lab.addresses("b1")["ipv6"]
        with Case("confined, a ping between two nodes loses nothing") as case:
            reach(lab, "a1", there)
            expect((result := ping(lab, "a1", there, count=50, interval=0.02))["lost"] == 0, f"{result}")
        with Case("each process has its user, its filter, and no capability that it does not need") as case:
            for node in lab.nodes:
                for role, user in (("data", "skyedge-data"), ("control", "skyedge")):
                    for name, status in threads(lab, node, role).items():
                        expect(status["Uid"].split() == [str(ids[user])] * 4, f"{name} runs as {status['Uid']}")
                        expect(status["Seccomp"] == "2", f"{name} has no filter")
            expect_capabilities(lab, case)
        with Case("metrics tell of the links, and of nothing else than they are asked") as case:
            for node in lab.nodes:
                status, text = scrape(lab, node, "/metrics")
                expect(status == 200 and re.search(r"^skyedge_link_up\{link=\"\S+\"\} 1$", text, re.M), f"{status} {text}")
                expect(scrape(lab, node, "/v1/links")[0] == 404, "another path is answered")
            case.note(f"{sum(not line.startswith('#') for line in text.splitlines())} series")
        with Case("killed, both come back by themselves") as case:
            for role in ("data", "control"):
                lab.kill("a1", role)
            wait_until(lambda: lab.pid("a1", "data") and lab.pid("a1", "control"), 5, "both run again")
            lab.wait_links(20)
            reach(lab, "a1", there, seconds=20)
        with Case("the dataplane's socket is closed to others, and those whom it lets in are asked who they are") as case:
            path = lab.path / "a1" / "dataplane.sock"
            mode = path.stat().st_mode & 0o777
            nobody, group = ids["nobody"], path.stat().st_gid
            found = attach_as(path, nobody, 65534)
            expect(found == "PermissionError", f"another user and group: {found}")
            lab.stop("a1", "control")
            found = attach_as(path, nobody, group)
            expect(found == f"{NOT_ALLOWED} 0", f"another user of its group: {found}")
            lab.start("a1", "control")
            case.note(f"mode {mode:o}")
            wait_until(lambda: lab.healthy("a1"), 15, "a1 is healthy again")

    os.environ["SKYEDGE_BUILD"] = str(BUILD)
    with lab_up(TWO_NODES) as lab, Case("started by root, both give up the same") as case:
        expect_capabilities(lab, case)

finish()
