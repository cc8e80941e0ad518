"""A20: a neighbour sends ten times its share of a port."""

TITLE = "greedy neighbour at ten times its share: with links.NAME.rate the others keep theirs"
CI, FULL = "0.3 s of its clock", "30 s of its clock"


def run(row):
    row.gtest("tests/soak/process_faults_test", "Greedy.*")
