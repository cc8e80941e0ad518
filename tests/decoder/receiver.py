"""What a node does with one frame, as docs/protocol.md says: the order of checks, the window, the rule. It answers with
the line that `verdicts` prints. Its links, rules and keys are those that `verdicts` says it installed."""

import hashlib

import skyframe as sky

WINDOW = 8192
PUNTED_BETWEEN_TWO = (sky.HANDSHAKE_PACKET, sky.SIGNAL, sky.DEAD_ROUTES)


def hexed(data):
    return bytes(data).hex() or "-"


def digest(data):
    return f"{len(data)} {hashlib.blake2b(data, digest_size=16).hexdigest()}"


class Window:
    def __init__(self):
        self.newest, self.seen = -1, set()

    def fresh(self, counter):
        return counter > self.newest - WINDOW and counter not in self.seen

    def add(self, counter):
        self.newest = max(self.newest, counter)
        self.seen.add(counter)
        if len(self.seen) > 4 * WINDOW:
            self.seen = {each for each in self.seen if each > self.newest - WINDOW}


class Receiver:
    def __init__(self, installed):
        self.links = {link["link"]: link for link in installed["links"]}
        self.rules = {rule["route"]: rule for rule in installed["rules"]}
        self.keys, self.windows = {}, {}
        for index, link in self.links.items():
            secret = bytes.fromhex(link["secret"])
            for step, epoch in enumerate(sky.epochs_of(secret, 2, link["suite"]) if secret else []):
                self.keys[index, link["parity"] << 7 | step] = epoch
                self.windows[index, link["parity"] << 7 | step] = Window()
        for index, link in self.links.items():  # the pings that brought it up
            for counter in range(link["next_counter"]):
                self.windows[index, link["parity"] << 7].add(counter)
        session = installed["session"]
        self.session_id = session["id"]
        chain = sky.epochs_of(bytes.fromhex(session["secret"]), 2, session["suite"])
        self.session_keys = {session["parity"] << 1 | step: epoch for step, epoch in enumerate(chain)}
        self.session_windows = {}

    def frame(self, port, frame):
        if len(frame) < 14 + sky.LINK_HEADER + sky.TAG + sky.LEAST_SEALED:
            return "drop frame_short"
        if frame[12:14] != b"\x88\xb5":
            return "drop not_skywire"
        data = frame[14:]
        if len(data) > 1500:
            return "drop frame_long"
        header = sky.read_link_header(data)
        if header.version != 1:
            return "drop bad_version"
        if header.kind == sky.HANDSHAKE:
            return (f"punt handshake {port} {hexed(frame[6:12])} {sky.ETHERTYPE} {hexed(data[:16])} "
                    f"{digest(data[16:])}")
        if header.kind > sky.CLEAR:
            return "drop bad_kind"
        if header.reserved:
            return "drop bad_reserved"
        link = self.links.get(header.link)
        if link is None:
            return "drop unknown_link"
        if link["port"] != port:
            return "drop wrong_port"
        if header.kind > link["least_kind"]:
            return "drop weak_kind"
        if header.kind == sky.CLEAR:
            return self.opened(link, header, data[sky.LINK_HEADER:])
        if header.kind == sky.HEADER and len(data) < sky.LINK_HEADER + sky.TAG + sky.HEADER_SEALED:
            return "drop frame_short"
        return self.sealed(link, header, data)

    def sealed(self, link, header, data):
        epoch = self.keys.get((header.link, header.epoch))
        if epoch is None:
            return "drop no_key"
        if header.lane != 0:  # one worker at either end
            return "drop bad_lane"
        window = self.windows[header.link, header.epoch]
        if not window.fresh(header.counter):
            return "drop replayed"
        inside = sky.open_frame(epoch, data)
        if inside is None:
            return "drop bad_tag"
        window.add(header.counter)
        return self.opened(link, header, inside)

    def opened(self, link, header, inside):
        packet = sky.read_packet(inside, header.kind)
        if packet is None:
            return "drop bad_size"
        if not sky.carries(header.kind, packet):
            return "drop wrong_kind"
        return self.between_two(link, packet) if packet.route == 0 else self.on_circuit(link, header, packet)

    def between_two(self, link, packet):
        if packet.type == sky.TRANSPORT_PING:
            return "local" if sky.read_liveness(packet.payload) else "drop bad_control"
        if packet.type == sky.KEEPALIVE:
            return "local"
        if packet.type in PUNTED_BETWEEN_TWO:
            return f"punt link {packet.type} {link['link']} 0 {digest(packet.payload)}"
        return "drop bad_type"

    def on_circuit(self, link, header, packet):
        rule = self.rules.get(packet.route)
        if rule is None:
            return "drop unknown_route"
        if rule["link"] != link["link"]:
            return "drop wrong_link"
        if header.kind > rule["least_kind"]:
            return "drop weak_kind"
        if rule["action"] == "consume":
            return self.consume(link, rule, packet, header.ecn)
        if header.hop_limit <= 1:
            return "drop hop_limit"
        if header.cls != rule["class"]:
            return "drop wrong_class"
        if not self.links[rule["next_link"]]["secret"]:  # never came up
            return "drop link_down"
        return self.send(self.links[rule["next_link"]], header.hop_limit - 1, rule, packet, rule["next_route"])

    @staticmethod
    def send(link, hop_limit, rule, packet, route):
        """With the stronger of the link's kind and the circuit's, or sealed whole where that carries no such packet."""
        if sky.LINK_HEADER + sky.TAG + sky.PACKET_HEADER + packet.size > link["mtu"]:
            return "drop too_big"
        kind = min(link["kind"], rule["least_kind"])
        kind = kind if sky.carries(kind, packet) else sky.SEALED
        return (f"forward {link['link']} {kind} {hop_limit} {rule['class']} {packet.type} {route} "
                f"{digest(packet.payload)}")

    def consume(self, link, rule, packet, ecn):
        payload = packet.payload
        if packet.type == sky.KEEPALIVE:
            return "local"
        if packet.type == sky.HANDSHAKE_PACKET or (packet.type == sky.PONG and len(payload) == 16
                                                   and payload[8] & 0x80):
            return f"punt circuit {packet.type} {link['link']} {packet.route} {digest(payload)}"
        if packet.type == sky.PONG:  # no group of this node has a member
            return "drop bad_control"
        if packet.type == sky.PING:
            if len(payload) != 16:
                return "drop bad_control"
            return self.send(link, 64, rule, packet._replace(type=sky.PONG), rule["twin"])
        return self.egress(rule, payload, ecn) if packet.type == sky.DATAGRAM else "drop bad_type"

    def egress(self, rule, payload, ecn):
        datagram = sky.read_datagram(payload)
        if datagram is None:
            return "drop inner_malformed"
        if not rule["stream"] <= datagram.stream < rule["stream"] + rule["streams"]:
            return "drop session_stream"
        epoch = self.session_keys.get(datagram.epoch)
        if epoch is None:
            return "drop session_no_key"
        window = self.session_windows.setdefault((datagram.epoch, datagram.stream), Window())
        if not window.fresh(datagram.counter):
            return "drop session_replayed"
        inner = sky.open_datagram(epoch, self.session_id, datagram.epoch, payload)
        if inner is None:
            return "drop session_bad_tag"
        window.add(datagram.counter)
        addresses = sky.read_inner(inner)
        if addresses is None:
            return "drop inner_malformed"
        inner = sky.take_ecn(ecn, inner)
        if inner is None:
            return "drop bad_ecn"
        family, source, destination = addresses
        # What this node serves, and the prefixes of the session's domain.
        here, there = ((b"\xfd\x00\x00\x01", b"\xfd\x00\x00\x0f") if family == 6 else (b"\x0a\x01", b"\x0a\x09"))
        if not destination.startswith(here):
            return "drop inner_destination"
        if not source.startswith(there):
            return "drop inner_source"
        return f"deliver {digest(inner)}"


# --- records without state


def handshake(data):
    message = sky.read_handshake(data)
    if isinstance(message, sky.Initiation):
        body = message.ephemeral + message.static + message.payload
        return f"initiation {message.sender} {body.hex()} {message.mac1.hex()} {message.mac2.hex()}"
    if isinstance(message, sky.Response):
        body = message.ephemeral + message.payload
        return f"response {message.sender} {message.receiver} {body.hex()} {message.mac1.hex()} {message.mac2.hex()}"
    if isinstance(message, sky.Cookie):
        return f"cookie {message.receiver} {message.nonce.hex()} {message.cookie.hex()}"
    return "bad"  # a confirmation is the session's own affair


def terms(data):
    read = sky.read_terms(data)
    return "bad" if read is None else " ".join(map(str, ("terms", *read)))


def liveness(data):
    read = sky.read_liveness(data)
    return "bad" if read is None else " ".join(map(str, ("liveness", *read)))


NAMES = {sky.Setup: "setup", sky.SetupReply: "setup_reply", sky.SetupRefused: "setup_refused", sky.Close: "close",
         sky.Trace: "trace", sky.TraceReply: "trace_reply"}


def signal(data):
    read = sky.read_signal(data)
    if read is None:
        return "bad"
    words = [NAMES[type(read)]]
    for value in read:
        if isinstance(value, list):
            words += [hexed(part) for node in value for part in node]
        else:
            words.append(hexed(value) if isinstance(value, bytes) else str(value))
    return " ".join(words)
