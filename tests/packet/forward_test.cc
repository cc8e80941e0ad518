// Frames that pass through: opened, their route ID swapped, sealed for the next link.
#include "tests/packet/crossroads.h"

namespace sky::test {
namespace {

class Forward : public Crossroads {
 protected:
  void SetUp() override {
    Crossroads::SetUp();
    node.install({message(forward_put(kRoute, left.link, right.link, kNext, 0x62))});
  }
  Bytes seal(const Bytes& packet, uint8_t hop_limit = 50, uint8_t class_ecn = 0x60) {
    Header header = left.next_header();
    header.hop_limit = hop_limit;
    header.class_ecn = class_ecn;
    return left.seal(header, packet);
  }
};

constexpr Change kForwarded{.received = 1, .transmitted = 1};

TEST_F(Forward, SwapsTheRouteIdAndLeavesTheRest) {
  for (const unsigned type : {0u, 1u, 2u, 3u, 4u, 5u, 6u, 7u, 10u, 17u, 18u, 23u, 100u, 255u}) {
    const Bytes payload = pattern(100, type);
    const auto out = only(node.exchange(0, {seal(packet(type, kRoute, payload))}), right);
    EXPECT_EQ(packet(type, kNext, payload), out.inside);
    EXPECT_EQ(49, out.header.hop_limit);
    EXPECT_EQ(0x60, out.header.class_ecn);
    EXPECT_EQ(kForwarded, node.change());
  }
}

TEST_F(Forward, EveryLengthExactlyAndPaddedWithZeros) {
  for (size_t size = 0; size <= 1461; ++size) {
    const Bytes payload = pattern(size);
    Bytes expected = packet(17, kNext, payload);
    expected.resize(std::max<size_t>(expected.size(), 14));
    ASSERT_EQ(expected, only(node.exchange(0, {seal(packet(17, kRoute, payload))}), right).inside) << size;
    ASSERT_EQ(kForwarded, node.change()) << size;
  }
}

}  // namespace
}  // namespace sky::test
