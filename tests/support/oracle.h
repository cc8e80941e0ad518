// The far end of a link and of a session, made from docs/protocol.md and libsodium alone: it shares no code with the
// dataplane, so what both agree on is what the document says.
#pragma once

#include <sodium.h>

#include <array>
#include <deque>
#include <map>
#include <optional>
#include <set>

#include "tests/support/bytes.h"

namespace sky::test {

using Secret = std::array<uint8_t, 32>;

/// A secret that is its seed's alone.
Secret secret_of(uint64_t seed);

/// One epoch's key. Copies are cheap enough for tests.
class Aead {
 public:
  Aead(Suite suite, std::span<const uint8_t, 32> key, std::span<const uint8_t> salt);
  /// tag 16 | ciphertext
  Bytes seal(uint64_t nonce, std::span<const uint8_t> associated, std::span<const uint8_t> plain) const;
  std::optional<Bytes> open(uint64_t nonce, std::span<const uint8_t> associated, std::span<const uint8_t> tag,
                            std::span<const uint8_t> sealed) const;

 private:
  std::array<uint8_t, 12> nonce_of(uint64_t nonce) const;
  Suite suite_;
  std::array<uint8_t, 32> key_;
  std::array<uint8_t, 4> salt_;
};

/// One direction's keys, epoch after epoch.
class Chain {
 public:
  explicit Chain(const Secret& secret, Suite suite = Suite::aes_256_gcm) : secret_(secret), suite_(suite) {}
  const Aead& step(uint32_t step);

 private:
  Secret secret_;
  Suite suite_;
  std::deque<Aead> epochs_;
};

/// Which counters of one key and lane or stream were seen: the newest 8192. A look before the tag is checked knows what
/// earlier bursts brought, the final verdict also what stood before it in its own.
class SeenCounters {
 public:
  bool looks_fresh(uint64_t counter, uint64_t burst);
  /// False when it was there already.
  bool add(uint64_t counter);

 private:
  std::set<uint64_t> seen_, in_burst_;
  std::optional<uint64_t> newest_before_;
  uint64_t burst_ = 0;
};

/// A packet as Skywire has it: type, route ID, size, payload.
Bytes packet(unsigned type, uint32_t route, const Bytes& payload = {});

struct Header {
  uint8_t version_kind = 0x10;
  uint8_t hop_limit = 50;
  uint8_t epoch = 0;
  uint8_t class_ecn = 0;
  uint32_t link_index = 0;
  uint64_t lane_counter = 0;

  FrameKind kind() const { return FrameKind{static_cast<uint8_t>(version_kind & 15)}; }
  Bytes bytes() const;
  bool operator==(const Header&) const = default;
};

Header read_header(std::span<const uint8_t> at);

/// From the link header on: header, tag, packet and padding, sealed as the header's kind says.
Bytes seal_frame(const Aead& key, const Header& header, const Bytes& inside);
std::optional<Bytes> open_frame(const Aead& key, std::span<const uint8_t> frame);

/// A Datagram's payload: the word of epoch, stream and counter, tag, sealed inner packet.
Bytes seal_datagram(const Aead& key, uint64_t session_id, unsigned epoch, unsigned stream, uint64_t counter,
                    const Bytes& inner);
std::optional<Bytes> open_datagram(const Aead& key, uint64_t session_id, const Bytes& datagram);

struct OpenedFrame {
  Header header;
  Bytes inside;  ///< packet and padding
  uint8_t type() const { return inside[0]; }
  uint32_t route() const { return static_cast<uint32_t>(get(inside, 1, 4)); }
  Bytes payload() const { return {inside.begin() + 7, inside.begin() + 7 + static_cast<ptrdiff_t>(get(inside, 5, 2))}; }
};

/// The neighbour behind one link of the node under test.
class LinkPeer {
 public:
  LinkPeer(uint16_t link, uint16_t peer_index, uint64_t seed, Suite suite = Suite::aes_256_gcm);

  /// The header of the next frame towards the node.
  Header next_header(FrameKind its_kind = FrameKind::frame);
  /// A whole Ethernet frame; pads up to 14 bytes inside the seal.
  Bytes seal(const Header& header, Bytes inside);
  /// In a frame of the link's kind, or of kind `frame` where that does not carry such a packet.
  Bytes seal(const Bytes& packet);
  /// A frame of the node's: Ethernet header, tag and padding checked; nothing when any of these is wrong.
  std::optional<OpenedFrame> open(std::span<const uint8_t> frame);
  Bytes ethernet_towards_node() const;
  Bytes ethernet_from_node() const;
  /// A TransportPing that says "I hear you", or does not; `worn`: slots of the node's send keys to be replaced.
  Bytes ping(bool hears, uint32_t interval_us, uint64_t sent_ns = 1, uint64_t echoed_ns = 0, unsigned worn = 0);

  Suite suite;
  uint16_t link;        ///< the node's index of the link
  uint16_t peer_index;  ///< what the node writes into its headers
  uint16_t ether_type = 0x88B5;
  MacAddress mac;                     ///< the peer's
  MacAddress node_mac;                ///< the node's
  FrameKind kind = FrameKind::frame;  ///< of what it sends
  unsigned parity = 0;                ///< of both directions
  uint32_t step = 0;                  ///< of the keys towards the node
  uint32_t from_step = 0;             ///< newest step heard from the node
  uint64_t counter = 0;
  uint8_t lane = 0;
  Secret towards_secret, from_secret;
  Chain towards_node, from_node;
};

/// The far end of a session.
class SessionPeer {
 public:
  SessionPeer(uint32_t session, uint64_t seed, Suite suite = Suite::aes_256_gcm);

  /// A Datagram's payload, on the stream's next counter.
  Bytes seal(unsigned stream, const Bytes& inner) {
    return seal(parity << 1 | (step & 1), stream, counters[stream]++, inner);
  }
  Bytes seal(unsigned epoch, unsigned stream, uint64_t counter, const Bytes& inner);
  struct Opened {
    unsigned epoch, stream;
    uint64_t counter;
    Bytes inner;
  };
  std::optional<Opened> open(const Bytes& datagram);

  Suite suite;
  uint32_t session;
  uint64_t session_id;
  unsigned parity = 0;
  uint32_t step = 0;       ///< of the keys towards the node
  uint32_t from_step = 0;  ///< newest step heard from the node
  std::map<unsigned, uint64_t> counters;
  Secret towards_secret, from_secret;
  Chain towards_node, from_node;
};

}  // namespace sky::test
