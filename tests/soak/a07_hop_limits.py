"""A7: packets whose hop limit is spent. No error is sent for one, so none can be asked for."""

TITLE = "hop-limit exhaustion: every such packet dropped by name, no error sent, nothing of the rest lost"
CI, FULL = "60,000 packets", "10^6 packets"


def run(row):
    row.gtest("tests/packet/packet_test", "Reflection.SpentHopLimits*")
