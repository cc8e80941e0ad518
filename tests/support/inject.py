#!/usr/bin/python3
"""Puts frames on a wire through a raw socket, as a stranger on the cable would.

    inject.py DEVICE --to MAC --random COUNT          random bytes and lengths behind a Skyedge Ethernet header
    inject.py DEVICE --to MAC --mutate PCAP COUNT     captured frames, truncated, extended or with bits flipped
    inject.py DEVICE --to MAC --replay PCAP           every captured frame to that MAC, once, in order
    options: --seed N (default 1), --rate FRAMES_PER_SECOND (default 60000)

DEVICE is the other end of the wire; taps there, the sender's dataplane among them, do not see what is put on it.
Prints the number of frames sent.
"""

import argparse
import random
import socket
import struct
import time

ETHERTYPE = b"\x88\xb5"
SOL_PACKET, PACKET_QDISC_BYPASS = 263, 20


def frames_of(pcap_file, target):
    """Frames of a pcap file whose destination is `target`."""
    data = open(pcap_file, "rb").read()
    frames, offset = [], 24
    while offset + 16 <= len(data):
        length = struct.unpack_from("<I", data, offset + 8)[0]
        frame = data[offset + 16 : offset + 16 + length]
        if frame[:6] == target:
            frames.append(frame)
        offset += 16 + length
    return frames


def random_frames(dice, target, count):
    """Half of them with a plausible first byte (version 1, a kind), so that they get past the first look."""
    source = bytes([2, *dice.randbytes(5)])
    for _ in range(count):
        body = bytearray(dice.randbytes(dice.choice((dice.randint(1, 64), dice.randint(1, 1500)))))
        if dice.random() < 0.5:
            body[0] = 0x10 | dice.randint(0, 4)
        if dice.random() < 0.5:
            body[4:8] = struct.pack("!I", dice.randint(0, 3))
        yield target + source + ETHERTYPE + body[:1500]


def mutated_frames(dice, frames, count):
    for _ in range(count):
        frame = bytearray(dice.choice(frames))
        shape = dice.randint(0, 3)
        if shape == 0:
            del frame[dice.randint(15, len(frame)) :]
        elif shape == 1:
            frame += dice.randbytes(dice.randint(1, 64))
        if dice.random() < 0.5 and len(frame) >= 30:
            frame[26:30] = dice.randbytes(4)  # of the counter: one not seen before gets past the look at the window
        for _ in range(dice.randint(1, 8) if shape >= 2 else 0):
            frame[dice.randint(14, len(frame) - 1)] ^= 1 << dice.randint(0, 7)
        yield frame[:1514]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("device")
    parser.add_argument("--to", required=True, type=lambda text: bytes.fromhex(text.replace(":", "")))
    parser.add_argument("--random", type=int, metavar="COUNT")
    parser.add_argument("--mutate", nargs=2, metavar=("PCAP", "COUNT"))
    parser.add_argument("--replay", metavar="PCAP")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=int, default=60_000)
    options = parser.parse_args()
    dice = random.Random(options.seed)
    if options.random:
        frames = random_frames(dice, options.to, options.random)
    elif options.mutate:
        frames = mutated_frames(dice, frames_of(options.mutate[0], options.to), int(options.mutate[1]))
    else:
        frames = frames_of(options.replay, options.to)
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    wire.setsockopt(SOL_PACKET, PACKET_QDISC_BYPASS, 1)
    wire.bind((options.device, 0))
    start, sent = time.monotonic(), 0
    for frame in frames:
        wire.send(frame)
        sent += 1
        if sent % 64 == 0:
            time.sleep(max(0, start + sent / options.rate - time.monotonic()))
    print(sent)


if __name__ == "__main__":
    main()
