#!/usr/bin/python3
"""Wireshark's dissector (conf/wireshark/skyedge.lua) on a capture of sealed frames, as it is and opened with a key log:
every field that tshark shows must be the one that was put in.

    dissector_test.py
"""

import ipaddress
import itertools
import json
import random
import re
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "support")]
import skyframe as sky  # noqa: E402
from cases import ROOT, Case, expect, finish  # noqa: E402
from differential import Sender  # noqa: E402

LUA = ROOT / "conf" / "wireshark" / "skyedge.lua"
FIELDS = sorted(set(re.findall(r'^field\("\w+", "([\w.]+)"', LUA.read_text(), re.M)) | {"malformed"})
INNER = ("ipv6.src", "ipv6.dst", "udp.dstport")
LINK, SESSION = 7, 0x1122334455667788
SOURCE, DESTINATION = "fd00:f::1", "fd00:1::2"

dice = random.Random(8)
link_keys = sky.epochs_of(dice.randbytes(32), 2)
other_keys = sky.epochs_of(dice.randbytes(32), 1)  # of another node, which gave out the same index
session_keys = sky.epochs_of(dice.randbytes(32), 2)
counters = itertools.count((1 << 55) + 5)


def header(kind=0, hop_limit=50, epoch=0, cls=5, ecn=2, link=LINK, lane=3, counter=None):
    counter = next(counters) if counter is None else counter
    return struct.pack(">BBBBIQ", 0x10 | kind, hop_limit, epoch, cls << 5 | ecn << 3, link, lane << 56 | counter)


def link_fields(data):
    h = sky.read_link_header(data)
    return {"version": h.version, "kind": h.kind, "hop_limit": h.hop_limit, "epoch": f"0x{h.epoch:02x}",
            "class": h.cls, "ecn": h.ecn, "reserved": h.reserved, "link": h.link, "lane": h.lane,
            "counter": h.counter}


def handshake_fields(message):
    m = sky.read_handshake(message)
    out = {"handshake.message": message[0]}
    for name, value in m._asdict().items():
        width = 16 if name == "key_id" else 8
        out[f"handshake.{name}"] = f"0x{value:0{width}x}" if isinstance(value, int) else value.hex()
    return out


def signal_fields(data):
    m = sky.read_signal(data)
    expect(m is not None, f"the test's own signal is not well formed: {data.hex()}")
    out = {"signal.message": data[0]}
    for name, value in m._asdict().items():
        if name == "queue_class":
            out["signal.class"], name, value = value >> 5, "queue", value & 3
        elif name == "path":
            out["signal.nodes"] = len(value)
            out["signal.node"] = [str(ipaddress.IPv6Address(address)) for address, _ in value]
            name, value = "link_id", [link.hex() for _, link in value]
        elif name == "blob":
            out |= {**handshake_fields(value), "signal.blob": value.hex()} if value else {}
            continue
        elif name == "address":
            name, value = "node", str(ipaddress.IPv6Address(value))
        elif name == "text":
            value = value.decode()
        elif name in ("return_route", "forward_route", "alternate_return_route", "alternate_route", "probe"):
            value = f"0x{value:08x}"
        elif isinstance(value, bytes):
            value = value.hex()
        out[f"signal.{name}"] = value
    return out


class Capture:
    """Frames with the fields that each must show, sealed and opened."""

    def __init__(self):
        self.frames = []  # (frame, sealed fields, opened fields or None)

    def bare(self, data, **fields):
        self.frames.append((data, {**link_fields(data), **fields}, None))

    def sealed(self, kind, route, body, epoch=0, keys=link_keys, frame_kind=sky.SEALED, **fields):
        inside = struct.pack(">BIH", kind, route, len(body)) + body
        head = header(frame_kind, epoch=epoch)
        data = sky.seal_frame(keys[epoch], head, inside)
        plain = {**link_fields(data), "tag": data[16:32].hex()}
        end = 64 if frame_kind == sky.HEADER else None
        open_part = {"open": data[64:].hex()} if end and data[64:] else {}
        out = {**plain, "type": kind, "route": f"0x{route:08x}", "size": len(body), **fields}
        if body and "datagram.tag" not in fields:
            out.setdefault("payload", body.hex())
        if len(inside) < sky.LEAST_SEALED:
            out["padding"] = bytes(sky.LEAST_SEALED - len(inside)).hex()
        self.frames.append((data, {**plain, "sealed": data[32:end].hex(), **open_part}, out))

    def clear(self, kind, route, body, opened=None, trailer=b"", **fields):
        """`opened`: what it shows more, and less where None, once what is sealed end to end is open."""
        head = header(sky.CLEAR, epoch=0, lane=0, counter=0)
        data = sky.seal_frame(None, head, struct.pack(">BIH", kind, route, len(body)) + body) + trailer
        out = {**link_fields(data), "type": kind, "route": f"0x{route:08x}", "size": len(body), **fields}
        if "datagram.tag" not in fields:
            out["payload"] = body.hex()
        if data[23 + len(body):]:
            out["padding"] = data[23 + len(body):].hex()
        self.frames.append((data, out, opened and {**out, **opened}))


def udp(payload):
    body = struct.pack(">HHHH", 1000, 9999, 8 + len(payload), 0) + payload
    return (struct.pack(">IHBB", 0x60000000, len(body), 17, 64) + ipaddress.IPv6Address(SOURCE).packed
            + ipaddress.IPv6Address(DESTINATION).packed + body)


def datagram(keys, number, stream, counter, inner, session=SESSION):
    data = sky.seal_datagram(keys[number & 1], session, number, stream, counter, inner)
    fields = {"datagram.epoch": number, "datagram.stream": stream, "datagram.counter": counter,
              "datagram.tag": data[8:24].hex()}
    return data, fields


def directed():
    capture = Capture()
    circuit = dice.randbytes(16)
    messages = [bytes([kind, 0, 0, 0]) + dice.randbytes(size - 4) for kind, size in ((1, 168), (2, 124), (4, 28))]
    cookie = struct.pack(">B7xI", 3, 77) + dice.randbytes(56)
    for message in [*messages[:2], cookie]:
        fields = handshake_fields(message) | ({"handshake.sender": "0x00000000"} if message == cookie else {})
        capture.bare(header(kind=3, hop_limit=0, cls=0, ecn=0, lane=0, counter=0, link=0) + message, **fields)
        capture.sealed(3, 0, message, **fields)
    capture.sealed(3, 0x1234, messages[2], **handshake_fields(messages[2]))
    capture.bare(header(kind=3) + messages[0][:-1], **{"handshake.message": 1, "malformed": ""})
    capture.bare(header(kind=1) + bytes(47), malformed="")
    capture.bare(header(kind=4) + bytes(60), malformed="")

    capture.sealed(2, 0, b"")
    capture.sealed(0, 0xDEADBEEF, dice.randbytes(1400), epoch=1)
    capture.sealed(200, 0xDEADBEEF, dice.randbytes(7))
    ping = struct.pack(">BBHIQQ", 0x61, 3, 0, 50_000, 1 << 60, 12345)
    capture.sealed(8, 0, ping, **{"liveness.hears": 1, "liveness.asks": "0x06", "liveness.multiplier": 3,
                                  "liveness.interval_us": 50_000, "liveness.sent_ns": 1 << 60,
                                  "liveness.echoed_ns": 12345})
    capture.sealed(8, 0, ping[:-1], malformed="")
    capture.sealed(8, 99, ping)  # on a circuit it is opaque
    for kind in (4, 5):
        capture.sealed(kind, 0x77, struct.pack(">QQ", 5, 1 << 63 | 6),
                       **{"probe.timestamp": 5, "probe.asker": "0x8000000000000006"})
    capture.sealed(65, 0, struct.pack(">III", 1, 0xABC00123, 3), dead_route=["0x00000001", "0xabc00123", "0x00000003"])

    path = b"".join(dice.randbytes(16) + (dice.randbytes(8) if place else bytes(8)) for place in range(3))
    setup = struct.pack(">BBBB16sIBBHIHHBB", 1, 2, 4, 1, circuit, 3600, 0x61, 0, 1400, 0xCAFE0001, 32, 48, 60, 3)
    setup += dice.randbytes(16) + dice.randbytes(8) + struct.pack(">IIHB", 0xABC00125, 10_000, 64, 16) + path
    short = [struct.pack(">BBBB16s", kind, *head, 0, circuit) for kind, head in
             ((3, (9, 2)), (4, (12, 1)), (5, (0, 3)), (6, (1, 4)))]
    for data in (setup + struct.pack(">H", 168) + messages[0], setup + bytes(2),
                 struct.pack(">BBBB16sIIHH", 2, 0, 2, 16, circuit, 0xCAFE0002, 0xCAFE0003, 1380, 124) + messages[1],
                 short[0] + b"say who you are", short[1], short[2] + struct.pack(">I", 17),
                 short[3] + struct.pack(">I", 17) + dice.randbytes(16)):
        capture.sealed(64, 0, data, **signal_fields(data))
    capture.sealed(64, 0, bytes([9]) + bytes(20), **{"signal.message": 9, "malformed": ""})

    inner = udp(b"hello")
    data, fields = datagram(session_keys, 1, 300, 41, inner)
    capture.sealed(17, 0xABC00127, data, **fields,
                   **{"ipv6.src": SOURCE, "ipv6.dst": DESTINATION, "udp.dstport": 9999})
    data, fields = datagram(session_keys, 0, 16383, (1 << 48) - 1, inner, session=SESSION + 1)  # another's
    capture.sealed(17, 0xABC00127, data, **fields, **{"datagram.sealed": data[24:].hex()})
    capture.sealed(17, 0xABC00127, bytes(23), malformed="", **{"payload": None})

    inner_fields = {"ipv6.src": SOURCE, "ipv6.dst": DESTINATION, "udp.dstport": 9999}
    data, fields = datagram(session_keys, 0, 301, 42, inner)
    capture.sealed(17, 0xABC00127, data, frame_kind=sky.HEADER, **fields, **inner_fields)
    capture.sealed(17, 0xABC00127, data[:25], frame_kind=sky.HEADER, **fields, **{"datagram.sealed": data[24:25].hex()})
    capture.clear(17, 0xABC00127, data, {**inner_fields, "datagram.sealed": None}, trailer=b"cut off", **fields,
                  **{"datagram.sealed": data[24:].hex()})
    capture.clear(200, 0xABC00127, b"seven..")

    head = header()  # of the other node with that index; then of one whose key is not in the log
    for keys, known in ((other_keys, True), (sky.epochs_of(bytes(32), 1), False)):
        if known:
            capture.sealed(2, 0, b"", keys=keys)
        else:
            data = sky.seal_frame(keys[0], head, bytes(14))
            fields = {**link_fields(data), "tag": data[16:32].hex(), "sealed": data[32:].hex()}
            capture.frames.append((data, fields, None))
    return capture.frames


def write_pcap(path, frames):
    with open(path, "wb") as out:
        out.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for number, frame in enumerate(frames):
            out.write(struct.pack("<IIII", 1_000_000 + number, 42, len(frame), len(frame)) + frame)


def write_keys(path):
    lines = ["# what a laboratory's dataplane writes", ""]
    for epoch, key in enumerate([*link_keys]):
        lines.append(f"link {LINK} {epoch:02x} {key.key.hex()} {key.salt.hex()}")
    lines.append(f"link {LINK} 00 {other_keys[0].key.hex()} {other_keys[0].salt.hex()} aes-256-gcm  # another node's")
    for epoch, key in enumerate(session_keys):
        lines.append(f"session {SESSION:016x} {epoch:02x} {key.key.hex()} {key.salt.hex()}")
    path.write_text("\n".join(lines) + "\n")


def shown(path):
    """One dictionary of texts a frame, of those fields that it has."""
    names = [*(f"skyedge.{name}" for name in FIELDS), *INNER, "_ws.expert.message"]
    done = subprocess.run(["tshark", "-X", f"lua_script:{LUA}", "-n", "-r", str(path), "-T", "json",
                           *(word for name in names for word in ("-e", name))], capture_output=True, text=True)
    expect(done.returncode == 0, done.stderr)
    frames = [packet["_source"].get("layers", {}) for packet in json.loads(done.stdout)]
    for number, frame in enumerate(frames):  # where a dissector's own fault shows
        said = frame.pop("_ws.expert.message", [])
        expect(not any("Lua" in text for text in said), f"frame {number}: {said}")
    return [{name.removeprefix("skyedge."): values for name, values in frame.items()} for frame in frames]


def compare(got, wanted):
    expect(len(got) == len(wanted), f"{len(got)} frames shown, wanted {len(wanted)}")
    for number, (frame, fields) in enumerate(zip(got, wanted)):
        texts = {name: [str(each) for each in (value if isinstance(value, list) else [value])]
                 for name, value in fields.items() if value is not None}
        texts.pop("malformed", None)
        frame = dict(frame)
        expect(("malformed" in frame) == ("malformed" in fields), f"frame {number}: malformed? {frame}")
        frame.pop("malformed", None)
        expect(frame == texts, "frame {}: {}".format(number, {name: (frame.get(name), texts.get(name))
                                                              for name in {*frame, *texts}
                                                              if frame.get(name) != texts.get(name)}))


def random_frames():
    """Those of the differential test, which fit no field by design."""
    secrets = {"links": [{"link": 1, "port": 0, "parity": 0, "least_kind": 2, "suite": "chacha20-poly1305",
                          "secret": bytes(32).hex()}],
               "rules": [{"route": 5, "link": 1, "action": "consume", "class": 0, "stream": 0, "streams": 4}],
               "session": {"id": 1, "suite": "aes-256-gcm", "secret": bytes(32).hex()}}
    sender = Sender(secrets, 3)
    frames = [sender.frame()[1] for _ in range(3000)]
    return [frame[:14].ljust(14, b"\0") + frame[14:] for frame in frames], sender


def main():
    frames = directed()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        ethernet = bytes.fromhex("020000000001020000000002" "88b5")
        write_pcap(folder / "sealed.pcap", [ethernet + data for data, _, _ in frames])
        write_keys(folder / "keys")
        with Case("a capture as it is: link headers and handshakes") as case:
            compare(shown(folder / "sealed.pcap"), [sealed for _, sealed, _ in frames])
            case.note(f"{len(frames)} frames")
        with Case("the same, opened with a key log: every field of every packet") as case:
            said = subprocess.run([ROOT / "scripts" / "open-capture", folder / "keys", folder / "sealed.pcap",
                                   folder / "opened.pcapng"], capture_output=True, text=True)
            opened = sum(fields is not None for _, _, fields in frames)
            expect(said.stdout == f"{opened} of {len(frames)} frames opened\n", said.stdout + said.stderr)
            compare(shown(folder / "opened.pcapng"), [opened or sealed for _, sealed, opened in frames])
            case.note(f"{opened} opened, {len(FIELDS)} fields")
            missing = {*FIELDS} - {name for _, one, other in frames for name in {**one, **(other or {})}}
            expect(not missing, f"no frame has {missing}")
        with Case("random and mutated frames, sealed and opened, trouble no one") as case:
            mutated, sender = random_frames()
            write_pcap(folder / "random.pcap", mutated)
            with open(folder / "keys", "w") as keys:
                for owner, epochs in (("link 1", sender.keys[1]), ("session 1", sender.session_keys)):
                    for step, key in enumerate(epochs):
                        keys.write(f"{owner} {step:02x} {key.key.hex()} {key.salt.hex()} {key.suite}\n")
            subprocess.run([ROOT / "scripts" / "open-capture", folder / "keys", folder / "random.pcap",
                            folder / "random.pcapng"], check=True, capture_output=True)
            for name in ("random.pcap", "random.pcapng"):
                got = shown(folder / name)
                expect(len(got) == len(mutated), f"{len(got)} frames")
            case.note(f"{sum('route' in frame for frame in got)} of {len(got)} opened")
        with Case("a key log that is no key log is refused by line"):
            (folder / "keys").write_text("# none\nlink 1 00 abc 00000000\n")
            said = subprocess.run([ROOT / "scripts" / "open-capture", folder / "keys", folder / "sealed.pcap",
                                   folder / "x"], capture_output=True, text=True)
            expect(said.returncode == 1 and ":2: found 'link 1 00 abc" in said.stderr, said.stderr)
    finish()


main()
