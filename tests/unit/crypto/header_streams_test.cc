// AES that runs ahead, against the same engine's whole operation.
#include "dataplane/crypto/header_streams.h"

#include <gtest/gtest.h>
#include <intel-ipsec-mb.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <vector>

#include "dataplane/crypto/mb_engine.h"

namespace sky::dataplane {
namespace {

using Frame = std::array<uint8_t, kLinkOverhead + kHeaderSealed>;
constexpr uint64_t kLane = 3;

/// One lane, the keys that its frames are sealed under one after the other, and every counter of them.
class Lane {
 public:
  explicit Lane(std::unique_ptr<MbEngine> engine) : engine_(std::move(engine)) { new_key(); }

  void new_key() {
    std::array<uint8_t, kAeadKeyBytes> raw;
    for (uint8_t& byte : raw) byte = static_cast<uint8_t>(random_());
    for (uint8_t& byte : key_.salt) byte = static_cast<uint8_t>(random_());
    engine_->expand(Suite::aes_256_gcm, raw, key_.key);
    key_.suite = Suite::aes_256_gcm;
    ++key_.generation;
    counter_ = 0;
  }
  /// Frames of other kinds take so many counters.
  void pass(unsigned count) {
    for (; count > 0; --count) streams_.pass(key_, kLane, note(counter_++));
  }
  /// A burst: its hashes are added when the last of it is prepared. What came out, and what should have.
  void seal(size_t count, std::vector<Frame>& got, std::vector<Frame>& wanted) {
    std::vector<HashOp> ops;
    std::vector<Hashed> hashed;
    got.resize(count);
    wanted.resize(count);
    for (size_t i = 0; i < count; ++i) {
      for (uint8_t& byte : got[i]) byte = static_cast<uint8_t>(random_());
      const Be64 lane_counter(kLane << 56 | note(counter_));
      std::memcpy(&got[i][8], &lane_counter, sizeof(lane_counter));
      wanted[i] = got[i];
      seal_whole(wanted[i]);
      const __m128i header = _mm_loadu_si128(reinterpret_cast<const __m128i*>(got[i].data()));
      hashed.push_back(streams_.seal(*engine_, key_, kLane, counter_++, header, got[i].data()));
      ops.push_back({&key_.key, &got[i][sizeof(LinkHeader)]});
    }
    engine_->add_hashes(ops, hashed);
  }
  /// Of the streams of counters that frames had, how many blocks are found in what the lane keeps.
  size_t found() const {
    const auto* bytes = reinterpret_cast<const uint8_t*>(&streams_);
    size_t count = 0;
    for (size_t at = 0; at + sizeof(Block) <= sizeof(streams_); ++at) {
      Block block;
      std::copy_n(bytes + at, block.size(), block.begin());
      count += used_.contains(block);
    }
    return count;
  }
  size_t used() const { return used_.size(); }

 private:
  using Block = std::array<uint8_t, 16>;

  AeadOp op(uint8_t* frame) const {
    AeadOp op{.key = &key_.key,
              .data = frame + kLinkOverhead,
              .tag = frame + sizeof(LinkHeader),
              .associated = frame,
              .length = kHeaderSealed,
              .associated_length = sizeof(LinkHeader),
              .suite = Suite::aes_256_gcm,
              .authentic = false,
              .nonce = {}};
    std::ranges::copy(key_.salt, op.nonce.begin());
    std::copy_n(frame + 8, 8, op.nonce.begin() + 4);
    return op;
  }
  void seal_whole(Frame& frame) {
    AeadOp whole = op(frame.data());
    engine_->seal({&whole, 1});
  }
  /// That the counter is used: its stream is what becomes of zeros.
  uint64_t note(uint64_t counter) {
    Frame zeros{};
    const Be64 lane_counter(kLane << 56 | counter);
    std::memcpy(&zeros[8], &lane_counter, sizeof(lane_counter));
    seal_whole(zeros);
    for (size_t at : {kLinkOverhead, kLinkOverhead + sizeof(Block)}) {
      Block block;
      std::copy_n(&zeros[at], block.size(), block.begin());
      used_.insert(block);
    }
    return counter;
  }

  std::unique_ptr<MbEngine> engine_;
  KeySlot key_;
  HeaderStreams streams_;
  uint64_t counter_ = 0;
  std::set<Block> used_;
  std::mt19937 random_{7};
};

class HeaderStreamsOn : public testing::TestWithParam<void (*)(IMB_MGR*)> {
 protected:
  void SetUp() override {
    auto engine = MbEngine::create(GetParam());
    if (!engine || (*engine)->suites() != kAllSuites) GTEST_SKIP() << "no such instructions";
    lane_.emplace(std::move(*engine));
  }

  std::optional<Lane> lane_;
};

TEST_P(HeaderStreamsOn, SealAsTheWholeOperationDoesWhateverComesBetween) {
  Lane& lane = *lane_;
  std::mt19937 random(1);
  std::vector<Frame> got, wanted;
  for (int turn = 0; turn < 2000; ++turn) {
    lane.seal(random() % 65, got, wanted);  // also more in a burst than are made ahead
    ASSERT_EQ(wanted, got) << turn;
    if (random() % 2 == 0) lane.pass(random() % 40);
    if (random() % 8 == 0) lane.new_key();
    if (turn % 100 == 0) {
      ASSERT_EQ(0u, lane.found()) << turn;
    }
  }
  EXPECT_GT(lane.used(), 100'000u);
}

TEST_P(HeaderStreamsOn, NothingIsLeftOfACounterThatAFrameHad) {
  Lane& lane = *lane_;
  std::vector<Frame> got, wanted;
  for (unsigned sealed = 1; sealed < 40; ++sealed) {
    lane.seal(sealed, got, wanted);
    EXPECT_EQ(0u, lane.found());
    lane.pass(sealed % 7);
    EXPECT_EQ(0u, lane.found());
    lane.new_key();
    lane.pass(sealed % 5);
    EXPECT_EQ(0u, lane.found());
  }
}

INSTANTIATE_TEST_SUITE_P(Engines, HeaderStreamsOn,
                         testing::Values(init_mb_mgr_sse, init_mb_mgr_avx, init_mb_mgr_avx2, init_mb_mgr_avx512));

}  // namespace
}  // namespace sky::dataplane
