"""A31: frames of strangers, which are answered by nothing."""

TITLE = "probing: strangers' frames of every kind get no byte back"
CI, FULL = "200,000 frames", "10^6 frames"


def run(row):
    row.gtest("tests/packet/packet_test", "Reflection.Strangers*")
