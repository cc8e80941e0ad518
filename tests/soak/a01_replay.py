"""A1: frames that were seen before."""

TITLE = "replay: the window agrees with an oracle, every frame sent again is dropped by name"
CI, FULL = "10^6 operations", "10^8 operations"


def run(row):
    row.gtest("tests/unit/crypto/crypto_test", "ReplayWindow*")
