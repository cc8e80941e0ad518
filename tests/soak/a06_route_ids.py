"""A6: a neighbour who tries every route ID, and strangers who have none."""

TITLE = "route-ID guessing: none of another neighbour's routes is followed, no stranger's frame gets as far as a route"
CI, FULL = "2^20 IDs against 2,000 routes, 10^5 frames", "2^24 IDs against 65,536 routes, 10^7 frames"


def run(row):
    row.gtest("tests/packet/packet_test", "Sweep.*")
    row.gtest("tests/packet/packet_test", "BadInput.NoiseTruncatedAndFlippedFrames",
              SKYEDGE_BAD_FRAMES=row.size(10**5, 10**7))
