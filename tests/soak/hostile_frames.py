"""Each sort of frame that is to be refused, in numbers, on a link that works. A6 has a sweep over all route IDs."""

TITLE = "replayed, forged, guessed, garbage, wrong link, foreign key: 0 delivered, counters exact, honest frames pass"
CI, FULL = "50,000 frames of each sort", "10^7 frames of each sort"


def run(row):
    row.gtest("tests/soak/hostile_frames_test", "EachSort.*")
