"""A29: an older and a newer version at the other end of the contract, and of a link."""

import socket
import struct
import time

from soak_lab import stream_to_b1, two_nodes, wait_until

TITLE = "mixed versions: refused in words, nothing crashes, what stands goes on forwarding"
CI = FULL = "all fields of the contract, all frame versions, a live dataplane"

MAGIC = 0x3165676465796B73
FIELDS = 9  # of AbiSizes
REQUEST = struct.Struct(f"<Q{FIELDS}I4x")  # AttachRequest
REPLY = struct.Struct(f"<Q{FIELDS}III4x3Q")  # AttachReply
WRONG_ABI, STATUS = 2, 1 + FIELDS  # where it stands in a reply: after magic and sizes


def ask(path, request):
    """The status that a dataplane answers with."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as peer:
        peer.settimeout(5)
        peer.connect(str(path))
        peer.send(request)
        reply = peer.recv(4096)
    return REPLY.unpack(reply)[STATUS] if len(reply) == REPLY.size else None


def run(row):
    row.gtest("tests/soak/process_faults_test", "MixedVersions.*")
    row.gtest("tests/unit/session/session_test", "Negotiate.*:Terms.*:Handshake.NoCommonGround*")
    with two_nodes() as lab:
        lab.stop("b1", "control")
        dataplane = lab.pid("b1", "data")
        stream = stream_to_b1(lab)
        # This version's own sizes, from the sources' point of view unknown: the reply to a wrong request tells them.
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as peer:
            peer.settimeout(5)
            peer.connect(str(lab.path / "b1" / "dataplane.sock"))
            peer.send(REQUEST.pack(MAGIC, *[0] * FIELDS))
            sizes = REPLY.unpack(peer.recv(4096))[1:STATUS]
        refused = 0
        for field in range(FIELDS):
            for by in (-1, 1):
                other = [value + by * (at == field) for at, value in enumerate(sizes)]
                status = ask(lab.path / "b1" / "dataplane.sock", REQUEST.pack(MAGIC, *other))
                row.expect(status == WRONG_ABI, f"sizes {other}: status {status}")
                refused += 1
        time.sleep(1)  # some traffic, however quick the answers were
        result = stream.finish()
        row.figure(f"{refused} strangers at a live dataplane, {result['lost']} of {result['sent']} datagrams lost")
        row.expect(result["lost"] == result["duplicates"] == 0, f"{result}")
        row.expect(lab.pid("b1", "data") == dataplane, "the dataplane was started anew")
        lab.start("b1", "control")
        wait_until(lambda: lab.healthy("b1"), 15, "b1 is healthy")
