// Gate and handshake of two nodes that call each other, with the fuzzer as the wire between them: it repeats, reorders,
// alters and invents messages, with MACs that hold, and speaks with either node's keys.
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "tests/fuzz/forge.h"
#include "tests/fuzz/input.h"
#include "tests/unit/session/node.h"

namespace sky::fuzz {
namespace {

using namespace controlplane;

constexpr size_t kMostMessages = 64;

class Wire {
 public:
  explicit Wire(Prologue prologue) : pair_(prologue), prologue_(prologue) {}

  void step(Input& input) {
    const uint8_t head = input.byte();
    const unsigned to = head >> 7;
    switch (head & 7) {
      case 0:
        return call(to);
      case 1:
        now_ns_ += uint64_t{1} << input.below(40);
        return;
      case 2:
      case 3:
        if (!sent_.empty()) receive(to, sent_[input.below(sent_.size())], input.byte());
        return;
      case 4:
        return receive(to, altered(to, input), 0);
      case 5:
        return receive(to, mac(to, input.bytes(200)), 0);
      case 6:
        return insider(to, input);
      default:
        return finish(to);
    }
  }

 private:
  struct Side {
    std::optional<Keys> provisional;
    std::map<uint64_t, Keys> keys;  ///< by key ID
    std::set<Bytes> answered;       ///< initiations
    bool live = false;
  };

  Node& node(unsigned index) { return index == 0 ? pair_.lower : pair_.higher; }
  const Identity& identity(unsigned index) { return node(index).gate.identity(); }
  void send(Bytes message) {
    if (!message.empty() && sent_.size() < kMostMessages) sent_.push_back(std::move(message));
  }

  void call(unsigned from) {
    node(from).handshake->want(now_ns_);
    const auto message = node(from).handshake->on_timer(node(from).offer, now_ns_);
    ASSERT_TRUE(message.has_value());
    if (message->empty()) return;
    note(*message);
    send(*message);
  }

  /// One that was sent, with a few bytes changed.
  Bytes altered(unsigned to, Input& input) {
    if (sent_.empty()) return {};
    Bytes message = sent_[input.below(sent_.size())];
    for (unsigned changes = input.byte() % 4u + 1; changes > 0; --changes) {
      const auto at = input.below(message.size());
      message[at] = input.byte();
    }
    return mac(to, std::move(message));
  }
  Bytes mac(unsigned to, Bytes message) {
    if (message.size() == sizeof(InitiationMessage) || message.size() == sizeof(ResponseMessage))
      write_macs(message, MacKeys::of(identity(to).dh.public_key), {});
    return message;
  }

  void insider(unsigned to, Input& input) {
    const auto terms = input.plain<std::array<uint8_t, kTermsBytes>>();
    const auto sender = input.number<uint32_t>();
    const Identity& from = identity(to ^ 1);
    const auto& key = identity(to).dh.public_key;
    Bytes message;
    if (const auto asked = input.byte(); asked % 2 == 0 || sent_.empty()) {
      message = forge_initiation(from, key, prologue_, terms, sender, pair_.lower.random);
    } else {
      message = forge_response(from, key, prologue_, sent_[asked % sent_.size()], terms, sender, pair_.lower.random);
    }
    if (message.empty()) return;
    insider_spoke_ = true;
    note(message);
    receive(to, message, 0);
  }

  void receive(unsigned to, const Bytes& message, uint8_t way) {
    const auto type = message_type(message);
    if (!type) return;
    if (*type == MessageType::initiation) return on_initiation(to, message, way);
    Handshake& handshake = *node(to).handshake;
    if (*type == MessageType::cookie) {
      if (auto again = handshake.on_cookie(message, now_ns_)) send(*again);
      return;
    }
    auto keys = handshake.on_response(message, now_ns_);
    if (!keys) return;
    EXPECT_TRUE(is_authentic(message)) << "keys of a message that nobody sealed";
    EXPECT_TRUE(keys->initiator);
    EXPECT_FALSE(handshake.pending()) << "what is final empties both places";
    sides_[to].live = true;
    keep(to, std::move(*keys));
  }

  void on_initiation(unsigned to, const Bytes& message, uint8_t way) {
    const std::array<uint8_t, 6> source{2, 0, 0, 0, 0, static_cast<uint8_t>(way & 7)};
    auto step = node(to).receive(message, now_ns_, sides_[to].live, source, (way & 8) != 0);
    if (!step) return;
    EXPECT_LE(step->send.size(), message.size()) << "no answer is longer than what it answers";
    EXPECT_NE(step->keys.has_value(), !step->send.empty());
    send(step->send);
    if (!step->keys) return;
    EXPECT_TRUE(is_authentic(message)) << "keys of a message that nobody sealed";
    EXPECT_FALSE(step->keys->initiator);
    // Whoever has the keys can make a node forget which of its runs came before.
    EXPECT_TRUE(sides_[to].answered.insert(sealed_part(message)).second || insider_spoke_)
        << "a replay is answered anew";
    sides_[to].provisional = step->keys;
    keep(to, std::move(*step->keys));
  }

  /// The dataplane acked the keys of an answer; then the first frame under them.
  void finish(unsigned who) {
    Side& side = sides_[who];
    if (!side.provisional) return;
    Handshake& handshake = *node(who).handshake;
    const uint64_t key_id = side.provisional->key_id;
    if (const Bytes reply = handshake.release_reply(key_id); !reply.empty()) {
      note(reply);
      send(reply);
      return;
    }
    if (!handshake.confirm(key_id)) return;
    EXPECT_FALSE(handshake.pending());
    side.live = true;
    side.provisional.reset();
  }

  /// Both sides of one handshake hold the same; one key ID names one handshake.
  void keep(unsigned who, Keys keys) {
    EXPECT_NE(keys.tx_chain, keys.rx_chain);
    EXPECT_EQ(identity(who ^ 1).key, keys.peer);
    const auto other = sides_[who ^ 1].keys.find(keys.key_id);
    if (other != sides_[who ^ 1].keys.end()) {
      EXPECT_TRUE(match(keys, other->second));
    }
    const uint64_t id = keys.key_id;
    EXPECT_TRUE(sides_[who].keys.emplace(id, std::move(keys)).second) << "the same keys twice";
  }

  /// What is under the seals of a message: the rest a stranger may change and still be heard.
  static Bytes sealed_part(const Bytes& message) {
    const size_t head = message_type(message) == MessageType::initiation ? 8 : 12;
    return {message.begin() + static_cast<ptrdiff_t>(head), message.end() - 2 * sizeof(Mac)};
  }
  void note(const Bytes& message) { authentic_.insert(sealed_part(message)); }
  bool is_authentic(const Bytes& message) const { return authentic_.contains(sealed_part(message)); }

  Pair pair_;
  Prologue prologue_;
  uint64_t now_ns_ = kSecond_ns;
  std::vector<Bytes> sent_;
  std::set<Bytes> authentic_;
  bool insider_spoke_ = false;
  std::array<Side, 2> sides_;
};

}  // namespace
}  // namespace sky::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  sky::fuzz::Input input(data, size);
  sky::fuzz::Wire wire(input.byte() % 2 == 0 ? sky::controlplane::kLinkPrologue : sky::controlplane::kSessionPrologue);
  for (int steps = 0; !input.empty() && steps < 100; ++steps) wire.step(input);
  return 0;
}
