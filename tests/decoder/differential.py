#!/usr/bin/python3
"""Random and mutated frames, handshake messages and signals, decoded here and by the project's own readers: verdict and
fields must be the same.

    differential.py VERDICTS          VERDICTS: the program of that name
    SKYEDGE_DECODER_FRAMES (10^6), SKYEDGE_DECODER_SEED (chance; printed)
"""

import collections
import concurrent.futures
import json
import os
import random
import struct
import subprocess
import sys
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[1] / "support")]
import receiver  # noqa: E402
import skyframe as sky  # noqa: E402
from cases import Case, expect, finish  # noqa: E402

CHUNK = 50_000
LONGEST_S = 60  # of the other reader over one chunk: it takes one
OTHERS = 0.2  # this share of the records are messages, not frames

# Every reason to drop a frame on its way from a port to a neighbour or a TUN, and every way to end well.
FRAME_VERDICTS = """
    frame_short not_skywire frame_long bad_version bad_kind bad_reserved unknown_link wrong_port weak_kind
    wrong_kind no_key bad_lane replayed bad_tag bad_size bad_control bad_type unknown_route wrong_link hop_limit
    wrong_class link_down too_big inner_malformed session_stream session_no_key session_replayed session_bad_tag
    bad_ecn inner_destination inner_source""".split()
GOOD_VERDICTS = ["forward", "local", "deliver", "punt handshake", "punt link", "punt circuit"]
MESSAGES = """initiation response cookie terms liveness setup setup_reply setup_refused close trace trace_reply
    bad""".split()


class Sender:
    """The neighbours, and whoever else is on the wire."""

    def __init__(self, installed, seed):
        self.dice = random.Random(seed)
        self.links = installed["links"]
        self.rules = installed["rules"]
        self.session = installed["session"]
        self.session_keys = sky.epochs_of(bytes.fromhex(self.session["secret"]), 2, self.session["suite"])
        self.keys = {link["link"]: sky.epochs_of(bytes.fromhex(link["secret"]), 2, link["suite"])
                     for link in self.links if link["secret"]}
        self.counters = collections.defaultdict(lambda: 10)
        self.sent = []

    def chance(self, share):
        return self.dice.random() < share

    def bytes(self, most):
        return self.dice.randbytes(self.dice.randint(0, most))

    # frames

    def frame(self):
        """(port, bytes)"""
        way = self.dice.random()
        if way < 0.04:
            return self.noise()
        if way < 0.1 and self.sent:
            return self.dice.choice(self.sent)
        port, frame = self.handshake_frame() if way < 0.12 else self.sealed()
        if self.chance(0.2):
            frame = self.mutated(frame)
        frame = frame[:1530]  # a little above the MTU, and no more than a port's buffers hold
        if self.chance(0.01):
            port = self.dice.randrange(3)
        if len(self.sent) < 1000:
            self.sent.append((port, frame))
        elif self.chance(0.2):
            self.sent[self.dice.randrange(1000)] = port, frame
        return port, frame

    def ethernet(self):
        return bytes(6) + bytes([2, 0, 0, 0, 1, self.dice.randrange(4)]) + b"\x88\xb5"

    def noise(self):
        frame = bytearray(self.bytes(1530))
        if len(frame) > 20 and self.chance(0.8):
            frame[12:15] = b"\x88\xb5" + bytes([0x10 | self.dice.randrange(6)])
            frame[17] &= 0xF8
            frame[18:22] = struct.pack(">I", self.dice.randrange(6))
        return self.dice.randrange(3), bytes(frame)

    def handshake_frame(self):
        message = self.handshake()
        return self.dice.randrange(3), self.ethernet() + b"\x13" + bytes(15) + message.ljust(30, b"\0")

    def sealed(self):
        rule = self.dice.choice(self.rules)
        link = next(link for link in self.links if link["link"] == rule["link"])
        cls = rule["class"]
        if self.chance(0.1):
            link = self.dice.choice(self.links)
        step = self.dice.randrange(2)
        inside = self.between_two() if self.chance(0.15) else self.on_circuit(rule)
        number = link["link"], step
        kind = self.kind_for(link, inside)
        epoch, counter = 0, 0
        if kind != sky.CLEAR or self.chance(0.05):
            self.counters[number] += 1
            epoch, counter = link["parity"] << 7 | step, self.counters[number]
        header = [0x10 | kind, self.dice.randint(2, 64) if self.chance(0.97) else self.dice.randrange(3), epoch,
                  cls << 5 | self.dice.randrange(4) << 3, link["link"], counter]
        if self.chance(0.12):
            self.spoil(header)
        header = struct.pack(">BBBBIQ", *header)
        keys = self.keys.get(link["link"])
        body = sky.seal_frame(keys[step], header, inside) if keys else header + self.dice.randbytes(60)
        if kind == sky.CLEAR and self.chance(0.1):  # bytes that are cut off
            body += self.bytes(40)
        return link["port"], self.ethernet() + body

    def kind_for(self, link, inside):
        """Mostly one that the link takes and that carries the packet."""
        kind = self.dice.randint(0, link["least_kind"]) if self.chance(0.97) else self.dice.randrange(3)
        packet = sky.read_packet(inside.ljust(sky.LEAST_SEALED, b"\0"), sky.CLEAR)
        fits = packet is not None and sky.carries(kind, packet)
        return kind if fits or self.chance(0.1) else sky.SEALED

    def spoil(self, header):
        which = self.dice.randrange(9)
        if which < 4:
            header[which] = self.dice.randrange(256)
        elif which == 4:
            header[0] = 0x10 | self.dice.randrange(8)
        elif which == 5:
            header[4] = self.dice.choice((self.dice.randrange(8), self.dice.getrandbits(32)))
        elif which == 6:
            header[5] |= self.dice.randrange(4) << 56
        elif which == 7:  # far behind, as far as a window reaches, or ahead
            header[5] = max(0, header[5] - self.dice.choice((8190, 8191, 8192, 8193, self.dice.randrange(20_000))))
        else:
            header[5] += self.dice.randrange(5)

    def mutated(self, frame):
        frame = bytearray(frame)
        way = self.dice.randrange(5)
        if way == 0:
            for _ in range(self.dice.randint(1, 4)):
                frame[self.dice.randrange(len(frame))] ^= 1 << self.dice.randrange(8)
        elif way == 1:
            frame[self.dice.randrange(12, 46)] ^= self.dice.randint(1, 255)
        elif way == 2:
            del frame[self.dice.randrange(len(frame)):]
        elif way == 3:
            frame += self.bytes(20)
        else:
            frame = frame.ljust(self.dice.randint(1400, 1530), b"\0")
        return bytes(frame[:1600])

    # packets

    def packet(self, kind, route, payload):
        size = len(payload)
        if self.chance(0.02):
            size = max(0, size + self.dice.randint(-8, 8))
        return struct.pack(">BIH", kind, route, size) + payload

    def between_two(self):
        if self.chance(0.4):
            return self.packet(sky.TRANSPORT_PING, 0, self.liveness(hears=1))
        kind = self.dice.choice((2, 3, 17, 64, 65, self.dice.randrange(256)))
        if kind == sky.TRANSPORT_PING:  # one by chance could say "I do not hear you"
            kind = sky.TRANSPORT_PONG
        return self.packet(kind, 0, self.bytes(200))

    def on_circuit(self, rule):
        route = rule["route"] ^ (1 << self.dice.randrange(32) if self.chance(0.03) else 0)
        if self.chance(0.02):
            route = self.dice.choice(self.rules)["route"]
        way = self.dice.random()
        if rule["action"] == "consume" and way < 0.6:
            return self.packet(sky.DATAGRAM, route, self.datagram(rule))
        if way < 0.8:
            asker = self.dice.choice((1 << 63 | self.dice.getrandbits(32), self.dice.randrange(80)))
            payload = struct.pack(">QQ", self.dice.getrandbits(30), asker)
            return self.packet(self.dice.choice((4, 5)), route, payload if self.chance(0.9) else self.bytes(30))
        kind = self.dice.choice((2, 3, 17, self.dice.randrange(256)))
        size = self.dice.randint(0, 100) if self.chance(0.8) else self.dice.randint(1380, 1477)
        return self.packet(kind, route, self.dice.randbytes(size))

    def datagram(self, rule):
        stream = rule["stream"] + self.dice.randrange(rule["streams"] + (1 if self.chance(0.1) else 0))
        number = self.dice.randrange(2) if self.chance(0.95) else self.dice.randrange(4)
        self.counters[number, stream] += 1
        counter = self.counters[number, stream]
        if self.chance(0.05):
            counter = max(0, counter - self.dice.choice((0, 8191, 8192, self.dice.randrange(9000))))
        epoch = self.session_keys[number & 1]
        datagram = sky.seal_datagram(epoch, self.session["id"], number, stream, counter, self.inner())
        if self.chance(0.05):
            datagram = self.mutated(datagram.ljust(46, b"\0"))[:1480]
        return datagram

    def ecn(self):
        return self.dice.choice((0, 1, 2, 2, 3))

    def inner(self):
        six = self.chance(0.5)
        pick = self.dice.choice
        if six:
            there, here = pick((b"\xfd\0\0\x0f", b"\xfd\0\0\x0f", b"\xfd\0\0\x0e", b"\xfd\0\0\x09")), b"\xfd\0\0\x01"
            here = here if self.chance(0.9) else b"\xfd\0\0\x0f"
            body = self.bytes(1420 if self.chance(0.1) else 100)
            packet = struct.pack(">IHBB", 0x60000000 | self.ecn() << 20, len(body), 17, 64)
            packet += there.ljust(16, b"\1") + here.ljust(16, b"\1") + body
        else:
            there, here = pick((b"\x0a\x09", b"\x0a\x09", b"\x0a\x08")), b"\x0a\x01"
            here = here if self.chance(0.9) else b"\x0a\x09"
            options = bytes(4 * pick((0, 0, 0, 2)))
            body = options + self.bytes(100)
            packet = struct.pack(">BBHIBBH", 0x45 + len(options) // 4, self.ecn(), 20 + len(body), 0, 64, 17,
                                 self.dice.getrandbits(16))
            packet += there.ljust(4, b"\1") + here.ljust(4, b"\1") + body
        if self.chance(0.05):
            packet = self.mutated(packet.ljust(46, b"\0"))
        return packet[:1460]

    # messages

    def liveness(self, hears=None):
        flags = self.dice.randrange(256) if hears is None else hears | self.dice.randrange(16) << 4
        payload = struct.pack(">BBHIQQ", flags, self.dice.randrange(256), 0, self.dice.randint(1000, 1_000_000),
                              self.dice.getrandbits(63), 0)
        return payload if self.chance(0.95) else payload[:-1]

    def handshake(self):
        kind = self.dice.randrange(1, 4)
        size = {1: 168, 2: 124, 3: 68}[kind]
        return bytes([kind, 0, 0, 0]) + self.dice.randbytes(size - 4)

    def terms(self):
        pick, word = self.dice.choice, self.dice.getrandbits
        return struct.pack(">IBBBBBBQQIH", word(32), pick((0, 1)), pick((1, 1, 3)), pick((0, 1, 2)),
                           pick((1, 16, 17 if self.chance(0.1) else 2)), pick((1, 2)), pick((1, 2)), word(64), word(64),
                           word(32), word(16))

    def signal(self):
        pick, word = self.dice.choice, self.dice.getrandbits
        circuit = self.dice.randbytes(16)
        kind = self.dice.randrange(1, 7)
        blob = self.bytes(pick((0, 28, 168, 400)))
        blob = struct.pack(">H", len(blob)) + blob
        if kind == 1:
            nodes = self.dice.randint(2, pick((3, 8, 32)))
            path = b"".join(self.dice.randbytes(16) + (self.dice.randbytes(8) if place else bytes(8))
                            for place in range(nodes))
            queue = pick((1, 2))
            head = struct.pack(">BBBB16sIBBHIHHBB", 1, pick((0, 1, 2, 3)), word(8), self.dice.randint(1, nodes - 1),
                               circuit, self.dice.randint(1, 604_800), queue | word(3) << 5, pick((0, 1, 2)),
                               self.dice.randint(576, 9000), word(32), word(10) * 16, word(10) * 16,
                               self.dice.randint(40, 64), nodes)
            alternate = self.dice.randbytes(12) if self.chance(0.5) else bytes(12)
            rate = self.dice.randint(64, 10 ** 9) if queue == 1 else 0
            window = pick((0, 12, 13, 20, 21) if self.chance(0.1) else (0, 13, 20))
            copied = word(10) * 16 if window or self.chance(0.1) else 0
            return head + self.dice.randbytes(16) + alternate + struct.pack(">IHB", rate, copied, window) + path + blob
        if kind == 2:
            return struct.pack(">BBBB16sIIH", 2, 0, self.dice.randint(1, 31), pick((0, 13, 20)), circuit, word(32),
                               word(32), self.dice.randint(576, 9000)) + blob
        if kind == 3:
            text = bytes(self.dice.randint(0x20, 0x7E) for _ in range(self.dice.randint(0, 160)))
            return struct.pack(">BBBB16s", 3, self.dice.randint(1, sky.REASONS), word(8), 0, circuit) + text
        if kind == 4:
            return struct.pack(">BBBB16s", 4, self.dice.randint(1, sky.REASONS), word(1), 0, circuit)
        tail = struct.pack(">I", word(32)) + (self.dice.randbytes(16) if kind == 6 else b"")
        return struct.pack(">BBBB16s", kind, word(1), self.dice.randrange(32), 0, circuit) + tail

    def message(self):
        """(what, bytes)"""
        what = self.dice.choice("HTLSSSS")
        data = {"H": self.handshake, "T": self.terms, "L": self.liveness, "S": self.signal}[what]()
        if self.chance(0.3):  # near the edges of a field, and elsewhere
            data = bytearray(data)
            for _ in range(self.dice.randint(1, 2)):
                at = self.dice.randrange(min(len(data), 40) if self.chance(0.7) else len(data))
                data[at] = self.dice.choice((0, 1, 2, 3, data[at] + 1 & 255, data[at] ^ 1 << self.dice.randrange(8)))
            data = data[:self.dice.randrange(len(data))] if self.chance(0.1) else data
            data += self.bytes(3) if self.chance(0.1) else b""
        return what, bytes(data)


def installed_in(program):
    """What the other reader's node has, as it says itself."""
    said = subprocess.run([program], stdin=subprocess.DEVNULL, capture_output=True, check=True, text=True,
                          timeout=LONGEST_S)
    return json.loads(said.stdout.splitlines()[-1])


def chunk_of(arguments):
    """(records, Counter of verdicts, the first differences) of one seed."""
    program, seed, count = arguments
    installed = installed_in(program)
    sender, node = Sender(installed, seed), receiver.Receiver(installed)
    read = {"H": receiver.handshake, "T": receiver.terms, "L": receiver.liveness, "S": receiver.signal}
    records, wanted, inputs = [], [], []
    for _ in range(count):
        if sender.chance(OTHERS):
            what, data = sender.message()
            port = 0
            wanted.append(read[what](data))
        else:
            what, (port, data) = "F", sender.frame()
            wanted.append(node.frame(port, data))
        inputs.append((what, port, data))
        records.append(struct.pack("<BBH", ord(what), port, len(data)) + data)
    done = subprocess.run([program], input=b"".join(records), capture_output=True, check=True, timeout=LONGEST_S)
    got = done.stdout.decode().splitlines()[-count:]
    differences = [f"seed {seed}, record {place}: {what} port {port}: {data.hex()}\n  here {one}\n  there {other}"
                   for place, ((what, port, data), one, other) in enumerate(zip(inputs, wanted, got)) if one != other]
    kinds = collections.Counter(" ".join(line.split()[:2]) if line.startswith(("drop", "punt")) else line.split()[0]
                                for line in wanted)
    return len(got), kinds, differences[:3]


def layers_of(program):
    """Scapy's layers give back every byte, and the fields that skyframe reads."""
    import scapy_skyedge as layers
    installed = installed_in(program)
    sender = Sender(installed, 1)
    for _ in range(500):
        _, frame = sender.handshake_frame() if sender.chance(0.3) else sender.sealed()
        link = layers.Ether(frame)[layers.LinkHeader]
        header = sky.read_link_header(frame[14:])
        expect(bytes(link) == frame[14:], f"other bytes than {frame.hex()}")
        expect(tuple(getattr(link, name) for name in sky.LinkHeader._fields) == tuple(header), f"{link!r}, {header}")
        if header.kind == sky.HANDSHAKE:
            message = sky.read_handshake(frame[30:])
            if message is not None:
                layer = link[getattr(layers, type(message).__name__)]
                expect(all(getattr(layer, {"payload": "sealed"}.get(name, name)) == value
                           for name, value in message._asdict().items()), f"{layer!r}, {message}")
        inside = sender.between_two() if sender.chance(0.5) else sender.on_circuit(installed["rules"][4])
        packet = sky.read_packet(inside.ljust(sky.LEAST_SEALED, b"\0"))
        if packet is None:
            continue
        opened = layers.Opened(inside)
        expect((opened.type, opened.route_id, opened.size) == packet[:3] and bytes(opened) == inside, repr(opened))
        if packet.type == sky.DATAGRAM and packet.route and (datagram := sky.read_datagram(packet.payload)):
            layer = opened[layers.Datagram]
            expect((layer.epoch, layer.stream, layer.counter, layer.tag, layer.sealed) == datagram, repr(layer))
        if packet.type == sky.TRANSPORT_PING and not packet.route and (ping := sky.read_liveness(packet.payload)):
            layer = opened[layers.Liveness]
            expect(tuple(getattr(layer, name) for name in ping._fields) == ping, repr(layer))


def main():
    program = str(Path(sys.argv[1]).resolve())
    frames = int(float(os.environ.get("SKYEDGE_DECODER_FRAMES", 1e6)))
    given = os.environ.get("SKYEDGE_DECODER_SEED")
    seed = int(given, 0) if given else random.SystemRandom().randrange(1 << 32)
    print(f"# SKYEDGE_DECODER_SEED={seed} SKYEDGE_DECODER_FRAMES={frames}", flush=True)
    records, verdicts, differences = 0, collections.Counter(), []
    total = round(frames / (1 - OTHERS))
    with Case("the readers agree on verdict and fields") as case:
        start = time.monotonic()
        chunks = [(program, seed + number, min(CHUNK, total - number * CHUNK)) for number in range(-(-total // CHUNK))]
        # Not a multiprocessing.Pool: that waits for ever for a process of its own that ended.
        with concurrent.futures.ProcessPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            for count, kinds, found in pool.map(chunk_of, chunks):
                records += count
                verdicts += kinds
                differences += found
        case.note(f"{records} records in {time.monotonic() - start:.0f} s")
        expect(not differences, "\n".join(differences[:10]))
        expect(records == total, f"{records} answers to {total} records")
    with Case("every verdict and message came") as case:
        print("# " + ", ".join(f"{name} {count}" for name, count in verdicts.most_common()))
        wanted = GOOD_VERDICTS + [f"drop {name}" for name in FRAME_VERDICTS] + MESSAGES
        missing = [name for name in wanted if verdicts[name] < frames // 20_000]
        expect(not missing, f"none or hardly any: {', '.join(missing)}")
        case.note(f"{len(wanted)} sorts")
    with Case("scapy's layers have the same fields"):
        layers_of(program)
    finish()


if __name__ == "__main__":
    main()
