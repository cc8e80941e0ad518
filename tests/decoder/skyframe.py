"""Skyedge's bytes, decoded. Written from docs/protocol.md alone: it shares nothing with the C++ readers, so that what
both make of a frame is what the document says. Plain struct; scapy_skyedge.py puts layers over the same formats.

Each read_* returns a named tuple, or None where the document refuses the bytes."""

import hashlib
import struct
from collections import namedtuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

ETHERTYPE = 0x88B5
SEALED, HEADER, CLEAR, HANDSHAKE, HELLO = range(5)
DATA, CLOSE, KEEPALIVE, HANDSHAKE_PACKET, PING, PONG, ERROR = range(7)
TRANSPORT_PING, TRANSPORT_PONG, DATAGRAM, SIGNAL, DEAD_ROUTES = 8, 9, 17, 64, 65
LINK_HEADER, TAG, PACKET_HEADER, DATAGRAM_HEADER = 16, 16, 7, 24
LEAST_SEALED = 14  # packet and padding, so that an Ethernet frame has 60 bytes
LEAST_CLEAR = LEAST_SEALED + TAG
HEADER_SEALED = 32  # bytes that kind 1 seals
SUITES = {"aes-256-gcm": AESGCM, "chacha20-poly1305": ChaCha20Poly1305}
REASONS = 18
CONGESTION = 3  # ECN

LinkHeader = namedtuple("LinkHeader", "version kind hop_limit epoch cls ecn reserved link lane counter")
Packet = namedtuple("Packet", "type route size payload padding")
Datagram = namedtuple("Datagram", "epoch stream counter tag sealed")
Liveness = namedtuple("Liveness", "hears asks multiplier interval_us sent_ns echoed_ns")
Initiation = namedtuple("Initiation", "sender ephemeral static payload mac1 mac2")
Response = namedtuple("Response", "sender receiver ephemeral payload mac1 mac2")
Cookie = namedtuple("Cookie", "receiver nonce cookie")
Confirmation = namedtuple("Confirmation", "key_id mac")
Terms = namedtuple("Terms", "index parity suites least_kind lanes oldest newest boot session run attempt")
Setup = namedtuple("Setup", "refresh standby attempt hop circuit life_s queue_class protect mtu return_route "
                            "stream_to_egress stream_to_ingress hop_limit proof alternate_link alternate_return_route "
                            "rate_kbit_s copy_stream copy_window path blob")
SetupReply = namedtuple("SetupReply", "hop circuit forward_route alternate_route mtu copy_window blob")
SetupRefused = namedtuple("SetupRefused", "reason hop circuit text")
Close = namedtuple("Close", "reason towards circuit")
Trace = namedtuple("Trace", "towards hop circuit probe")
TraceReply = namedtuple("TraceReply", "towards hop circuit probe address")


# --- frames


def read_link_header(data):
    first, hop_limit, epoch, class_ecn, link, lane_counter = struct.unpack_from(">BBBBIQ", data)
    return LinkHeader(first >> 4, first & 15, hop_limit, epoch, class_ecn >> 5, class_ecn >> 3 & 3, class_ecn & 7,
                      link, lane_counter >> 56, lane_counter & (1 << 56) - 1)


def read_packet(inside, kind=SEALED):
    """Packet and padding; their length is exactly what the size field says, or in a clear frame at least that."""
    packet_type, route, size = struct.unpack_from(">BIH", inside)
    whole, end = max(PACKET_HEADER + size, LEAST_SEALED), PACKET_HEADER + size
    if len(inside) < whole or (len(inside) > whole and kind != CLEAR):
        return None
    return Packet(packet_type, route, size, inside[PACKET_HEADER:end], inside[end:])


def carries(kind, packet):
    """Whether a frame of that kind may carry the packet."""
    if kind == SEALED:
        return True
    return packet.route != 0 and (kind == CLEAR or packet.type == DATAGRAM and packet.size >= 25)


def read_datagram(payload):
    if len(payload) < DATAGRAM_HEADER:
        return None
    (word,) = struct.unpack_from(">Q", payload)
    return Datagram(word >> 62, word >> 48 & 0x3FFF, word & (1 << 48) - 1, payload[8:24], payload[24:])


def read_liveness(payload):
    if len(payload) != 24:
        return None
    flags, *rest = struct.unpack(">BBxxIQQ", payload)
    return Liveness(flags & 1, flags >> 4, *rest)


def read_inner(data):
    """(family, source, destination) of exactly one IP packet."""
    if len(data) >= 40 and data[0] >> 4 == 6 and len(data) == 40 + int.from_bytes(data[4:6], "big"):
        return 6, data[8:24], data[24:40]
    if len(data) >= 20 and data[0] >> 4 == 4:
        header, length = (data[0] & 15) * 4, int.from_bytes(data[2:4], "big")
        if 20 <= header <= length == len(data):
            return 4, data[12:16], data[16:20]
    return None


# --- keys


class Epoch:
    """One epoch's key and salt."""

    def __init__(self, key, salt, suite="aes-256-gcm"):
        self.key, self.salt, self.suite = key, salt, suite
        self.aead = SUITES[suite](key)

    def open(self, word, associated, tag, sealed):
        """None when the tag does not hold; `word` is the nonce's last 8 bytes."""
        try:
            return self.aead.decrypt(self.salt + word, bytes(sealed) + bytes(tag), associated)
        except InvalidTag:
            return None

    def seal(self, word, associated, plain):
        """(tag, ciphertext)"""
        sealed = self.aead.encrypt(self.salt + word, plain, associated)
        return sealed[-TAG:], sealed[:-TAG]


def epochs_of(secret, count, suite="aes-256-gcm"):
    """The first epochs of a chain."""
    def subkey(number, size):  # libsodium's crypto_kdf_derive_from_key
        return hashlib.blake2b(digest_size=size, key=secret, salt=struct.pack("<QQ", number, 0),
                               person=b"skychain".ljust(16, b"\0")).digest()

    epochs = []
    for _ in range(count):
        epochs.append(Epoch(subkey(1, 32), subkey(2, 16)[:4], suite))
        secret = subkey(3, 32)
    return epochs


def seal_frame(epoch, header, inside):
    """From the link header on, as its kind says; pads. A clear frame needs no epoch."""
    kind = header[0] & 15
    inside += bytes(max(0, (LEAST_CLEAR if kind == CLEAR else LEAST_SEALED) - len(inside)))
    if kind == CLEAR:
        return header + inside
    covered = HEADER_SEALED if kind == HEADER else len(inside)
    tag, sealed = epoch.seal(header[8:16], header, inside[:covered])
    return header + tag + sealed + inside[covered:]


def open_frame(epoch, frame):
    """Packet and padding of a frame of kind 0 or 1, or None."""
    header, inside = bytes(frame[:LINK_HEADER]), frame[LINK_HEADER + TAG:]
    covered = HEADER_SEALED if header[0] & 15 == HEADER else len(inside)
    plain = epoch.open(header[8:16], header, frame[LINK_HEADER:LINK_HEADER + TAG], inside[:covered])
    return None if plain is None else plain + inside[covered:]


def seal_datagram(epoch, session_id, number, stream, counter, inner):
    word = struct.pack(">Q", number << 62 | stream << 48 | counter)
    tag, sealed = epoch.seal(word, struct.pack(">QQ", session_id, number), inner)
    return word + tag + sealed


def open_datagram(epoch, session_id, number, payload):
    return epoch.open(payload[:8], struct.pack(">QQ", session_id, number), payload[8:24], payload[24:])


def take_ecn(outer, inner):
    """The IP packet that goes on, its checksum with it, where the frame that brought it was marked; None: none may."""
    six = inner[0] >> 4 == 6
    ecn = inner[1] >> 4 & 3 if six else inner[1] & 3
    if outer != CONGESTION or ecn == CONGESTION:
        return inner
    if ecn == 0:
        return None
    marked = bytearray(inner)
    marked[1] |= 0x30 if six else 3
    if not six:
        total = (~int.from_bytes(inner[10:12], "big") & 0xFFFF) + CONGESTION - ecn
        marked[10:12] = (~(total + (total >> 16)) & 0xFFFF).to_bytes(2, "big")
    return bytes(marked)


# --- handshakes


def read_handshake(data):
    sizes = {1: 168, 2: 124, 3: 68, 4: 28}
    if not data or sizes.get(data[0]) != len(data) or data[1:4] != b"\0\0\0":
        return None
    if data[0] == 1:
        return Initiation(*struct.unpack(">4xI32s48s48s16s16s", data))
    if data[0] == 2:
        return Response(*struct.unpack(">4xII32s48s16s16s", data))
    if data[0] == 3:
        return Cookie(*struct.unpack(">8xI24s32s", data))
    return Confirmation(*struct.unpack(">4xQ16s", data))


def read_terms(data):
    if len(data) != 32:
        return None
    terms = Terms(*struct.unpack(">IBBBBBBQQIH", data))
    good = terms.parity <= 1 and terms.suites and terms.least_kind <= CLEAR and 1 <= terms.lanes <= 16
    return terms if good and terms.oldest <= terms.newest else None


# --- signals


def read_signal(data):
    readers = {1: _setup, 2: _setup_reply, 3: _setup_refused, 4: _close, 5: _trace, 6: _trace_reply}
    reader = readers.get(data[0]) if data else None
    try:
        return reader(data) if reader else None
    except struct.error:  # too short
        return None


def _blob(data, at):
    (size,) = struct.unpack_from(">H", data, at)
    return data[at + 2:] if len(data) == at + 2 + size and size <= 400 else None


def _setup(data):
    (flags, attempt, hop, circuit, life, queue_class, protect, mtu, route, to_egress, to_ingress, hop_limit, nodes,
     proof, alternate, alternate_route, rate, copied, window) = struct.unpack_from(">xBBB16sIBBHIHHBB16s8sIIHB", data)
    path = [struct.unpack_from(">16s8s", data, 73 + 24 * i) for i in range(nodes)]
    blob = _blob(data, 73 + 24 * nodes)
    good = (flags < 4 and 2 <= nodes <= 32 and blob is not None and 1 <= life <= 604_800
            and queue_class & 3 in (1, 2) and not queue_class & 0x1C and protect <= CLEAR and mtu >= 576 and route != 0
            and all(stream < 16384 and stream % 16 == 0 for stream in (to_egress, to_ingress, copied))
            and (64 <= rate <= 10 ** 9 if queue_class & 3 == 1 else rate == 0)
            and _is_window(window) and (window or not copied) and (alternate == bytes(8)) == (alternate_route == 0)
            and 40 <= hop_limit <= 64 and 1 <= hop < nodes and len({address for address, _ in path}) == nodes
            and all((link == bytes(8)) == (place == 0) for place, (_, link) in enumerate(path)))
    return Setup(flags & 1, flags >> 1, attempt, hop, circuit, life, queue_class, protect, mtu, route, to_egress,
                 to_ingress, hop_limit, proof, alternate, alternate_route, rate, copied, window, path,
                 blob) if good else None


def _is_window(log2):
    return log2 == 0 or 13 <= log2 <= 20


def _setup_reply(data):
    flags, hop, window, circuit, route, alternate, mtu = struct.unpack_from(">xBBB16sIIH", data)
    blob = _blob(data, 30)
    good = not flags and _is_window(window) and 1 <= hop < 32 and route != 0 and mtu >= 576 and blob is not None
    return SetupReply(hop, circuit, route, alternate, mtu, window, blob) if good else None


def _short(data):
    return struct.unpack_from(">xBBB16s", data)


def _setup_refused(data):
    reason, hop, reserved, circuit = _short(data)
    text = data[20:]
    good = 1 <= reason <= REASONS and not reserved and len(text) <= 160 and all(0x20 <= byte < 0x7F for byte in text)
    return SetupRefused(reason, hop, circuit, text) if good else None


def _close(data):
    reason, towards, reserved, circuit = _short(data)
    good = 1 <= reason <= REASONS and towards <= 1 and not reserved and len(data) == 20
    return Close(reason, towards, circuit) if good else None


def _trace(data):
    towards, hop, reserved, circuit = _short(data)
    good = towards <= 1 and hop < 32 and not reserved and len(data) == 24
    return Trace(towards, hop, circuit, int.from_bytes(data[20:], "big")) if good else None


def _trace_reply(data):
    towards, hop, reserved, circuit = _short(data)
    good = towards <= 1 and hop < 32 and not reserved and len(data) == 40
    return TraceReply(towards, hop, circuit, int.from_bytes(data[20:24], "big"), data[24:]) if good else None
