// Datagrams that end here: opened end to end and delivered to the TUN.
#include "tests/packet/crossroads.h"

namespace sky::test {
namespace {

constexpr GroupIndex kFarGroup{7};
constexpr uint16_t kStream = 300;

class Egress : public Crossroads {
 protected:
  void SetUp() override {
    Crossroads::SetUp();
    node.install({message(consume_put(kRoute, left.link, far.session, kStream, 4)), message(group_put(7, kDomain)),
                  message(group_put(8, kDomain + 1)), message(destination_put("fd00:f::", 32, kFarGroup)),
                  message(destination_put("fd00:e::", 32, GroupIndex{8})),
                  message(destination_put("fd00:1::", 32, kLocalGroup)),
                  message(destination_put("10.9.0.0", 16, kFarGroup)),
                  message(destination_put("10.1.0.0", 16, kLocalGroup))});
  }
  Bytes datagram(const Bytes& inner, unsigned stream = kStream) {
    return left.seal(packet(17, kRoute, far.seal(stream, inner)));
  }
};

const Bytes kSix = ipv6({.source = "fd00:f::1", .destination = "fd00:1::1"});
const Bytes kFour = ipv4({.source = "10.9.0.1", .destination = "10.1.0.1"});

TEST_F(Egress, DeliversBothFamilies) {
  for (const Bytes& inner : {kSix, kFour}) {
    node.exchange(0, {datagram(inner)});
    EXPECT_EQ(std::vector<Bytes>{inner}, node.tun_read());
    EXPECT_EQ((Change{.received = 1, .delivered_tun = 1}), node.change());
  }
}

}  // namespace
}  // namespace sky::test
