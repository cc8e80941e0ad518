// Plain IP from the TUN: looked up, sealed end to end, sealed for the first link.
#include "tests/packet/crossroads.h"

namespace sky::test {
namespace {

constexpr GroupIndex kGroup{7};
constexpr uint32_t kConsume = 0x00000777;
constexpr unsigned kStream = 9;

class Ingress : public Crossroads {
 protected:
  void SetUp() override {
    Crossroads::SetUp();
    node.install({message(group_put(7, kDomain)), message(destination_put("fd00:f::", 32, kGroup)),
                  message(destination_put("10.9.0.0", 16, kGroup)),
                  message(destination_put("fd00:1::", 32, kLocalGroup))});
  }
  void add_member(LinkPeer& first, uint8_t slot = 0, uint32_t group = 7) {
    const uint32_t consume = kConsume + slot;
    node.install({message(consume_put(consume, first.link, far.session, slot)),
                  message(member_put(group, slot, first.link, kNext, consume, far.session, kStream))});
  }
  /// A circuit over `right`, and the probe that its start sends taken away.
  void add_circuit() {
    add_member(right);
    EXPECT_EQ(4, only(node.exchange(1, {}), right).type());
    node.change();
  }
  std::vector<Bytes> send_plain(const std::vector<Bytes>& packets) {
    for (const Bytes& each : packets) node.tun_write(each);
    node.pass(100'000);
    return node.exchange(0, {});
  }
  /// What the far end of the session finds in a frame for `right`.
  SessionPeer::Opened unsealed(const Bytes& bytes) {
    const auto frame = right.open(bytes);
    EXPECT_TRUE(frame && frame->type() == 17 && frame->route() == kNext && frame->header.hop_limit == 55);
    if (!frame) return {};
    const auto opened = far.open(frame->payload());
    EXPECT_TRUE(opened);
    return opened.value_or(SessionPeer::Opened{});
  }
};

Bytes six(uint16_t port = 1, size_t payload = 64) {
  return ipv6({.source = "fd00:1::1", .destination = "fd00:f::1", .payload = payload, .source_port = port});
}
Bytes four(size_t payload = 64) {
  return ipv4({.source = "10.1.0.1", .destination = "10.9.0.1", .payload = payload});
}

TEST_F(Ingress, TheHeaderSaysWhatThePacketSaysOfCongestion) {
  add_circuit();
  for (uint8_t ecn = 0; ecn < 4; ++ecn) {
    Bytes inner6 = six(), inner4 = four();
    inner6[1] = static_cast<uint8_t>(ecn << 4);
    inner4[1] = ecn;
    for (const Bytes& inner : {inner6, inner4}) {
      const auto out = send_plain({inner});
      ASSERT_EQ(1u, out.size());
      EXPECT_EQ(ecn << 3, right.open(out[0]).value().header.class_ecn);
    }
  }
  node.change();
}

TEST_F(Ingress, SealsBothFamilies) {
  add_circuit();
  uint64_t counter = 0;
  for (const Bytes& inner : {six(), four()}) {
    const auto out = send_plain({inner});
    ASSERT_EQ(1u, out.size());
    const auto opened = unsealed(out[0]);
    EXPECT_EQ(inner, opened.inner);
    EXPECT_EQ(kStream, opened.stream);
    EXPECT_EQ(counter++, opened.counter);
    EXPECT_EQ((Change{.injected_tun = 1, .transmitted = 1}), node.change());
  }
}

TEST_F(Ingress, EveryLengthUpToTheCircuitsMtu) {
  add_circuit();
  for (size_t payload = 0; payload + 40 <= 1400; ++payload) {
    const auto out = send_plain({six(1, payload)});
    ASSERT_EQ(1u, out.size()) << payload;
    ASSERT_EQ(14 + 63 + 40 + payload, out[0].size());
    ASSERT_EQ(six(1, payload), unsealed(out[0]).inner) << payload;
  }
  node.change();
  for (const Bytes& inner : {six(1, 1361), four(1381)}) {
    EXPECT_TRUE(send_plain({inner}).empty());
    EXPECT_EQ((Change{.injected_tun = 1, .inner_too_big = 1}), node.change());
  }
}

TEST_F(Ingress, RefusesWhatIsNoIpPacketOrHasNoDestination) {
  add_circuit();
  Bytes short_header = six();
  short_header.resize(39);
  Bytes cut = six();
  cut.pop_back();
  Bytes long4 = four();
  long4.push_back(0);
  Bytes options = four();
  options[0] = 0x44;  // a header of 16 bytes
  Bytes version = six();
  version[0] = 0x50;
  const Bytes elsewhere6 = ipv6({.source = "fd00:1::1", .destination = "fd00:d::1"});
  const Bytes elsewhere4 = ipv4({.source = "10.1.0.1", .destination = "10.8.0.1"});
  const Bytes ourselves = ipv6({.source = "fd00:1::1", .destination = "fd00:1::2"});
  const struct {
    Bytes inner;
    Change change;
  } rows[] = {
      {{0x60}, {.injected_tun = 1, .not_ip = 1}},
      {short_header, {.injected_tun = 1, .not_ip = 1}},
      {cut, {.injected_tun = 1, .not_ip = 1}},
      {long4, {.injected_tun = 1, .not_ip = 1}},
      {options, {.injected_tun = 1, .not_ip = 1}},
      {version, {.injected_tun = 1, .not_ip = 1}},
      {elsewhere6, {.injected_tun = 1, .no_destination = 1}},
      {elsewhere4, {.injected_tun = 1, .no_destination = 1}},
      {ourselves, {.injected_tun = 1, .no_destination = 1}},
  };
  for (const auto& row : rows) {
    EXPECT_TRUE(send_plain({row.inner}).empty());
    EXPECT_EQ(row.change, node.change());
  }
}

// --- held packets

TEST_F(Ingress, HoldsUntilTheCircuitComesThenSendsInOrder) {
  std::vector<Bytes> packets;
  for (uint16_t i = 0; i < 20; ++i) packets.push_back(i % 3 == 0 ? four(i) : six(i));
  EXPECT_TRUE(send_plain(packets).empty());
  EXPECT_EQ((Change{.injected_tun = 20, .held = 20}), node.change());
  const auto events = node.events();
  ASSERT_FALSE(events.empty());
  EXPECT_EQ(Verb::miss, events[0].verb);
  EXPECT_EQ(kGroup, events[0].as<MissEvent>().group);

  add_member(right);
  node.worker_turn();  // the circuit starts to live
  node.turn();
  std::vector<Bytes> out = node.port(1).pop_all();
  ASSERT_EQ(21u, out.size());
  EXPECT_EQ(4, right.open(out[0])->type());
  for (size_t i = 0; i < packets.size(); ++i) EXPECT_EQ(packets[i], unsealed(out[i + 1]).inner) << i;
  EXPECT_EQ((Change{.injected_probe = 1, .transmitted = 21, .held = -20}), node.change());
}

TEST_F(Ingress, HoldsNoMoreThan64PerGroup) {
  EXPECT_TRUE(send_plain(std::vector(64, six())).empty());
  EXPECT_TRUE(send_plain(std::vector(6, six())).empty());
  EXPECT_EQ((Change{.injected_tun = 70, .held = 64, .hold_full = 6}), node.change());
}

TEST_F(Ingress, HeldPacketsExpireAfterASecond) {
  send_plain({six(), six()});
  node.change();
  node.pass(999'000'000);
  node.turn();
  node.port(0).pop_all();
  EXPECT_EQ(0, node.change().drops());
  node.pass(2'000'000);
  node.worker_turn();
  const Change change = node.change();
  EXPECT_EQ(-2, change.held) << change;
  EXPECT_EQ(2, change.hold_expired) << change;
  for (unsigned port = 0; port < 3; ++port) node.port(port).pop_all();
}

TEST_F(Ingress, MissesAreToldAtMostFiveTimesASecond) {
  for (int i = 0; i < 1000; ++i) {
    node.pass(1'000'000);
    send_plain({six()});
  }
  int misses = 0;
  for (const InstallMessage& event : node.events()) misses += event.verb == Verb::miss;
  EXPECT_GE(misses, 5);
  EXPECT_LE(misses, 7);
}

TEST_F(Ingress, AGroupDeletedUnderHeldPackets) {
  send_plain({six(), four()});
  node.change();
  node.install({message(delete_destination(destination_put("fd00:f::", 32, kGroup))),
                message(delete_destination(destination_put("10.9.0.0", 16, kGroup))),
                message(delete_of(Verb::delete_group, 7))});
  for (int turns = 0; turns < 4; ++turns) node.main_turn();  // the group's memory is free by now
  node.worker_turn();
  EXPECT_EQ((Change{.held = -2, .no_destination = 2}), node.change());
}

TEST_F(Ingress, HeldPacketsFollowTheirDestinationToAnotherGroup) {
  send_plain({six(), four()});
  node.change();
  // IPv6 goes on waiting, for another group; group 7 comes to life with IPv4 alone.
  node.install({message(group_put(8, kDomain)), message(destination_put("fd00:f::", 32, GroupIndex{8}))});
  add_circuit();
  node.turn();
  const auto first = node.port(1).pop_all();
  ASSERT_EQ(1u, first.size());
  EXPECT_EQ(four(), unsealed(first[0]).inner);
  EXPECT_EQ((Change{.transmitted = 1, .held = -1}), node.change());

  add_member(right, 1, 8);
  node.turn();
  node.turn();
  const auto out = node.port(1).pop_all();
  ASSERT_EQ(2u, out.size());
  EXPECT_EQ(six(), unsealed(out[1]).inner);
}

}  // namespace
}  // namespace sky::test
