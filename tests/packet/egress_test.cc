// Datagrams that end here: opened end to end, checked, delivered to the TUN.
#include "tests/packet/crossroads.h"

namespace sky::test {
namespace {

constexpr GroupIndex kFarGroup{7};
constexpr uint16_t kStream = 300;  ///< the rule allows four from here on

Bytes six(std::string_view source = "fd00:f::1", std::string_view destination = "fd00:1::1", size_t payload = 64) {
  return ipv6({.source = source, .destination = destination, .payload = payload});
}
Bytes four(std::string_view source = "10.9.0.1", std::string_view destination = "10.1.0.1") {
  return ipv4({.source = source, .destination = destination});
}

class Egress : public Crossroads {
 protected:
  void SetUp() override {
    Crossroads::SetUp();
    node.install(
        {message(consume_put(kRoute, left.link, far.session, kStream, 4)), message(group_put(7, kDomain)),
         message(group_put(8, kDomain + 1)), message(destination_put("fd00:f::", 32, kFarGroup)),
         message(destination_put("fd00:e::", 32, GroupIndex{8})), message(destination_put("fd00:1::", 32, kLocalGroup)),
         message(destination_put("10.9.0.0", 16, kFarGroup)), message(destination_put("10.1.0.0", 16, kLocalGroup))});
    node.port(0).poison = true;
  }
  void arrive(const Bytes& datagram) {
    EXPECT_TRUE(node.exchange(0, {left.seal(packet(17, kRoute, datagram))}).empty());
  }
  void expect_delivered(const Bytes& inner) {
    EXPECT_EQ(std::vector<Bytes>{inner}, node.tun_read());
    EXPECT_EQ((Change{.received = 1, .delivered_tun = 1}), node.change());
  }
  void expect_dropped(const Bytes& datagram, Change change, const char* what) {
    arrive(datagram);
    change.received = 1;
    EXPECT_EQ(change, node.change()) << what;
    EXPECT_TRUE(node.tun_read().empty()) << what;
    arrive(far.seal(kStream, six()));
    expect_delivered(six());
  }
};

TEST_F(Egress, DeliversBothFamilies) {
  for (const Bytes& inner : {six(), four()}) {
    arrive(far.seal(kStream, inner));
    expect_delivered(inner);
  }
}

TEST_F(Egress, EveryLengthThatFitsAFrame) {
  for (size_t payload = 0; payload + 40 <= 1437; ++payload) {
    const Bytes inner = six("fd00:f::1", "fd00:1::1", payload);
    arrive(far.seal(kStream, inner));
    ASSERT_EQ(std::vector<Bytes>{inner}, node.tun_read()) << payload;
  }
}

TEST_F(Egress, AWholeBurstInOrder) {
  std::vector<Bytes> frames, inner;
  for (size_t i = 0; i < 64; ++i) {
    inner.push_back(six("fd00:f::1", "fd00:1::1", i));
    frames.push_back(left.seal(packet(17, kRoute, far.seal(kStream + i % 4, inner.back()))));
  }
  node.exchange(0, frames);
  EXPECT_EQ(inner, node.tun_read());
  EXPECT_EQ((Change{.received = 64, .delivered_tun = 64}), node.change());
}

TEST_F(Egress, TellsThePacketOfCongestion) {
  const auto with = [](Bytes packet, unsigned ecn) {
    const bool is_six = packet[0] >> 4 == 6;
    packet[1] = static_cast<uint8_t>(packet[1] | (is_six ? ecn << 4 : ecn));
    if (is_six) return packet;
    packet[10] = packet[11] = 0;
    uint32_t sum = 0;
    for (size_t at = 0; at < 20; at += 2) sum += static_cast<uint32_t>(get(packet, at, 2));
    while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
    packet[10] = static_cast<uint8_t>(~sum >> 8);
    packet[11] = static_cast<uint8_t>(~sum);
    return packet;
  };
  const auto arrive_marked = [&](const Bytes& inner, unsigned outer) {
    Header header = left.next_header();
    header.class_ecn = static_cast<uint8_t>(outer << 3);
    EXPECT_TRUE(node.exchange(0, {left.seal(header, packet(17, kRoute, far.seal(kStream, inner)))}).empty());
  };
  for (const Bytes& plain : {six(), four(), four("10.9.0.1", "10.1.0.9"), four("10.9.255.255", "10.1.255.255")}) {
    for (unsigned inner = 0; inner < 4; ++inner) {
      for (unsigned outer = 0; outer < 4; ++outer) {
        arrive_marked(with(plain, inner), outer);
        if (outer == 3 && inner == 0) {
          EXPECT_TRUE(node.tun_read().empty()) << "its sender would not understand";
          EXPECT_EQ((Change{.received = 1, .bad_ecn = 1}), node.change());
        } else {
          expect_delivered(with(plain, outer == 3 ? 3 : inner));
        }
      }
    }
  }
}

TEST_F(Egress, ChecksBeforeTheEndToEndTag) {
  for (const size_t size : {0, 1, 23}) expect_dropped(Bytes(size), {.inner_malformed = 1}, "no room for tag");
  for (const unsigned stream : {0, 299, 304, 16383})
    expect_dropped(far.seal(stream, six()), {.session_stream = 1}, "a stream of another rule");
  for (const unsigned epoch : {2, 3})
    expect_dropped(far.seal(epoch, kStream, 1000, six()), {.session_no_key = 1}, "an epoch without key");
}

TEST_F(Egress, SealedForAnother) {
  const auto flipped = [&](size_t at) {
    Bytes datagram = far.seal(kStream, six());
    datagram.at(at) ^= 1;
    return datagram;
  };
  expect_dropped(flipped(7), {.session_bad_tag = 1}, "counter");
  expect_dropped(flipped(8), {.session_bad_tag = 1}, "tag");
  expect_dropped(flipped(23), {.session_bad_tag = 1}, "tag");
  expect_dropped(flipped(24), {.session_bad_tag = 1}, "first byte");
  expect_dropped(flipped(24 + 103), {.session_bad_tag = 1}, "last byte");
  expect_dropped(far.seal(1, kStream, 1000, six()), {.session_bad_tag = 1}, "epoch 1 under the key of epoch 0");
  SessionPeer other{5, 56};
  expect_dropped(other.seal(kStream, six()), {.session_bad_tag = 1}, "another session's keys");
  const uint64_t session_id = std::exchange(far.session_id, 1);
  const Bytes wrong_id = far.seal(kStream, six());
  far.session_id = session_id;
  expect_dropped(wrong_id, {.session_bad_tag = 1}, "another session's ID");
}

TEST_F(Egress, TheInnerPacket) {
  Bytes longer = six();
  longer.push_back(0);
  expect_dropped(far.seal(kStream, {}), {.inner_malformed = 1}, "empty");
  expect_dropped(far.seal(kStream, Bytes(40)), {.inner_malformed = 1}, "no version");
  expect_dropped(far.seal(kStream, longer), {.inner_malformed = 1}, "a byte behind");
  expect_dropped(far.seal(kStream, six("fd00:f::1", "fd00:2::1")), {.inner_destination = 1}, "nobody's address");
  expect_dropped(far.seal(kStream, six("fd00:f::1", "fd00:f::2")), {.inner_destination = 1}, "the sender's own");
  expect_dropped(far.seal(kStream, four("10.9.0.1", "10.2.0.1")), {.inner_destination = 1}, "nobody's address");
  expect_dropped(far.seal(kStream, six("fd00:2::1")), {.inner_source = 1}, "nobody's source");
  expect_dropped(far.seal(kStream, six("fd00:e::1")), {.inner_source = 1}, "another domain's source");
  expect_dropped(far.seal(kStream, six("fd00:1::9")), {.inner_source = 1}, "our own source");
  expect_dropped(far.seal(kStream, four("10.8.0.1")), {.inner_source = 1}, "nobody's source");
}

TEST_F(Egress, ReplaysPerStream) {
  const Bytes first = far.seal(kStream, six());
  const Bytes second = far.seal(kStream + 1, six());
  arrive(first);
  arrive(second);
  node.tun_read();
  node.change();
  arrive(first);
  arrive(second);
  EXPECT_EQ((Change{.received = 2, .session_replayed = 2}), node.change());
  const Bytes twice = far.seal(kStream, six());
  node.exchange(0, {left.seal(packet(17, kRoute, twice)), left.seal(packet(17, kRoute, twice))});
  EXPECT_EQ((Change{.received = 2, .delivered_tun = 1, .session_replayed = 1}), node.change());
  EXPECT_EQ(1u, node.tun_read().size());
}

TEST_F(Egress, WindowsSurviveTheRule) {
  const Bytes datagram = far.seal(kStream, six());
  arrive(datagram);
  expect_delivered(six());
  node.install({message(delete_of(Verb::delete_rule, kRoute))});
  for (int turns = 0; turns < 3; ++turns) node.turn();
  node.install({message(consume_put(kRoute, left.link, far.session, kStream, 4))});
  arrive(datagram);
  EXPECT_EQ((Change{.received = 1, .session_replayed = 1}), node.change());
}

TEST_F(Egress, ASessionWithoutKeys) {
  SessionPeer keyless{6, 66};
  node.install({message(session_put(keyless, kDomain)), message(consume_put(kRoute + 1, left.link, 6, 0))});
  node.exchange(0, {left.seal(packet(17, kRoute + 1, keyless.seal(0, six())))});
  EXPECT_EQ((Change{.received = 1, .session_no_key = 1}), node.change());
}

TEST_F(Egress, AFullTun) {
  int sent = 0;
  Change sum;
  while (sum.tun_full == 0 && sent < 10'000) {
    arrive(far.seal(kStream, six("fd00:f::1", "fd00:1::1", 1300)));
    ++sent;
    sum += node.change();
  }
  EXPECT_EQ((Change{.received = sent, .delivered_tun = sent - 1, .tun_full = 1}), sum);
  EXPECT_EQ(static_cast<size_t>(sent - 1), node.tun_read().size());
}

}  // namespace
}  // namespace sky::test
