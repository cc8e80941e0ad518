// What neighbours and strangers get out of the node itself: no answer that is longer than what it answers, nothing at
// all to strangers, and no error for a packet whose hop limit is spent.
#include <iostream>
#include <random>

#include "tests/packet/crossroads.h"
#include "tests/support/soak.h"

namespace sky::test {
namespace {

constexpr uint32_t kConsume = 0x00000321;
constexpr unsigned kBurst = 60;
constexpr uint8_t kPing = 4, kTransportPing = 8;

size_t bytes_of(const std::vector<Bytes>& frames) {
  size_t sum = 0;
  for (const Bytes& frame : frames) sum += frame.size();
  return sum;
}

class Reflection : public Crossroads {
 protected:
  void SetUp() override {
    Crossroads::SetUp();
    RuleMessage consume = consume_put(kConsume, left.link, far.session, 0);
    consume.rule.twin = RouteId{kRoute};
    RuleMessage back = forward_put(kRoute, right.link, left.link, kNext);
    back.rule.twin = RouteId{kConsume};
    node.install({message(back), message(consume), message(group_put(7, kDomain)),
                  message(destination_put("fd00:f::", 32, GroupIndex{7}))});
    node.change();
  }
  Bytes some_bytes(size_t count) {
    Bytes out(count);
    for (uint8_t& byte : out) byte = static_cast<uint8_t>(random_());
    return out;
  }
  uint64_t below(uint64_t end) { return random_() % end; }
  /// One turn: what left the node.
  std::vector<Bytes> answers(const Bytes& frame) {
    std::vector<Bytes> out = node.exchange(0, {frame});
    node.punts();
    node.events();
    node.tun_read();
    return out;
  }

  std::mt19937_64 random_{42};
};

TEST_F(Reflection, NoAnswerToANeighbourIsLongerThanItsRequest) {
  const uint64_t count = soak_size(50'000, 1'000'000);
  uint64_t asked = 0, answered = 0, answers_seen = 0;
  for (uint64_t i = 0; i < count; ++i) {
    const auto type = static_cast<uint8_t>(i);  // each type, again and again
    const uint32_t routes[] = {0, kConsume, kRoute, static_cast<uint32_t>(random_())};
    Bytes payload = some_bytes(below(8) == 0 ? below(1'400) : below(64));
    if (type == kPing && below(2) == 0) payload = some_bytes(16);  // a circuit's probe
    uint32_t route = routes[below(4)];
    const bool last_ping = type == kTransportPing && i + 256 >= count;
    // "I do not hear you" takes the link down and is the one ping that is answered at once: only the last one says it.
    if (type == kTransportPing && payload.size() == 24) payload[0] = 1;
    if (last_ping) payload = Bytes(24), route = 0;
    const Bytes frame = left.seal(packet(type, route, payload));
    const std::vector<Bytes> out = answers(frame);
    ASSERT_LE(bytes_of(out), frame.size()) << "type " << +type << ", " << payload.size() << " bytes of payload";
    asked += frame.size();
    answered += bytes_of(out);
    answers_seen += out.size();
  }
  std::cout << "figure: " << count << " sealed probes, " << answers_seen << " answers, amplification "
            << static_cast<double>(answered) / static_cast<double>(asked) << "\n";
  EXPECT_GT(answers_seen, count / 5'000) << "pings on a circuit are answered: else nothing was tried";
  node.change();
}

TEST_F(Reflection, StrangersHearNothing) {
  const uint64_t count = soak_size(200'000, 1'000'000);
  Change sum;
  for (uint64_t sent = 0; sent < count;) {
    std::vector<Bytes> burst;
    for (; burst.size() < kBurst && sent < count; ++sent) {
      Bytes frame = below(4) == 0 ? some_bytes(60 + below(1'450))
                                  : left.ethernet_towards_node() +
                                        Header{.version_kind = static_cast<uint8_t>(0x10 | below(16)),
                                               .hop_limit = static_cast<uint8_t>(random_()),
                                               .epoch = static_cast<uint8_t>(below(3)),
                                               .link_index = static_cast<uint32_t>(below(6)),
                                               .lane_counter = random_() >> (below(2) * 40)}
                                            .bytes() +
                                        some_bytes(46 + below(1'400));
      burst.push_back(std::move(frame));
    }
    ASSERT_TRUE(node.exchange(0, burst).empty());
    ASSERT_TRUE(node.tun_read().empty());
    node.punts();
    sum += node.change();
  }
  std::cout << "figure: " << count << " strangers' frames, 0 bytes answered\n";
  EXPECT_EQ(static_cast<int64_t>(count), sum.received);
  EXPECT_EQ(sum.received, sum.drops() + sum.punted);
}

TEST_F(Reflection, SpentHopLimitsAreDroppedWithoutAWordAndCostOthersNothing) {
  const uint64_t count = soak_size(60'000, 1'000'000);
  node.install({message(forward_put(kRoute | 0x40, left.link, right.link, kNext))});
  node.change();
  uint64_t good = 0;
  for (uint64_t sent = 0; sent < count;) {
    std::vector<Bytes> burst;
    for (; burst.size() + 2 <= kBurst && sent < count; ++sent) {
      Header spent = left.next_header();
      spent.hop_limit = static_cast<uint8_t>(sent % 2);  // 1, and what should not have been sent at all
      burst.push_back(left.seal(spent, packet(17, kRoute | 0x40, pattern(40))));
      burst.push_back(left.seal(packet(17, kRoute | 0x40, pattern(40))));
      ++good;
    }
    const std::vector<Bytes> out = node.exchange(0, burst);
    ASSERT_EQ(out.size(), burst.size() / 2);
    for (const Bytes& frame : out) ASSERT_TRUE(right.open(frame)) << "none goes back";
  }
  const auto n = static_cast<int64_t>(count);
  EXPECT_EQ((Change{.received = 2 * n, .transmitted = n, .hop_limit = n}), node.change());
  std::cout << "figure: " << count << " spent hop limits, 0 errors sent, 0 of " << good << " others lost\n";
}

}  // namespace
}  // namespace sky::test
