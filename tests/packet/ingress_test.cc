// Plain IP from the TUN: looked up, sealed end to end, sealed for the first link.
#include "tests/packet/crossroads.h"

namespace sky::test {
namespace {

constexpr GroupIndex kGroup{7};
constexpr uint32_t kConsume = 0x00000777;

class Ingress : public Crossroads {
 protected:
  void SetUp() override {
    Crossroads::SetUp();
    node.install({message(group_put(7, kDomain)), message(destination_put("fd00:f::", 32, kGroup)),
                  message(destination_put("10.9.0.0", 16, kGroup))});
  }
  /// A circuit over `first`; live at once.
  void add_member(const LinkPeer& first) {
    node.install({message(consume_put(kConsume, first.link, far.session, 0)),
                  message(member_put(7, 0, first.link, kNext, kConsume, far.session, 9))});
    node.turn();
    node.port(port_of(first)).pop_all();
    node.change();
  }
};

const Bytes kSix = ipv6({.source = "fd00:1::1", .destination = "fd00:f::1"});
const Bytes kFour = ipv4({.source = "10.1.0.1", .destination = "10.9.0.1"});

TEST_F(Ingress, SealsBothFamilies) {
  add_member(right);
  uint64_t counter = 0;
  for (const Bytes& inner : {kSix, kFour}) {
    node.tun_write(inner);
    node.pass(1'000'000);
    const auto frame = only(node.exchange(0, {}), right);
    EXPECT_EQ(55, frame.header.hop_limit);
    EXPECT_EQ(17, frame.type());
    EXPECT_EQ(kNext, frame.route());
    const auto opened = far.open(frame.payload());
    ASSERT_TRUE(opened);
    EXPECT_EQ(inner, opened->inner);
    EXPECT_EQ(9u, opened->stream);
    EXPECT_EQ(counter++, opened->counter);
    EXPECT_EQ((Change{.injected_tun = 1, .transmitted = 1}), node.change());
  }
}

}  // namespace
}  // namespace sky::test
