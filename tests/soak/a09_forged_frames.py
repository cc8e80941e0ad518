"""A9: forged frames of a live link, Datagrams of a live session. perf/run says what one costs (hostile/badtag)."""

TITLE = "forged frames: nothing changes but the key that they wore out, none of the honest traffic is lost"
CI, FULL = "2 x 10^5 frames and as many Datagrams", "10^7 frames and as many Datagrams"


def run(row):
    row.gtest("tests/soak/hostile_frames_test", "Forged.*")
    row.gtest("tests/packet/packet_test", "WornKeys.*")
