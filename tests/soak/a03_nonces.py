"""A3: a nonce used twice, a counter at its end."""

TITLE = "two workers never use a nonce twice while chains, circuits and control planes change; a key stops at its limit"
CI, FULL = "2 x 10^6 seals, 50 control planes", "10^8 seals, 1,000 control planes"


def run(row):
    row.gtest("tests/packet/packet_test", "Nonces.*:*Keys.ALaneStops*:*Keys.StepsOnBytes*")
