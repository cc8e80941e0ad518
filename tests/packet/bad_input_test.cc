// A port under attack: noise, spoiled copies of good frames, a whole capture played again, and a neighbour who tries
// every route ID. Nothing is delivered or forwarded, each frame is counted under its reason. SKYEDGE_BAD_FRAMES says
// how many of the first kind, 10^6 if it says nothing.
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <random>

#include "tests/packet/crossroads.h"
#include "tests/support/soak.h"

namespace sky::test {
namespace {

constexpr uint32_t kConsume = 0x00000321;
constexpr unsigned kBurst = 60;

class BadInput : public Crossroads {
 protected:
  explicit BadInput(NodeConfig config = {}) : Crossroads(std::move(config)) {}
  void SetUp() override {
    Crossroads::SetUp();
    node.install({message(forward_put(kRoute, left.link, right.link, kNext)),
                  message(consume_put(kConsume, left.link, far.session, 0)), message(group_put(7, kDomain)),
                  message(destination_put("fd00:f::", 32, GroupIndex{7})),
                  message(destination_put("fd00:1::", 32, kLocalGroup))});
    node.port(0).poison = true;
  }
  /// Frames that pass and frames that end here, in turn.
  std::vector<Bytes> good_frames(size_t count) {
    std::vector<Bytes> out;
    for (size_t i = 0; i < count; ++i) {
      const Bytes inner = ipv6({.source = "fd00:f::1", .destination = "fd00:1::1", .payload = i % 900});
      const uint32_t route = i % 2 == 0 ? kRoute : kConsume;
      out.push_back(left.seal(packet(17, route, route == kRoute ? inner : far.seal(0, inner))));
    }
    return out;
  }
  /// Bursts into the left port; returns how many frames left the node or reached the TUN.
  size_t play(const std::vector<Bytes>& frames) {
    size_t out = 0;
    for (size_t at = 0; at < frames.size(); at += kBurst) {
      const auto end = frames.begin() + static_cast<ptrdiff_t>(std::min(frames.size(), at + kBurst));
      out += node.exchange(0, {frames.begin() + static_cast<ptrdiff_t>(at), end}).size() + node.tun_read().size();
      node.punts();
    }
    return out;
  }
};

class Vandal {
 public:
  explicit Vandal(uint64_t seed) : random_(seed) {}
  Bytes noise() {
    Bytes out(below(1'520));
    for (uint8_t& byte : out) byte = static_cast<uint8_t>(random_());
    if (out.size() < 30 || below(4) == 0) return out;
    const uint8_t like[] = {0x88, 0xB5, 0x10, 50, static_cast<uint8_t>(below(2)),
                            0,    0,    0,    0,  static_cast<uint8_t>(below(5))};
    std::copy(std::begin(like), std::end(like), out.begin() + 12);
    return out;
  }
  Bytes spoiled(Bytes frame) {
    switch (below(3)) {
      case 0:
        frame.resize(below(frame.size()));
        break;
      case 1:
        for (uint64_t flips = 1 + below(8); flips > 0; --flips)
          frame[below(frame.size())] ^= static_cast<uint8_t>(1 << below(8));
        break;
      default:
        frame[12 + below(36)] = static_cast<uint8_t>(random_());
    }
    return frame;
  }
  uint64_t below(uint64_t end) { return random_() % end; }

 private:
  std::mt19937_64 random_;
};

TEST_F(BadInput, NoiseTruncatedAndFlippedFrames) {
  const char* text = std::getenv("SKYEDGE_BAD_FRAMES");
  const uint64_t count = text == nullptr ? 1'000'000 : std::strtoull(text, nullptr, 0);
  const uint64_t seed = std::random_device{}();
  std::cout << "seed " << seed << ", " << count << " frames\n";
  Vandal vandal(seed);
  const std::vector<Bytes> good = good_frames(1'000);
  EXPECT_EQ(good.size(), play(good));
  node.change();
  Change sum;
  for (uint64_t sent = 0; sent < count;) {
    std::vector<Bytes> burst;
    for (; burst.size() < kBurst && sent < count; ++sent)
      burst.push_back(vandal.below(2) == 0 ? vandal.noise() : vandal.spoiled(good[vandal.below(good.size())]));
    ASSERT_EQ(0u, play(burst));
    sum += node.change();
  }
  std::cout << "figure: " << count << " bad frames: " << sum << "\n";
  EXPECT_EQ(static_cast<int64_t>(count), sum.received);
  EXPECT_EQ(sum.received, sum.drops() + sum.punted);
  EXPECT_LE(sum.punted, 100) << "the ration of strangers' handshakes";
  EXPECT_EQ(good.size(), play(good_frames(1'000))) << "the link is none the worse for it";
}

TEST_F(BadInput, EveryFrameOfACapturePlayedAgain) {
  const std::vector<Bytes> capture = good_frames(30'000);  // longer than the window
  ASSERT_EQ(capture.size(), play(capture));
  node.change();
  EXPECT_EQ(0u, play(capture));
  const auto n = static_cast<int64_t>(capture.size());
  EXPECT_EQ((Change{.received = n, .replayed = n}), node.change());
}

// --- a neighbour with keys

const uint32_t kSwept = soak_size(1u << 20, 1u << 24);
const uint32_t kOthers = soak_size(2'000u, 65'536u);  ///< routes of another neighbour that are hit exactly

NodeConfig large() {
  NodeConfig config;
  config.capacities.rules = kSwept;
  return config;
}

class Sweep : public BadInput {
 protected:
  Sweep() : BadInput(large()) {}
};

TEST_F(Sweep, EveryRouteIdOfOthersByAnAuthenticatedNeighbour) {
  // Routes of the left neighbour whose IDs the spare one will hit exactly, and half as many that it will miss by their
  // high bits.
  const uint32_t step = (kSwept - 1'000) / (kOthers + kOthers / 2) | 1;
  for (uint32_t i = 0; i < kOthers + kOthers / 2;) {
    std::vector<InstallMessage> rules;
    for (; i < kOthers + kOthers / 2 && rules.size() < 10'000; ++i) {
      const uint32_t index = 1'000 + i * step;
      rules.push_back(message(forward_put(i < kOthers ? index : index | 0x40000000, left.link, right.link, kNext)));
    }
    node.install(rules);
  }
  node.change();
  const auto start = std::chrono::steady_clock::now();
  Change sum;
  for (uint32_t route = 0; route < kSwept;) {
    for (unsigned i = 0; i < 64; ++i, ++route) node.port(2).push(spare.seal(packet(17, route)));
    node.worker_turn();
    for (unsigned port = 0; port < 3; ++port) ASSERT_EQ(0u, node.port(port).discard()) << route;
    sum += node.change();
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  std::cout << "figure: " << kSwept << " route IDs swept in " << took.count() << " s: " << sum << "\n";
  const int64_t hit = kOthers + 1;  // and the consume rule
  EXPECT_EQ((Change{.received = kSwept, .bad_type = 1, .unknown_route = kSwept - hit - 1, .wrong_link = hit}), sum)
      << "ID 0 is for the two ends of the link";
}

}  // namespace
}  // namespace sky::test
