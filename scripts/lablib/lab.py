"""The lab itself: namespaces, veth pairs, two processes a node; what can be asked of it and done to it."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import yaml

from .config import merge, plan, read_topology, router_settings, set_key
from .processes import SUPERVISOR, alive, end_groups, signal_process
from .tools import LabError, run, wait_until
from .wires import SORTS, attach, join

ROOT = Path(__file__).resolve().parents[2]
STATE = Path("/run/skyedge-lab")
ROLES = {"data": "skyedge-dataplane", "control": "skyedge-controlplane"}


def labs():
    """Names of the labs that exist."""
    return sorted(path.name for path in STATE.glob("*"))


def remove(name):
    """Removes a lab's processes, namespaces (with them every veth) and files; also one that is only half there."""
    path = STATE / name
    end_groups(list(path.glob("*/*.loop")), f"sky.{name}.")
    spaces = [line.split()[0] for line in run("ip", "netns", "list").stdout.splitlines() if line]
    for space in (each for each in spaces if each.startswith(f"sky.{name}.")):
        for pid in run("ip", "netns", "pids", space, check=False).stdout.split():
            signal_process(int(pid), signal.SIGKILL)
        run("ip", "netns", "del", space)
    shutil.rmtree(path, ignore_errors=True)


class Lab:
    """One lab. Made by Lab.up or found again by Lab.open; `with` takes it down at the end."""

    def __init__(self, name, state):
        self.name = name
        self.path = STATE / name
        self._mark = f"sky.{name}."  # what the command line of each supervisor holds
        self.build = Path(state["build"])
        self.nodes = state["nodes"]  # name -> {"domain"}
        self.links = state["links"]  # name -> [(node, device), (node, device)]
        self.ports = state["ports"]  # one of wires.SORTS
        self.mtu = state["mtu"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.down()

    # --- making and removing -----------------------------------------------------------------------------------

    @classmethod
    def up(cls, topology_file, name=None, router=None, build=None, say=lambda text: None, ports="packet", mtu=1500):
        """Builds the lab and returns it when every link is up. `router` is merged over each node's router.yaml, or what
        it returns for a node; `ports` is one of wires.SORTS, `mtu` theirs."""
        if ports not in SORTS:
            raise LabError(f"ports {ports!r}: wanted one of {', '.join(SORTS)}")
        if os.geteuid() != 0:
            raise LabError("network namespaces need root: run it with sudo")
        build = Path(build or ROOT / "build").resolve()
        for program in (*ROLES.values(), "skyctl"):
            if not (build / program).exists():
                raise LabError(f"{build / program} is missing: run scripts/setup")
        topology = read_topology(topology_file)
        name = _claim_name(name, Path(topology_file).stem)
        lab = cls(name, {"build": str(build), "ports": ports, "mtu": mtu, **plan(topology)})
        try:
            lab._write_state()
            lab._make_network(say)
            lab._write_configuration(topology, router or {})
            lab._start_all(say)
            lab.wait_links(say=say)
        except BaseException:
            lab.down()
            raise
        return lab

    @classmethod
    def open(cls, name=None):
        """The lab of that name, or the only one there is."""
        there = labs()
        if name is None and len(there) != 1:
            raise LabError(f"which lab? --name one of: {', '.join(there)}" if there else "no lab is up")
        name = name or there[0]
        if not (STATE / name / "state.json").exists():
            raise LabError(f"no lab named {name}; there is: {', '.join(there) or 'none'}")
        return cls(name, json.loads((STATE / name / "state.json").read_text()))

    def down(self):
        """Removes all of it. Safe to repeat."""
        remove(self.name)

    def _write_state(self):
        state = {"build": str(self.build), "nodes": self.nodes, "links": self.links, "ports": self.ports,
                 "mtu": self.mtu}
        (self.path / "state.json").write_text(json.dumps(state, indent=1))

    def _make_network(self, say):
        cables = {} if self.ports == "memif" else self.links
        say(f"{len(self.nodes)} namespaces, {len(cables)} veth pairs, {self.ports} ports")
        for node in self.nodes:
            run("ip", "netns", "add", self.space(node))
            run("ip", "-n", self.space(node), "link", "set", "lo", "up")
        for (node_a, device_a), (node_b, device_b) in cables.values():
            join(self.space(node_a), device_a, self.space(node_b), device_b, self.mtu)
        for node in self.nodes:
            devices = [device for ends in cables.values() for end, device in ends if end == node]
            for number, device in enumerate(devices):
                attach(self.ports, self.space(node), number, device, self.mtu)

    def _write_configuration(self, topology, router):
        for number, node in enumerate(self.nodes):
            folder = self.path / node
            folder.mkdir()
            key = run(self.build / "skyctl", "keygen", folder / "key").stdout.strip()
            set_key(topology, node, key)
            own = router(node) if callable(router) else router
            settings = merge(router_settings(self.path, self.links, node, number, self.ports, self.mtu), own)
            (folder / "router.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
        (self.path / "topology.yaml").write_text(yaml.safe_dump(topology, sort_keys=False))

    # --- processes ---------------------------------------------------------------------------------------------

    def _start_all(self, say):
        say(f"{len(self.nodes) * len(ROLES)} processes")
        for node in self.nodes:
            for role in ROLES:
                self.start(node, role)

    def start(self, node, role):
        """Starts a process under its supervisor, unless it has one already."""
        loop = self._file(node, role, "loop")
        if alive(loop, self._mark):
            return
        command = ["ip", "netns", "exec", self.space(node), self.build / ROLES[role], "--config",
                   self.path / node / "router.yaml"]
        words = ["/bin/sh", "-c", SUPERVISOR, f"sky.{self.name}.{node}.{role}", self._file(node, role, "log"),
                 self._file(node, role, "pid"), *command]
        child = subprocess.Popen([str(word) for word in words], start_new_session=True, stdin=subprocess.DEVNULL,
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        loop.write_text(f"{child.pid}\n")

    def stop(self, node, role, number=signal.SIGTERM):
        """Ends a process and its supervisor, by that signal: it stays away until `start`."""
        end_groups([self._file(node, role, "loop")], self._mark, number=number)

    def kill(self, node, role):
        """SIGKILL to the process alone; its supervisor starts it again 200 ms later. Returns the PID killed."""
        pid = self.pid(node, role)
        if not pid:
            raise LabError(f"{node} {role}: not running")
        os.kill(pid, signal.SIGKILL)
        return pid

    def pid(self, node, role):
        """PID of the running process, or 0."""
        return alive(self._file(node, role, "pid"), ROLES[role])

    def log(self, node, role, lines=8):
        """The last lines that a process wrote."""
        path = self._file(node, role, "log")
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else ""

    def _file(self, node, role, kind):
        if node not in self.nodes or role not in ROLES:
            raise LabError(f"no {role} of {node}: nodes are {', '.join(self.nodes)}, roles {', '.join(ROLES)}")
        return self.path / node / f"{role}.{kind}"

    # --- asking ------------------------------------------------------------------------------------------------

    def space(self, node):
        """The node's network namespace."""
        if node not in self.nodes:
            raise LabError(f"no node {node} in lab {self.name}: there is {', '.join(self.nodes)}")
        return f"sky.{self.name}.{node}"

    def argv(self, node, *words):
        return ["ip", "netns", "exec", self.space(node), *(str(word) for word in words)]

    def run(self, node, *words, **options):
        """Runs a program in the node's namespace to its end."""
        return run(*self.argv(node, *words), **options)

    def popen(self, node, *words, **options):
        """Starts a program in the node's namespace."""
        return subprocess.Popen(self.argv(node, *words), text=True, **options)

    def skyctl_argv(self, node, *words):
        self.space(node)
        return [str(word) for word in (self.build / "skyctl", "--socket", self.path / node / "api.sock", *words)]

    def skyctl(self, node, *words, check=True, timeout=10):
        """Runs skyctl against the node."""
        return run(*self.skyctl_argv(node, *words), check=check, timeout=timeout)

    def show(self, node, what):
        """`skyctl show WHAT` as data, or None when the node does not answer."""
        done = self.skyctl(node, "show", what, "-o", "json", check=False)
        return json.loads(done.stdout) if done.returncode == 0 else None

    def addresses(self, node):
        """{"skywire", "ipv6", "ipv4"}: the first address of each sort on the node's TUN, as the kernel has them."""
        done = self.run(node, "ip", "-j", "addr", "show", "dev", "sky0", "scope", "global", check=False)
        found = {}
        interfaces = json.loads(done.stdout) if done.returncode == 0 else []
        for item in (each for interface in interfaces for each in interface.get("addr_info", []) if each):
            sort = "ipv4" if item["family"] == "inet" else "skywire" if item["local"].startswith("fc") else "ipv6"
            found.setdefault(sort, item["local"])
        return found

    def healthy(self, node):
        return self.skyctl(node, "health", check=False).returncode == 0

    def live_circuits(self, source, target, least=1):
        """Rows of `show circuits` that may carry traffic from source to target, the one in use first; None while there
        are fewer than `least`. A circuit serves both its ends, whoever made it: what the source made has the role
        ingress, what the target made egress."""
        ends = {"ingress": (source, target), "egress": (target, source)}
        rows = [row for row in self.show(source, "circuits") or []
                if (row["from"], row["to"]) == ends.get(row["role"]) and row["state"] == "up" and row.get("live")]
        return sorted(rows, key=lambda row: -row["weight"]) if len(rows) >= least else None

    def route_ids(self):
        """{(node, circuit): the route IDs that the node gave its two neighbours}"""
        return {(node, row["circuit"]): (row["route_from_upstream"], row["route_from_downstream"])
                for node in self.nodes for row in self.show(node, "circuits")}

    def trace(self, source, target):
        """[{"circuit", "hops": [{"node", "link", "delay_us"}]}]: each circuit as its hops themselves answer."""
        return json.loads(self.skyctl(source, "trace", target, "-o", "json").stdout)["circuits"]

    def counters(self, node):
        return self.show(node, "counters")

    def drops(self, node):
        return self.show(node, "drops")

    def epochs(self, node):
        """{link: epoch of the key that the node sends with}."""
        return {row["link"]: row["send_epoch"] for row in self.show(node, "links")}

    def link_keys(self, node):
        """Names of the key chains in use on the node's links."""
        return {row["key_id"] for row in self.show(node, "links")}

    def flaps(self):
        """{(node, link): times it went down}."""
        return {(node, row["link"]): row["flaps"] for node in self.nodes for row in self.show(node, "links")}

    def give_identity(self, node, key_file, public_key):
        """Makes a node believe in another key of its own, which no other node knows; takes effect at its next start."""
        folder = self.path / node
        topology = read_topology(self.path / "topology.yaml")
        set_key(topology, node, public_key)
        (folder / "topology.yaml").write_text(yaml.safe_dump(topology, sort_keys=False))
        settings = yaml.safe_load((folder / "router.yaml").read_text())
        settings |= {"identity": str(key_file), "topology": str(folder / "topology.yaml")}
        (folder / "router.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))

    def links_up(self):
        """(ends of links that are up, all ends)."""
        states = [link["state"] for node in self.nodes for link in self.show(node, "links") or []]
        return states.count("up"), 2 * len(self.links)

    def wait_links(self, seconds=30, say=lambda text: None):
        """Waits until both ends of every link are up."""
        seen = [None]

        def ready():
            self._check_supervisors()
            up, ends = self.links_up()
            if seen[0] != up:
                say(f"{up}/{ends} link ends up")
            seen[0] = up
            return up == ends

        wait_until(ready, seconds, lambda: f"all links up ({seen[0]}/{2 * len(self.links)} ends)\n{self._sick_logs()}",
                   every=0.1)

    def _check_supervisors(self):
        for node in self.nodes:
            for role in ROLES:
                loop = self._file(node, role, "loop")
                # Asked twice: a process that is just being executed has no command line yet.
                if not alive(loop, self._mark) and (time.sleep(0.1) or not alive(loop, self._mark)):
                    raise LabError(f"{node}: {ROLES[role]} refuses its configuration:\n{self.log(node, role)}")

    def _sick_logs(self):
        """The last lines of each node that has a link down."""
        def well(node):
            links = self.show(node, "links")
            return links and all(link["state"] == "up" for link in links)

        sick = [node for node in self.nodes if not well(node)]
        return "\n".join(f"--- {node} {role}\n{self.log(node, role, 4)}" for node in sick for role in ROLES)

    # --- wires -------------------------------------------------------------------------------------------------

    def ends(self, link):
        if link not in self.links:
            raise LabError(f"no link {link} in lab {self.name}: there is {', '.join(self.links)}")
        return self.links[link]

    def cut(self, link, sender=None):
        """Discards every frame on the link, or only those that `sender` sends; carrier and interfaces stay up.

        A filter at each sender's egress returns TC_ACT_STOLEN (4): the sender is told that all went well. TC_ACT_SHOT
        (2) would give it ENOBUFS, which no broken cable does.
        """
        if self.ports == "memif":
            raise LabError(f"{link} is no cable: stop a dataplane instead")
        ends = [end for end in self.ends(link) if sender in (None, end[0])]
        if not ends:
            raise LabError(f"{sender} is no end of {link}")
        for node, device in ends:
            run("tc", "-n", self.space(node), "qdisc", "replace", "dev", device, "clsact")
        with ThreadPoolExecutor(len(ends)) as both:  # at once: a cable has no end that is cut first
            list(both.map(lambda end: run("tc", "-n", self.space(end[0]), "filter", "replace", "dev", end[1], "egress",
                                          "pref", "1", "handle", "1", "bpf", "da", "bytecode", "1,6 0 0 4"), ends))

    def mend(self, link):
        """Undoes `cut` in both directions."""
        for node, device in self.ends(link):
            run("tc", "-n", self.space(node), "qdisc", "del", "dev", device, "clsact", check=False)

    def cuts(self, link):
        """The nodes whose frames on this link are discarded."""
        return [] if self.ports == "memif" else [node for node, device in self.ends(link)
                if "clsact" in run("tc", "-n", self.space(node), "qdisc", "show", "dev", device).stdout]

    def sent_frames(self):
        """{(link, sender): frames that left the sender's veth end}, by the kernel's count."""
        counts = {}
        for node in self.nodes:
            found = {item["ifname"]: item["stats64"]["tx"]["packets"]
                     for item in json.loads(run("ip", "-n", self.space(node), "-j", "-s", "link", "show").stdout)}
            counts |= {(link, node): found[device] for link, ends in self.links.items()
                       for end, device in ends if end == node}
        return counts

    def busy_path(self, source, target, seconds=0.25):
        """The links, in order, that carry most frames from source to target now: where the traffic really goes."""
        before = self.sent_frames()
        time.sleep(seconds)
        grown = {key: count - before[key] for key, count in self.sent_frames().items()}
        path, here, used = [], source, set()
        while here != target:
            out = {link: (grown[link, here], next(end for end, _ in ends if end != here))
                   for link, ends in self.links.items() if link not in used and here in (end for end, _ in ends)}
            if not out:
                raise LabError(f"no path of traffic from {source} to {target}: {grown}")
            link = max(out, key=lambda each: out[each][0])
            path.append(link)
            used.add(link)
            here = out[link][1]
        return path


def _claim_name(name, stem):
    """Makes the state folder of a new lab and returns its name. Atomic: two at once get two names."""
    STATE.mkdir(parents=True, exist_ok=True)
    if name is not None and not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,31}", name):
        raise LabError(f"lab name {name!r}: wanted up to 32 of a-z, 0-9, -")
    stem = re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-")[:28] or "lab"
    for candidate in [name] if name else (f"{stem}-{number}" for number in range(1, 1000)):
        try:
            (STATE / candidate).mkdir()
            return candidate
        except FileExistsError:
            continue
    raise LabError(f"a lab named {name} is there already: scripts/lab down --name {name}")
