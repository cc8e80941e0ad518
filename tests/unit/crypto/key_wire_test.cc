// Two nodes step through a thousand epochs over a wire that loses, delays and reorders, with real AEAD: no frame that
// arrives may fail to open, no nonce may come twice under a key, and no key may change while a worker holds it.
#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <random>
#include <set>
#include <string>
#include <tuple>

#include "dataplane/crypto/key_ring.h"
#include "dataplane/crypto/mb_engine.h"

namespace sky::dataplane {
namespace {

constexpr uint64_t kMillisecond = 1'000'000;
constexpr uint64_t kRound = 10 * kMillisecond;
constexpr uint64_t kAge = 2'000 * kMillisecond;
constexpr unsigned kLanes = 2;
constexpr size_t kBodyBytes = 40;
using Secret = std::array<uint8_t, kChainSecretBytes>;

struct Frame {
  uint64_t arrives_ns;
  unsigned lane;
  uint8_t epoch;
  uint64_t counter;
  std::array<uint8_t, kAeadTagBytes> tag;
  std::array<uint8_t, kBodyBytes> body;
};

using WireFrames = std::multimap<uint64_t, Frame>;  ///< by arrival

std::array<uint8_t, kAeadNonceBytes> nonce_of(const Salt& salt, unsigned lane, uint64_t counter) {
  std::array<uint8_t, kAeadNonceBytes> nonce;
  std::copy(salt.begin(), salt.end(), nonce.begin());
  for (unsigned i = 0; i < 8; ++i) {
    nonce[4 + i] = static_cast<uint8_t>((uint64_t{lane} << 56 | counter) >> (56 - 8 * i));
  }
  return nonce;
}

using ExpandedBytes = std::array<uint8_t, sizeof(AeadKey)>;

/// One end: rings on the main core, a worker that holds a key from one quiescent state to the next.
struct Node {
  std::unique_ptr<MbEngine> engine = *MbEngine::create();
  KeyPolicy policy = KeyPolicy::of_age(kAge, kLanes);
  ReceiveKeys receive_keys;
  SendKeys send_keys;
  KeyIdMemories seen;
  KeyRing ring{receive_keys, send_keys, *engine, policy, seen};
  std::array<SealCounter, kLanes> counters;
  std::array<LaneWindows<>, kLanes> windows;
  uint64_t quiesced_ns = 0;  ///< the worker's last quiescent state was right after this round
  const KeySlot* held = nullptr;
  ExpandedBytes held_bytes{};
};

class Wire : public testing::Test {
 protected:
  std::mt19937 random_{7};
  Node a_, b_;
  uint64_t now_ns_ = kRound;
  uint64_t sent_ = 0, opened_ = 0, unknown_epoch_ = 0, bad_tag_ = 0, replayed_ = 0, stopped_ = 0;
  std::set<std::tuple<uint64_t, unsigned, uint64_t>> nonces_;
  std::map<uint64_t, ExpandedBytes> key_of_generation_;
  std::set<ExpandedBytes> send_keys_used_;
  uint64_t next_key_id_ = 1;

  Round round(const Node& node) const { return {now_ns_, node.quiesced_ns}; }

  /// What a handshake installs: the responder's receive key stands before the initiator may send.
  void handshake(Node& initiator, Node& responder, bool parity) {
    Secret forth, back;
    for (uint8_t& byte : forth) byte = static_cast<uint8_t>(random_());
    for (uint8_t& byte : back) byte = static_cast<uint8_t>(random_());
    const uint64_t id = next_key_id_++;
    ASSERT_TRUE(responder.ring.receive.put_chain(id, parity, forth, round(responder)));
    ASSERT_TRUE(initiator.ring.receive.put_chain(id, parity, back, round(initiator)));
    ASSERT_TRUE(responder.ring.receive.ready());
    ASSERT_TRUE(initiator.ring.receive.ready());
    ASSERT_TRUE(responder.ring.send.put_chain(id, parity, back, true, round(responder)));
    ASSERT_TRUE(initiator.ring.send.put_chain(id, parity, forth, false, round(initiator)));
  }

  /// The worker takes the current key at the start of a burst ...
  void begin_burst(Node& node) {
    if (node.held != nullptr) return;
    node.held = node.send_keys.now();
    if (node.held != nullptr) node.held_bytes = std::bit_cast<ExpandedBytes>(node.held->key);
  }
  /// ... seals with it some rounds later, and is quiescent then.
  void end_burst(Node& node, WireFrames& wire) {
    if (node.held != nullptr && random_() % 4 != 0) return;
    if (node.held != nullptr) {
      ASSERT_EQ(node.held_bytes, std::bit_cast<ExpandedBytes>(node.held->key)) << "a key changed in a worker's hand";
      for (unsigned lane = 0; lane < kLanes; ++lane) {
        for (unsigned i = random_() % 3; i-- > 0;) seal(node, lane, wire);
      }
    }
    node.held = nullptr;
    node.quiesced_ns = now_ns_;
  }

  void seal(Node& node, unsigned lane, WireFrames& wire) {
    const KeySlot& slot = *node.held;
    const uint64_t counter =
        node.counters[lane].next(slot.generation, kBodyBytes, node.policy.seal_limits(kLinkCounters));
    if (counter == SealCounter::kStopped) {
      ++stopped_;
      return;
    }
    ASSERT_TRUE(nonces_.insert({slot.generation, lane, counter}).second) << "a nonce came twice";
    const auto [known, fresh] = key_of_generation_.insert({slot.generation, node.held_bytes});
    ASSERT_EQ(known->second, node.held_bytes) << "two keys of one generation";
    if (fresh) {
      ASSERT_TRUE(send_keys_used_.insert(node.held_bytes).second) << "a key came back";
    }
    Frame frame{.arrives_ns = 0, .lane = lane, .epoch = slot.epoch, .counter = counter, .tag = {}, .body = {}};
    frame.body.fill(static_cast<uint8_t>(counter));
    AeadOp op{.key = &slot.key,
              .data = frame.body.data(),
              .tag = frame.tag.data(),
              .associated = &frame.epoch,
              .length = kBodyBytes,
              .associated_length = 1,
              .suite = slot.suite,
              .authentic = false,
              .nonce = nonce_of(slot.salt, lane, counter)};
    node.engine->seal({&op, 1});
    ++sent_;
    if (lost()) return;
    const uint64_t most_ms = random_() % 50 == 0 ? 600 : 60;
    frame.arrives_ns = now_ns_ + random_() % most_ms * kMillisecond;
    wire.insert({frame.arrives_ns, frame});
  }

  /// One frame in ten, and all of them for up to 300 ms now and then.
  bool lost() {
    if (now_ns_ >= outage_until_ns_ && random_() % 2000 == 0) {
      outage_until_ns_ = now_ns_ + random_() % 300 * kMillisecond;
    }
    return now_ns_ < outage_until_ns_ || random_() % 10 == 0;
  }
  uint64_t outage_until_ns_ = 0;

  void receive(Node& node, WireFrames& wire) {
    for (; !wire.empty() && wire.begin()->first <= now_ns_; wire.erase(wire.begin())) {
      Frame& frame = wire.begin()->second;
      KeySlot* slot = node.receive_keys.for_link(frame.epoch);
      if (slot == nullptr) {
        ++unknown_epoch_;
        continue;
      }
      auto window = node.windows[frame.lane].of(slot_index(frame.epoch), slot->generation);
      AeadOp op{.key = &slot->key,
                .data = frame.body.data(),
                .tag = frame.tag.data(),
                .associated = &frame.epoch,
                .length = kBodyBytes,
                .associated_length = 1,
                .suite = slot->suite,
                .authentic = false,
                .nonce = nonce_of(slot->salt, frame.lane, frame.counter)};
      node.engine->open({&op, 1});
      if (!op.authentic) {
        ++bad_tag_;
        continue;
      }
      if (!window.test_and_set(frame.counter)) ++replayed_;
      EXPECT_FALSE(window.test_and_set(frame.counter)) << "a copy must not pass";
      slot->mark_seen();
      ++opened_;
    }
  }

  void tick(Node& node) {
    SendUse use;
    for (const SealCounter& lane : node.counters) use.add(lane, node.ring.send.generation());
    node.ring.tick(round(node), use);
  }

  WireFrames to_b_, to_a_;
  /// One round: both mains tick, both workers work. `back`: b sends too.
  void step(bool back) {
    now_ns_ += kRound;
    for (Node* node : {&a_, &b_}) tick(*node);
    receive(b_, to_b_);
    receive(a_, to_a_);
    begin_burst(a_);
    end_burst(a_, to_b_);
    if (!back) b_.quiesced_ns = now_ns_;
    if (back) begin_burst(b_);
    if (back) end_burst(b_, to_a_);
  }

  void expect_no_loss_but_the_wires() {
    EXPECT_EQ(0u, unknown_epoch_);
    EXPECT_EQ(0u, bad_tag_);
    EXPECT_EQ(0u, replayed_);
    EXPECT_EQ(0u, stopped_);
    EXPECT_GT(opened_, sent_ / 2);
    EXPECT_EQ(key_of_generation_.size(), send_keys_used_.size());
  }
};

TEST_F(Wire, AThousandEpochsWithRenewalsInBothDirections) {
  bool parity = false;
  handshake(a_, b_, parity);
  for (int renewal = 0; send_keys_used_.size() < 2000; ++renewal) {
    ASSERT_LT(renewal, 1000) << "epochs must go on";
    for (uint64_t i = 0; i < 37 * kAge / kRound; ++i) step(true);
    ASSERT_FALSE(HasFatalFailure());
    parity = !parity;
    renewal % 2 == 0 ? handshake(b_, a_, parity) : handshake(a_, b_, parity);
  }
  expect_no_loss_but_the_wires();
}

TEST_F(Wire, AThousandEpochsOfOneChainInOneDirection) {
  handshake(a_, b_, false);
  for (int i = 0; send_keys_used_.size() < 1000; ++i) {
    ASSERT_LT(i, 1'000'000) << "epochs must go on";
    step(false);
  }
  ASSERT_FALSE(HasFatalFailure());
  expect_no_loss_but_the_wires();
}

TEST_F(Wire, ReplaysOverAThousandEpochsAreAllRefused) {
  handshake(a_, b_, false);
  std::deque<Frame> recorded;
  uint64_t accepted = 0;
  for (int i = 0; send_keys_used_.size() < 1000; ++i) {
    ASSERT_LT(i, 1'000'000) << "epochs must go on";
    step(false);
    for (const auto& [arrives_ns, frame] : to_b_) {
      if (random_() % 8 == 0) recorded.push_back(frame);
    }
    while (recorded.size() > 1000) recorded.pop_front();
    WireFrames again;
    for (int n = 0; n < 3 && !recorded.empty(); ++n) {
      const Frame& old = recorded[random_() % recorded.size()];
      if (old.arrives_ns < now_ns_) again.insert({old.arrives_ns, old});
    }
    const uint64_t before = opened_ - replayed_;
    receive(b_, again);
    accepted += opened_ - replayed_ - before;
  }
  EXPECT_EQ(0u, accepted);
  EXPECT_GT(replayed_, 1000u) << "some must have met a live key";
  EXPECT_GT(unknown_epoch_, 1000u) << "and some a dead one";
}

}  // namespace
}  // namespace sky::dataplane
