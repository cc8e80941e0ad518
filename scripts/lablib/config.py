"""Topology files in, topology.yaml and router.yaml of each node out."""

import os
from pathlib import Path

import yaml

from .tools import LabError
from .wires import device as device_string


def merge(base, over):
    """Maps merge key by key, anything else of `over` replaces."""
    if not (isinstance(base, dict) and isinstance(over, dict)):
        return over
    return base | {key: merge(base.get(key), value) for key, value in over.items()}


def read_topology(path):
    """The file as data. What is wrong with it is `skyctl check`'s to say; here only that a lab can be made of it."""
    try:
        topology = yaml.safe_load(Path(path).read_text())
    except (OSError, yaml.YAMLError) as error:
        raise LabError(f"{path}: {error}") from error
    try:
        plan(topology)
    except (AttributeError, KeyError, TypeError) as error:
        raise LabError(f"{path}: not a topology file with domains, nodes and links: skyctl check says more") from error
    return topology


def _nodes_of(topology):
    """(domain name, node name, node) of each node."""
    return [(domain, name, node) for domain, body in topology["domains"].items()
            for name, node in body["nodes"].items()]


def set_key(topology, name, key):
    next(node for _, node_name, node in _nodes_of(topology) if node_name == name)["key"] = key


def plan(topology):
    """What the lab keeps of the topology: nodes, and each link's ends with the device made for it."""
    nodes = {name: {"domain": domain} for domain, name, _ in _nodes_of(topology)}
    links = {}
    for number, (name, link) in enumerate(topology["links"].items()):
        device = name if len(name) <= 15 else f"link{number}"  # 15: the longest name of a Linux interface
        links[name] = [(end, device) for end in link["ends"] if nodes[end]]  # KeyError: no such node
    return {"nodes": nodes, "links": links}


def router_settings(home, links, node, number, sort="packet", mtu=1500):
    """router.yaml of a node of the lab in folder `home`. `number` spreads main cores and workers over the CPUs."""
    cpus = sorted(os.sched_getaffinity(0))
    ports, ours = {}, {}
    for link, ends in links.items():
        for place, device in ((place, device) for place, (end, device) in enumerate(ends) if end == node):
            socket = home / f"{link}.memif"
            ports[device] = {"device": device_string(sort, len(ports), device, socket, place == 0), "mtu": mtu}
            ours[link] = {"port": device, "liveness": {"interval": "20ms", "multiplier": 3, "hold": "100ms"}}
    return {
        "version": 1,
        "node": node,
        "identity": str(home / node / "key"),
        "topology": str(home / "topology.yaml"),
        "runtime": str(home / node),
        "ports": ports,
        "links": ours,
        "tun": {"name": "sky0"},
        "dataplane": {
            "main_core": cpus[number % len(cpus)],
            "workers": [cpus[(number + 1) % len(cpus)]],
            "idle": "adaptive",
            "hugepages": False,
            "sizes": {"rules": 65536, "links": 64, "sessions": 256, "groups": 256, "prefixes": 1024},
        },
    }

