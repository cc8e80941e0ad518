"""A Skyedge network on one machine: what scripts/lab, scripts/demo and tests/netns share.

Each node of a topology file becomes a network namespace with its two processes, each link a veth pair that DPDK drives
through AF_PACKET, or what else wires.py knows. Everything a lab has is named after it (namespaces sky.LAB.NODE, files
in /run/skyedge-lab/LAB), so labs stand beside each other, and `down` finds all of it even after an `up` that failed
half-way.
"""

from .lab import ROLES, ROOT, Lab, labs, remove
from .tools import LabError, run, table, wait_until
from .wires import SORTS

__all__ = ["ROLES", "ROOT", "SORTS", "Lab", "LabError", "labs", "remove", "run", "table", "wait_until"]
