"""A16: a buffer pool exhausted by a peer that takes nothing more, and full again when it does."""

TITLE = "no buffers: the worker goes on and counts, and with the peer back every frame passes and every buffer is home"
CI, FULL = "2 s, 10^5 frames afterwards", "60 s, 10^8 frames afterwards"


def run(row):
    row.gtest("tests/soak/process_faults_test", "NoBuffers.*")
