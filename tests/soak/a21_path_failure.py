"""A21: a path is cut under load. Mode copy: each packet is sent over two circuits and delivered once."""

TITLE = "a path cut under load: in mode copy 0 packets lost, 0 duplicated, the two ways far apart"
CI, FULL = "3 x 10^5 packets, 4 ms apart", "10^7 packets at 15 million a second, 20 ms apart"


def run(row):
    row.gtest("tests/soak/process_faults_test", "CopiedStream.*")
