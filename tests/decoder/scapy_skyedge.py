"""Scapy layers over the formats of skyframe.py, for who wants to look at frames or build them by hand:

    from scapy_skyedge import *
    Ether()/LinkHeader(kind=3)/Initiation(sender=7)
    Opened(inside)          # what skyframe.open_frame() gave
"""

import skyframe as sky
from scapy.fields import (BitEnumField, BitField, ByteEnumField, ByteField, IntField, LongField, ShortField, StrField,
                          X3BytesField, XIntField, XLongField, XStrFixedLenField)
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw, bind_layers

KINDS = {0: "frame", 1: "header", 2: "clear", 3: "handshake", 4: "hello"}
TYPES = {0: "Data", 1: "Close", 2: "KeepAlive", 3: "Handshake", 4: "Ping", 5: "Pong", 6: "Error", 8: "TransportPing",
         9: "TransportPong", 17: "Datagram", 64: "Signal", 65: "DeadRoutes"}


class LinkHeader(Packet):
    name = "Skyedge link header"
    fields_desc = [BitField("version", 1, 4), BitEnumField("kind", 0, 4, KINDS), ByteField("hop_limit", 64),
                   ByteField("epoch", 0), BitField("cls", 0, 3), BitField("ecn", 0, 2), BitField("reserved", 0, 3),
                   IntField("link", 0), ByteField("lane", 0), BitField("counter", 0, 56)]

    def guess_payload_class(self, payload):
        if self.kind == sky.HANDSHAKE:
            return {1: Initiation, 2: Response, 3: Cookie}.get(payload[:1] and payload[0], Raw)
        return Sealed if self.kind == sky.SEALED else Raw


class Sealed(Packet):
    name = "Skyedge sealed packet"
    fields_desc = [XStrFixedLenField("tag", bytes(16), 16), StrField("sealed", b"")]


class Opened(Packet):
    """Packet and padding."""
    name = "Skywire packet"
    fields_desc = [ByteEnumField("type", 0, TYPES), XIntField("route_id", 0), ShortField("size", 0)]

    def extract_padding(self, data):
        return data[:self.size], data[self.size:]

    def guess_payload_class(self, payload):
        if self.type == sky.TRANSPORT_PING and self.route_id == 0:
            return Liveness
        if self.type in (sky.PING, sky.PONG):
            return Probe
        if self.type == sky.HANDSHAKE_PACKET:
            return {1: Initiation, 2: Response, 3: Cookie, 4: Confirmation}.get(payload[:1] and payload[0], Raw)
        return Datagram if self.type == sky.DATAGRAM else Raw


class Datagram(Packet):
    name = "Skyedge datagram"
    fields_desc = [BitField("epoch", 0, 2), BitField("stream", 0, 14), BitField("counter", 0, 48),
                   XStrFixedLenField("tag", bytes(16), 16), StrField("sealed", b"")]


class Liveness(Packet):
    name = "Skyedge liveness"
    fields_desc = [BitField("asks", 0, 4), BitField("zero", 0, 3), BitField("hears", 1, 1), ByteField("multiplier", 3),
                   ShortField("reserved", 0), IntField("interval_us", 50_000), LongField("sent_ns", 0),
                   LongField("echoed_ns", 0)]


class Probe(Packet):
    name = "Skyedge circuit probe"
    fields_desc = [LongField("timestamp", 0), XLongField("asker", 0)]


class Initiation(Packet):
    name = "Skyedge handshake initiation"
    fields_desc = [ByteField("message", 1), X3BytesField("zero", 0), XIntField("sender", 0),
                   XStrFixedLenField("ephemeral", bytes(32), 32), XStrFixedLenField("static", bytes(48), 48),
                   XStrFixedLenField("sealed", bytes(48), 48), XStrFixedLenField("mac1", bytes(16), 16),
                   XStrFixedLenField("mac2", bytes(16), 16)]


class Response(Packet):
    name = "Skyedge handshake response"
    fields_desc = [ByteField("message", 2), X3BytesField("zero", 0), XIntField("sender", 0), XIntField("receiver", 0),
                   XStrFixedLenField("ephemeral", bytes(32), 32), XStrFixedLenField("sealed", bytes(48), 48),
                   XStrFixedLenField("mac1", bytes(16), 16), XStrFixedLenField("mac2", bytes(16), 16)]


class Cookie(Packet):
    name = "Skyedge handshake cookie"
    fields_desc = [ByteField("message", 3), X3BytesField("zero", 0), XIntField("sender", 0), XIntField("receiver", 0),
                   XStrFixedLenField("nonce", bytes(24), 24), XStrFixedLenField("cookie", bytes(32), 32)]


class Confirmation(Packet):
    name = "Skyedge session confirmation"
    fields_desc = [ByteField("message", 4), X3BytesField("zero", 0), XLongField("key_id", 0),
                   XStrFixedLenField("mac", bytes(16), 16)]


bind_layers(Ether, LinkHeader, type=sky.ETHERTYPE)
