"""A2: frames and Datagrams recorded over key epochs, handshakes and a dataplane's lives (A13 kills one for that)."""

TITLE = "replay over rekey and restart: 0 accepted, each refused for the reason that its key's fate gives"
CI, FULL = "1.2 x 10^5 frames of 12 ends of keys, 3 restarts", "10^7 frames of 200 ends of keys, 50 restarts"


def run(row):
    row.gtest("tests/soak/hostile_frames_test", "OldFrames.*")
