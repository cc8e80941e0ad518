// Two whole dataplanes, a and b, with a link, a session and a circuit each way, in one thread under one clock: keys
// step by what the two tell each other. The test is the wire between them, and the handshakes of their control planes.
// A third node, the transit, is b's other neighbour with a circuit of the same session: who forwards Datagrams and
// turned hostile.
#pragma once

#include <array>
#include <memory>
#include <set>
#include <vector>

#include "tests/support/installs.h"
#include "tests/support/node.h"

namespace sky::soak {

using namespace sky::test;

inline constexpr uint64_t kMs = 1'000'000;

/// Where a key stands in the order of a's: handshakes so far, steps since.
struct Key {
  unsigned life = 0;
  uint32_t step = 0;
  bool operator==(const Key&) const = default;
};

/// A Datagram's frame as the wire from a to b had it.
struct Seen {
  Bytes frame;
  Bytes datagram;  ///< what the link's seal hides
  Key link, session;
  uint64_t link_counter, session_counter;
};

class TwoNodes {
 public:
  /// `keys`: of links and sessions, time and bytes far beyond a handshake's. Up and forwarding both ways afterwards.
  explicit TwoNodes(const dataplane::KeyPolicy& keys);

  /// New chains for link and session, as a handshake's two ends install them.
  void shake_hands();
  /// b dies with all it had and comes back without any; then they shake hands.
  void restart_b();
  /// Time passes for both, each sends so many packets to the other, and what they say crosses the wire.
  void turn(uint64_t ns, unsigned from_a = 0, unsigned from_b = 0);
  /// What is under way arrives; no time passes, so nothing new is sent.
  void come_to_rest();
  /// Turns until every step of a's keys is so long ago that b has forgotten what came before it.
  void settle();
  /// Frames into a port of b's in one burst with packets of a's, for workers alone: no key moves. Returns how many of
  /// a's packets came with them.
  unsigned attack(unsigned port, const std::vector<Bytes>& frames);

  // What b says of a Datagram that comes again, once settled: as its frame, and as what a transit has of it.
  Drop verdict_of_frame(const Seen& seen) const;
  Drop verdict_of_datagram(const Seen& seen) const;

  Node& a() { return *nodes_[0]; }
  Node& b() { return *nodes_[1]; }
  const Key& link_key() const { return now().link.key; }
  const Key& session_key() const { return now().session.key; }
  uint64_t sent() const { return sent_[0] + sent_[1]; }
  /// Packets that did not arrive, or not in their order, or changed.
  uint64_t lost() const { return sent() - arrived_[0] - arrived_[1]; }
  /// Times that the link went down, as either end counts.
  uint64_t flaps() const;

  LinkPeer transit{2, 102, 12};
  static constexpr uint32_t kTransitRoute = 0xb02;  ///< that b gave it
  bool record = false;
  std::vector<Seen> seen;           ///< while `record`
  Bytes last_frame, last_datagram;  ///< a's newest
  std::set<uint32_t> damaged;       ///< circuits that either reported so

 private:
  /// What the wire shows of one chain: the key in use, and how many counters of it.
  struct Track {
    Key key;
    uint64_t used = 0;
    void follow(uint32_t step, uint64_t counter);
  };
  struct Life {
    Chain link_chain{{}};
    Track link, session;
  };

  const Life& now() const { return lives_[life_ % 2]; }
  std::unique_ptr<Node> make_node() const;
  void begin();
  void install_circuits(unsigned end);
  void put_chains(unsigned end, Direction direction);
  void carry();
  void note(const Bytes& frame);
  void write(unsigned end, unsigned packets);
  void read(unsigned end);
  Bytes packet_of(unsigned from, uint64_t number) const;

  dataplane::KeyPolicy keys_;
  uint64_t now_ns_ = 1'000'000'000'000;
  std::array<std::unique_ptr<Node>, 2> nodes_;
  std::array<uint64_t, 2> sent_{}, arrived_{}, next_{};
  unsigned life_ = 0;
  std::array<Life, 2> lives_;  ///< by parity
  uint64_t stepped_ns_ = 0;
  uint64_t flaps_ = 0;  ///< of nodes that are gone
};

}  // namespace sky::soak
