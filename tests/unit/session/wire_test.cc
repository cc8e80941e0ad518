// Two peers over a wire that loses, repeats, delays and reorders: whatever happens on the way, once the wire is good
// again both hold each other's keys. Each peer has the least dataplane that a handshake needs: two receive chains (one
// for each parity), one send chain, acks and confirmations that take their time.
#include <gtest/gtest.h>

#include <map>

#include "tests/unit/session/node.h"

namespace sky::controlplane {
namespace {

constexpr uint64_t kMillisecond_ns = 1'000'000;

/// What is on its way to a peer: a handshake message, bare or sealed with a chain, or a sealed frame without one.
struct Packet {
  Bytes message;
  std::optional<Secret<32>> chain;
};

struct Faults {
  unsigned loss_percent;
  unsigned repeat_percent;
  uint64_t most_delay_ns;
};

struct Chain {
  Secret<32> secret;
  uint64_t key_id;
};

class Peer {
 public:
  Peer(uint64_t seed, const Identity& own, const PublicKey& peer) : node(seed, own, peer) {}

  bool live() const { return send.has_value(); }
  Terms offer() {
    Terms terms = node.offer;
    terms.parity = static_cast<uint8_t>(1 - live_parity);
    return terms;
  }
  void install_receive(const Keys& keys) { receive[keys.ours.parity] = Chain{keys.rx_chain, keys.key_id}; }
  void use(const Keys& keys, uint64_t now_ns) {
    if (!send) heard_ns = now_ns;
    live_parity = keys.ours.parity;
    send = Chain{keys.tx_chain, keys.key_id};
  }

  Node node;
  std::array<std::optional<Chain>, 2> receive;
  std::optional<Chain> send;
  std::optional<Keys> provisional;
  int live_parity = 0;
  uint64_t heard_ns = 0;
};

class Wire {
 public:
  explicit Wire(uint64_t seed)
      : random_(seed),
        peers_{std::make_unique<Peer>(seed * 3, identity_of(1), identity_of(2).key),
               std::make_unique<Peer>(seed * 3 + 1, identity_of(2), identity_of(1).key)} {}

  void run(uint64_t length_ns, const Faults& faults, bool renew) {
    faults_ = faults;
    for (const uint64_t end_ns = now_ns_ + length_ns; now_ns_ < end_ns; now_ns_ += kMillisecond_ns) {
      while (!events_.empty() && events_.begin()->first <= now_ns_) {
        auto event = events_.extract(events_.begin());
        event.mapped()();
      }
      for (int i : {0, 1}) tick(i, renew);
    }
  }
  Peer& peer(int i) { return *peers_[i]; }
  /// The second one loses all it knew.
  void restart(uint64_t seed) { peers_[1] = std::make_unique<Peer>(seed * 3 + 2, identity_of(2), identity_of(1).key); }
  int finished() const { return finished_; }
  int deaf() const { return deaf_; }

 private:
  unsigned percent() { return random_.number<uint32_t>() % 100; }
  void after(uint64_t delay_ns, std::function<void()> action) {
    events_.emplace(now_ns_ + delay_ns, std::move(action));
  }
  uint64_t delay_ns() { return random_.number<uint64_t>() % faults_.most_delay_ns; }

  void put(int from, const Packet& packet) {
    for (int copies = percent() < faults_.repeat_percent ? 2 : 1; copies > 0; --copies) {
      if (percent() < faults_.loss_percent) continue;
      after(delay_ns(), [this, from, packet] { arrive(1 - from, packet); });
    }
  }

  void tick(int i, bool renew) {
    Peer& peer = *peers_[i];
    Handshake& handshake = *peer.node.handshake;
    if (!peer.live()) handshake.want(now_ns_);
    if (renew && random_.number<uint32_t>() % 8000 == 0) handshake.want(now_ns_);
    if (peer.live() && now_ns_ - peer.heard_ns > 8 * kSecond_ns) {
      ++deaf_;
      peer.heard_ns = now_ns_;
      handshake.want(now_ns_);
    }
    const auto message = handshake.on_timer(peer.offer(), now_ns_);
    ASSERT_TRUE(message.has_value());
    const bool inside = peer.live() && handshake.tries() <= 2;
    if (!message->empty()) put(i, {*message, inside ? std::optional(peer.send->secret) : std::nullopt});
    if (peer.live() && now_ns_ % (100 * kMillisecond_ns) == 0) put(i, {{}, peer.send->secret});
  }

  void arrive(int i, const Packet& packet) {
    if (packet.chain && !opens(i, *packet.chain, !packet.message.empty())) return;
    if (packet.message.empty()) return;
    switch (*message_type(packet.message)) {
      case MessageType::initiation:
        return initiation(i, packet);
      case MessageType::response:
        return response(i, packet.message);
      case MessageType::cookie: {
        const auto proving = peers_[i]->node.handshake->on_cookie(packet.message, now_ns_);
        if (proving) put(i, {*proving, std::nullopt});
      }
    }
  }

  void initiation(int i, const Packet& packet) {
    Peer& peer = *peers_[i];
    const Terms real = peer.node.offer;
    peer.node.offer = peer.offer();
    auto step = peer.node.receive(packet.message, now_ns_, peer.live(), Node::kSource, packet.chain.has_value());
    peer.node.offer = real;
    if (!step) return;
    if (!step->send.empty()) put(i, {step->send, std::nullopt});
    if (!step->keys) return;
    peer.install_receive(*step->keys);
    peer.provisional = std::move(step->keys);
    after(delay_ns() / 10, [this, i, id = peer.provisional->key_id] {
      const Bytes reply = peers_[i]->node.handshake->release_reply(id);
      if (!reply.empty()) put(i, {reply, std::nullopt});
    });
  }

  void response(int i, const Bytes& message) {
    Peer& peer = *peers_[i];
    auto keys = peer.node.handshake->on_response(message, now_ns_);
    if (!keys) return;
    peer.install_receive(*keys);
    peer.use(*keys, now_ns_);
    peer.provisional.reset();
    put(i, {{}, peer.send->secret});
    ++finished_;
  }

  /// What the dataplane does with a sealed frame.
  bool opens(int i, const Secret<32>& chain, bool carries_message) {
    Peer& peer = *peers_[i];
    for (const auto& held : peer.receive) {
      if (!held || !(held->secret == chain)) continue;
      peer.heard_ns = now_ns_;
      if (carries_message) {
        confirm(i, held->key_id);  // events are drained before packets
      } else {
        after(delay_ns() / 10, [this, i, id = held->key_id] { confirm(i, id); });
      }
      return true;
    }
    return false;
  }

  void confirm(int i, uint64_t key_id) {
    Peer& peer = *peers_[i];
    if (!peer.node.handshake->confirm(key_id)) return;
    ASSERT_TRUE(peer.provisional && peer.provisional->key_id == key_id);
    peer.use(*peer.provisional, now_ns_);
    peer.provisional.reset();
    ++finished_;
  }

  SeededRandom random_;
  Faults faults_{};
  uint64_t now_ns_ = 1000 * kSecond_ns;
  std::multimap<uint64_t, std::function<void()>> events_;
  std::array<std::unique_ptr<Peer>, 2> peers_;
  int finished_ = 0;
  int deaf_ = 0;
};

void expect_same_keys(Wire& wire, uint64_t seed) {
  Peer& one = wire.peer(0);
  Peer& other = wire.peer(1);
  ASSERT_TRUE(one.live() && other.live()) << "seed " << seed;
  ASSERT_TRUE(one.receive[one.live_parity] && other.receive[other.live_parity]) << "seed " << seed;
  EXPECT_TRUE(one.send->secret == other.receive[other.live_parity]->secret) << "seed " << seed;
  EXPECT_TRUE(other.send->secret == one.receive[one.live_parity]->secret) << "seed " << seed;
  EXPECT_EQ(one.node.handshake->deadline_ns(), std::nullopt) << "seed " << seed;
  EXPECT_EQ(other.node.handshake->deadline_ns(), std::nullopt) << "seed " << seed;
}

TEST(Wire, GoodOnesAreKeyedWithinTwoRoundTrips) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    Wire wire(seed);
    wire.run(kSecond_ns / 2, {.loss_percent = 0, .repeat_percent = 0, .most_delay_ns = 50 * kMillisecond_ns}, false);
    expect_same_keys(wire, seed);
    EXPECT_EQ(wire.finished(), 2) << "one handshake, though both began it";
  }
}

TEST(Wire, BadOnesEndWithEqualKeys) {
  int finished = 0, deaf = 0;
  for (uint64_t seed = 1; seed <= 12; ++seed) {
    Wire wire(seed);
    wire.run(100 * kSecond_ns,
             {.loss_percent = 25, .repeat_percent = 25, .most_delay_ns = (seed % 3 ? 300 : 2500) * kMillisecond_ns},
             true);
    wire.run(100 * kSecond_ns, {.loss_percent = 0, .repeat_percent = 10, .most_delay_ns = 20 * kMillisecond_ns}, false);
    expect_same_keys(wire, seed);
    finished += wire.finished();
    deaf += wire.deaf();
    wire.restart(seed);
    wire.run(60 * kSecond_ns, {.loss_percent = 25, .repeat_percent = 25, .most_delay_ns = 300 * kMillisecond_ns}, true);
    wire.run(60 * kSecond_ns, {.loss_percent = 0, .repeat_percent = 0, .most_delay_ns = 20 * kMillisecond_ns}, false);
    expect_same_keys(wire, seed);
  }
  EXPECT_GT(finished, 12 * 8) << "renewals took place";
  EXPECT_EQ(deaf, 0) << "and none left a peer unheard";
}

}  // namespace
}  // namespace sky::controlplane
