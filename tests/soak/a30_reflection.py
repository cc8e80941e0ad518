"""A30: what the node can be made to send to somebody else."""

TITLE = "reflection: no answer of data or control plane is longer than what it answers"
CI, FULL = "50,000 sealed probes of every type, 20,000 handshake messages", "10^6 of each"


def run(row):
    row.gtest("tests/packet/packet_test", "Reflection.NoAnswer*")
    row.gtest("tests/unit/session/session_test", "Reflection.*")
