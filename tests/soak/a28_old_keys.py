"""A28: keys that are done with, looked for in the memory of the processes that had them.

A library in front of libsodium (key_spy.cc) tells which secrets pass through it; key_scan.cc looks for them, and for the
AES round keys that come of them, in all that the processes have mapped. What is in use must be found, else the search is
no search.
"""

import base64
import functools
import os
import struct
import subprocess
import tempfile
import time
from collections import namedtuple
from pathlib import Path

import row as rows
import yaml
from soak_lab import UdpStream, run as run_program, stopped, stream_to_b1, two_nodes, wait_until

TITLE = "old keys: after rekeys, renewals and a peer's removal no byte of them lies in either process"
CI, FULL = "1 round of renewals, 1 removal", "100 rounds of renewals, 1 removal"

RENEWAL_S = 1  # of links and sessions; keys step with that age too
# A chain is renewed after that and an eighth, its keys open frames of before for 2 s more, and 1 s is the mark.
OLD_S = RENEWAL_S * 9 / 8 + 2 + 1
REFRESH_S = 1

RECORD = struct.Struct("<BB6xQQ")
CHAIN, EPOCH_KEY, STATIC_DH, DH, AGREED, NOISE_KEY, CHAINING_KEY, PEER_PUBLIC, OPERAND = range(1, 10)
NAMES = {CHAIN: "chain", EPOCH_KEY: "epoch-key", STATIC_DH: "static-dh", DH: "ephemeral-dh", AGREED: "agreed",
         NOISE_KEY: "noise-key", CHAINING_KEY: "noise-chaining-key"}
Secret = namedtuple("Secret", "kind bytes at_s process")


def spied(path):
    """Every secret told of, in order; those that stay for the life of a process (its identity, what that shares with a
    peer's) are all of kind STATIC_DH."""
    data, at, secrets, static, peers, operands = path.read_bytes(), 0, [], set(), set(), {}
    while at + RECORD.size <= len(data):
        kind, size, at_ns, process = RECORD.unpack_from(data, at)
        text = data[at + RECORD.size : at + RECORD.size + size]
        at += RECORD.size + size
        if kind == PEER_PUBLIC:
            peers.add(text)
        elif kind == OPERAND:
            operands[process] = text
        elif kind == STATIC_DH:
            static.add(text)
        if kind == DH:
            multiplied = text
            kind = STATIC_DH if text in static else DH
        elif kind == AGREED and multiplied in static and operands[process] in peers:
            static.add(text)
            kind = STATIC_DH
        if kind in NAMES and not text.startswith(b"Noise_IKpsk2"):  # the first chaining key is the protocol's name
            secrets.append(Secret(kind, text, at_ns / 1e9, process))
    return [secret for secret in secrets if secret.kind == STATIC_DH or secret.bytes not in static]


def aes_sbox():
    """FIPS 197, 5.1.1, by powers of the generator 3."""
    box, p, q = [0x63] * 256, 1, 1
    while True:
        p ^= (p << 1 ^ (0x1B if p & 0x80 else 0)) & 0xFF
        for shift in (1, 2, 4):
            q ^= q << shift & 0xFF
        q ^= 0x09 if q & 0x80 else 0
        rotated = [(q << n | q >> (8 - n)) & 0xFF for n in range(5)]
        box[p] = rotated[0] ^ rotated[1] ^ rotated[2] ^ rotated[3] ^ rotated[4] ^ 0x63
        if p == 1:
            return bytes(box)


SBOX = aes_sbox()


@functools.cache
def round_keys(key):
    """The 15 round keys of AES-256 (FIPS 197, 5.2)."""
    words, constant = [key[at : at + 4] for at in range(0, 32, 4)], 1
    while len(words) < 60:
        word = words[-1]
        if len(words) % 8 == 0:
            word = (word[1:] + word[:1]).translate(SBOX)
            word = bytes([word[0] ^ constant]) + word[1:]
            constant <<= 1
        elif len(words) % 8 == 4:
            word = word.translate(SBOX)
        words.append(bytes(a ^ b for a, b in zip(word, words[-8])))
    return [b"".join(words[at : at + 4]) for at in range(0, 60, 4)]


def needles(secrets):
    """{16 bytes: what they are of}"""
    found = {}
    for secret in secrets:
        pieces = [secret.bytes[at : at + 16] for at in range(0, len(secret.bytes), 16)]
        if secret.kind == EPOCH_KEY:
            pieces = round_keys(secret.bytes)  # the first two are the key
        found.update({piece: NAMES[secret.kind] for piece in pieces if len(set(piece)) > 1})
    return found


def scan(pid, wanted):
    """[(name, where)] of the needles that lie in the process, and the bytes looked through."""
    text = "".join(f"{piece.hex()} {name}\n" for piece, name in wanted.items())
    done = subprocess.run([rows.BUILD / "tests/soak/key_scan", str(pid)], input=text, capture_output=True, text=True,
                          check=True)
    *hits, last = done.stdout.splitlines()
    return [tuple(hit.split(" ", 1)) for hit in hits], int(last.split()[1])


class Search:
    """The lab's processes and what was told of their keys."""

    def __init__(self, row, lab, spy):
        self.row, self.lab, self.spy, self.bytes, self.searched = row, lab, spy, 0, 0

    def look(self, node, role, secrets, extra=()):
        hits, scanned = scan(self.lab.pid(node, role), {**needles(secrets), **dict(extra)})
        self.bytes += scanned
        return hits

    def expect_none(self, node, role, secrets, when, extra=()):
        hits = self.look(node, role, secrets, extra)
        self.searched += len(secrets) + len(extra)
        self.row.expect(not hits, f"{when}: {role} of {node} holds {len(hits)} pieces of old secrets:\n"
                        + "\n".join(f"{name} at {where}" for name, where in hits[:20]))

    def expect_some(self, node, role, secrets, extra=()):
        """Some of what secrets() says now is found: the process stands still meanwhile, as its keys would not."""
        with stopped(self.lab, node, role):
            found = self.look(node, role, secrets(), extra)
        self.row.expect(found, f"{role} of {node}: no secret that is in use is found")

    def rounds(self, count):
        """After each round what is older than keys may be, and is not the nodes' own, is nowhere."""
        time.sleep(OLD_S + 1.5)
        for number in range(count):
            mark = time.monotonic() - OLD_S
            secrets = spied(self.spy)
            old = [secret for secret in secrets if secret.at_s < mark and secret.kind != STATIC_DH]
            fresh = {secret.bytes for secret in secrets if secret.at_s >= mark}
            old = [secret for secret in old if secret.bytes not in fresh]
            for kind in (CHAIN, EPOCH_KEY, DH, AGREED, NOISE_KEY, CHAINING_KEY):
                self.row.expect(any(secret.kind == kind for secret in old), f"no old {NAMES[kind]} was told of")
            for node in self.lab.nodes:
                for role in ("data", "control"):
                    self.expect_none(node, role, old, f"round {number}")
            self._expect_current()
            if number + 1 < count:
                time.sleep(RENEWAL_S)

    def _expect_current(self):
        """Keys that are in use, and each node's own, are found where they are."""
        for node in self.lab.nodes:
            self.expect_some(node, "data", lambda node=node: self._of(node, "data", EPOCH_KEY)[-6:])
            self.expect_some(node, "control", lambda node=node: self._of(node, "control", STATIC_DH))

    def _of(self, node, role, kind):
        process = self.lab.pid(node, role)
        return [each for each in spied(self.spy) if each.kind == kind and each.process == process]


def new_psk(file):
    """Its bytes."""
    run_program(rows.BUILD / "skyctl", "keygen", file)
    return base64.b64decode(file.read_text().strip())


def remove_peer(search, lab, pieces):
    """a1 forgets its link: of all that was agreed with b1 nothing is left, the pre-shared key included."""
    search.expect_some("a1", "control", list, pieces)
    for role in ("control", "data"):
        lab.stop("b1", role)
    lab.stop("a1", "control")
    settings = yaml.safe_load((lab.path / "a1" / "router.yaml").read_text())
    settings["links"] = {}
    topology = yaml.safe_load((lab.path / "topology.yaml").read_text())
    topology["links"] = {}
    (lab.path / "topology.yaml").write_text(yaml.safe_dump(topology, sort_keys=False))
    (lab.path / "a1" / "router.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
    lab.start("a1", "control")
    wait_until(lambda: lab.show("a1", "links") == [], 10, "a1 is without links")
    time.sleep(REFRESH_S + 1.5)  # what nobody wants is left alone for a refresh, then deleted
    told, process = spied(search.spy), lab.pid("a1", "control")
    own = {each.bytes for each in told if each.kind == STATIC_DH and each.process == process}
    gone = [each for each in told if each.bytes not in own]
    for role in ("data", "control"):
        search.expect_none("a1", role, gone, "after the peer's removal", pieces)


def run(row):
    with tempfile.TemporaryDirectory() as folder:
        spy = Path(folder) / "keys"
        os.environ.update(LD_PRELOAD=str(rows.BUILD / "tests/soak/libkey_spy.so"), SKYEDGE_KEY_SPY=str(spy))
        psk = new_psk(Path(folder) / "psk")
        # Patient: a process that stands still to be looked through is not to be taken for a dead one.
        settings = {"links": {"a1-b1": {"psk": str(Path(folder) / "psk"), "liveness": {"interval": "300ms"}}},
                    "rekey": {"time": f"{RENEWAL_S}s", "handshake": f"{RENEWAL_S}s"},
                    # Idle: a tenth of it is how often traffic is seen.
                    "circuits": {"refresh": f"{REFRESH_S}s", "idle": "5s", "probe": {"interval": "300ms"}}}
        try:
            with two_nodes(settings) as lab:
                # Both ways: a receiver lets go of a chain when a frame came under the one that follows.
                streams = [stream_to_b1(lab), UdpStream(lab, "b1", "a1", lab.addresses("a1")["ipv6"], port=7002)]
                search = Search(row, lab, spy)
                search.rounds(row.size(1, 100))
                for stream in streams:
                    stream.finish()
                remove_peer(search, lab, [(psk[:16], "pre-shared-key"), (psk[16:], "pre-shared-key")])
        finally:
            del os.environ["LD_PRELOAD"], os.environ["SKYEDGE_KEY_SPY"]
    row.figure(f"{search.searched} secrets looked for in {search.bytes >> 20} MiB: 0 found")
