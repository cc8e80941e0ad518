// Every field of every message at its borders: (what is changed, answer).
#include "dataplane/agent/values.h"

#include <gtest/gtest.h>

#include "tests/unit/agent/messages.h"

namespace sky::dataplane::test {
namespace {

constexpr Capacities kSizes{.ports = 2, .links = 8, .sessions = 16, .rules = 1024, .groups = 32, .destinations = 64};
constexpr auto kNone = InstallError::none;
constexpr auto kIndex = InstallError::bad_index;
constexpr auto kValue = InstallError::bad_value;

template <typename Message>
InstallError judge(const Message& message) {
  return check_value(InstallMessage::of(message), kSizes);
}

/// The message with one change made to it.
template <typename Message, typename Change>
InstallError with(Message message, Change change) {
  change(message);
  return judge(message);
}

TEST(Values, Link) {
  const LinkMessage good = good_link(7);
  EXPECT_EQ(judge(good), kNone);
  EXPECT_EQ(with(good, [](auto& m) { m.link = LinkIndex{8}; }), kIndex);
  EXPECT_EQ(with(good, [](auto& m) { m.link = kNoLink; }), kIndex);
  EXPECT_EQ(with(good, [](auto& m) { m.port = PortIndex{2}; }), kIndex);
  EXPECT_EQ(with(good, [](auto& m) { m.ether_type = 0x05ff; }), kValue);
  EXPECT_EQ(with(good, [](auto& m) { m.least_kind = m.kind = 1; }), kNone) << "header";
  EXPECT_EQ(with(good, [](auto& m) { m.least_kind = 2; }), kValue) << "clear, and no laboratory";
  EXPECT_EQ(with(good, [](auto& m) { m.kind = 1; }), kValue) << "sends less than it takes";
  EXPECT_EQ(with(good, [](auto& m) { m.lanes = 0; }), kValue);
  EXPECT_EQ(with(good, [](auto& m) { m.lanes = 17; }), kValue);
  EXPECT_EQ(with(good, [](auto& m) { m.multiplier = 1; }), kValue);
  EXPECT_EQ(with(good, [](auto& m) { m.multiplier = 11; }), kValue);
  EXPECT_EQ(with(good, [](auto& m) { m.interval_us = 999; }), kValue);
  EXPECT_EQ(with(good, [](auto& m) { m.interval_us = 1'000; }), kNone);
  EXPECT_EQ(with(good, [](auto& m) { m.interval_us = 1'000'001; }), kValue);
  EXPECT_EQ(with(good, [](auto& m) { m.hold_ms = 60'000; }), kNone);
  EXPECT_EQ(with(good, [](auto& m) { m.hold_ms = 60'001; }), kValue);
  EXPECT_EQ(with(good, [](auto& m) { m.mtu = 0; }), kValue);
  EXPECT_EQ(with(good, [](auto& m) { m.mtu = 9217; }), kValue);
}

TEST(Values, KeyChain) {
  const auto good = good_chain(KeyOwner::session, Direction::receive, 15, 1);
  EXPECT_EQ(judge(good), kNone);
  EXPECT_EQ(with(good, [](auto& m) { m.index = 16; }), kIndex);
  EXPECT_EQ(with(good, [](auto& m) { m.owner = KeyOwner::link; }), kIndex) << "there are fewer links";
  EXPECT_EQ(with(good, [](auto& m) { m.owner = KeyOwner{2}; }), kValue);
  EXPECT_EQ(with(good, [](auto& m) { m.direction = Direction{2}; }), kValue);
  EXPECT_EQ(with(good, [](auto& m) { m.parity = 2; }), kValue);
  EXPECT_EQ(with(good, [](auto& m) { m.wait_for_peer = 2; }), kValue);
  EXPECT_EQ(with(good, [](auto& m) { m.key_id = 0; }), kValue);
  EXPECT_EQ(with(good, [](auto& m) { m.secret.fill(0); }), kValue) << "a message half written";
}

TEST(Values, ForwardRule) {
  const RuleMessage good = good_forward(0x1234, 0, 1);
  EXPECT_EQ(judge(good), kNone);
  EXPECT_EQ(with(good, [](auto& m) { m.rule.route_id = kControlRoute; }), kValue);
  EXPECT_EQ(with(good, [](auto& m) { m.rule.in_link = LinkIndex{8}; }), kIndex);
  EXPECT_EQ(with(good, [](auto& m) { m.rule.next_link = kNoLink; }), kIndex);
  EXPECT_EQ(with(good, [](auto& m) { m.rule.next_route = kControlRoute; }), kValue);
  EXPECT_EQ(with(good, [](auto& m) { m.rule.action = RuleAction::none; }), kValue);
  EXPECT_EQ(with(good, [](auto& m) { m.rule.action = RuleAction{3}; }), kValue);
  EXPECT_EQ(with(good, [](auto& m) { m.rule.treatment = 0xe2; }), kNone) << "class 7, queue 2";
  EXPECT_EQ(with(good, [](auto& m) { m.rule.treatment = 0xe0; }), kValue) << "the control queue";
  EXPECT_EQ(with(good, [](auto& m) { m.rule.treatment = 0x03; }), kValue) << "no such queue";
  EXPECT_EQ(with(good, [](auto& m) { m.rule.treatment = 0x12; }), kValue) << "a reserved bit";
  EXPECT_EQ(with(good, [](auto& m) { m.rule.treatment = 0x0e; }), kValue) << "no such kind";
  EXPECT_EQ(with(good, [](auto& m) { m.rule.alternate_link = LinkIndex{2}; }), kValue) << "without a route";
  EXPECT_EQ(with(good, [](auto& m) { m.rule.alternate_link = LinkIndex{8}; }), kIndex);
}

TEST(Values, ConsumeRule) {
  const RuleMessage good = good_consume(0x1234, 0, 15);
  EXPECT_EQ(judge(good), kNone);
  EXPECT_EQ(with(good, [](auto& m) { m.rule.session = SessionIndex{16}; }), kIndex);
  EXPECT_EQ(with(good, [](auto& m) { m.rule.session = kNoSession; }), kIndex);
  EXPECT_EQ(with(good, [](auto& m) { m.rule.next_link = LinkIndex{0}; }), kValue);
  EXPECT_EQ(with(good, [](auto& m) { m.rule.alternate_link = LinkIndex{0}; }), kValue);
  EXPECT_EQ(with(good, [](auto& m) { m.rule.streams = 0; }), kValue);
  EXPECT_EQ(with(good, [](auto& m) { m.rule.worker = 1; }), kValue) << "no such worker";
  EXPECT_EQ(with(good, [](auto& m) { m.rule.stream = kStreams - 1; }), kNone);
  EXPECT_EQ(with(good, [](auto& m) { m.rule.stream = kStreams; }), kValue);
  EXPECT_EQ(with(good, [](auto& m) { m.rule.stream = 0xffff, m.rule.streams = 0xff; }), kValue)
      << "the sum does not wrap";
}

TEST(Values, CopiedStreamsOfARule) {
  const RuleMessage good = good_consume(0x1234, 0, 15);
  const auto of = [](uint16_t stream, int window) {
    return copied_word({.stream = stream, .window = static_cast<uint8_t>(window)});
  };
  EXPECT_EQ(with(good, [](auto& m) { m.copied = 16; }), kValue) << "without a window";
  for (const auto& [window, error] : {std::pair(13, kNone), {20, kNone}, {21, kValue}})
    EXPECT_EQ(with(good, [&](auto& m) { m.copied = of(16, window); }), error) << window;
  EXPECT_EQ(with(good, [&](auto& m) { m.copied = of(kStreams - 16, 13); }), kNone);
  EXPECT_EQ(with(good, [&](auto& m) { m.copied = of(kStreams, 13); }), kValue);
  EXPECT_EQ(with(good, [&](auto& m) { m.copied = of(16, 13), m.rule.streams = kMaxLanes + 1; }), kValue);
  EXPECT_EQ(with(good_forward(0x1234, 0, 1), [&](auto& m) { m.copied = of(16, 13); }), kValue);
}

TEST(Values, GroupAndMember) {
  const GroupMessage group = good_group(31);
  EXPECT_EQ(judge(group), kNone);
  EXPECT_EQ(with(group, [](auto& m) { m.group = GroupIndex{32}; }), kIndex);
  EXPECT_EQ(with(group, [](auto& m) { m.group = kLocalGroup; }), kIndex);
  EXPECT_EQ(with(group, [](auto& m) { m.mode = GroupMode::copy; }), kValue) << "without a rate";
  EXPECT_EQ(with(group, [](auto& m) { m.copy_rate = 1; }), kValue) << "of mode pin";
  const GroupMessage copies = [&] {
    GroupMessage message = group;
    message.mode = GroupMode::copy;
    message.copy_rate = kMostCopyRate;
    return message;
  }();
  EXPECT_EQ(judge(copies), kNone);
  EXPECT_EQ(with(copies, [](auto& m) { ++m.copy_rate; }), kValue);
  EXPECT_EQ(with(copies, [](auto& m) { m.mode = GroupMode{2}; }), kValue);
  EXPECT_EQ(with(group, [](auto& m) { m.until_up = UntilUp::ip; }), kValue) << "does not exist yet";
  EXPECT_EQ(with(group, [](auto& m) { m.probe_interval_us = 0; }), kValue);
  EXPECT_EQ(with(group, [](auto& m) { m.probe_multiplier = 0; }), kValue);

  const MemberMessage member = good_member(31, 7, 7, 15);
  EXPECT_EQ(judge(member), kNone);
  EXPECT_EQ(with(member, [](auto& m) { m.slot = 8; }), kIndex);
  EXPECT_EQ(with(member, [](auto& m) { m.group = GroupIndex{32}; }), kIndex);
  EXPECT_EQ(with(member, [](auto& m) { m.link = LinkIndex{8}; }), kIndex);
  EXPECT_EQ(with(member, [](auto& m) { m.session = SessionIndex{16}; }), kIndex);
  EXPECT_EQ(with(member, [](auto& m) { m.hop_limit = 39; }), kValue);
  EXPECT_EQ(with(member, [](auto& m) { m.hop_limit = 65; }), kValue);
  EXPECT_EQ(with(member, [](auto& m) { m.route = kControlRoute; }), kValue);
  EXPECT_EQ(with(member, [](auto& m) { m.consume = kControlRoute; }), kValue);
  EXPECT_EQ(with(member, [](auto& m) { m.stream = kStreams; }), kValue);
  MemberMessage last = member;
  last.stream = kStreams - 2;
  Capacities several = kSizes;
  several.workers = 2;
  EXPECT_EQ(check_value(InstallMessage::of(last), several), kNone);
  several.workers = 3;
  EXPECT_EQ(check_value(InstallMessage::of(last), several), kValue) << "a stream for each worker";
  EXPECT_EQ(with(member, [](auto& m) { m.copied = 16; }), kValue) << "without a window";
  EXPECT_EQ(with(member, [](auto& m) { m.copied = copied_word({.stream = 16, .window = 20}); }), kNone);
  EXPECT_EQ(with(member, [](auto& m) { m.copied = copied_word({.stream = 16, .window = 21}); }), kValue);
  EXPECT_EQ(with(member, [](auto& m) { m.copied = copied_word({.stream = kStreams, .window = 13}); }), kValue);
  EXPECT_EQ(with(member, [](auto& m) { m.mtu = 575; }), kValue);
  EXPECT_EQ(with(member, [](auto& m) { m.treatment = 0x12; }), kValue);
  EXPECT_EQ(with(member, [](auto& m) { m.treatment = 0x20; }), kValue) << "the control queue";
}

TEST(Values, Destination) {
  const DestinationMessage good = good_destination(1, kLocalGroup);
  EXPECT_EQ(judge(good), kNone);
  EXPECT_EQ(with(good, [](auto& m) { m.group = GroupIndex{32}; }), kIndex);
  EXPECT_EQ(with(good, [](auto& m) { m.family = Family{5}; }), kValue);
  EXPECT_EQ(with(good, [](auto& m) { m.length = 129; }), kValue);
  EXPECT_EQ(with(good, [](auto& m) { m.length = 31; }), kValue) << "a bit past the length";
  EXPECT_EQ(with(good, [](auto& m) { m.prefix[15] = 1; }), kValue);
  EXPECT_EQ(with(good, [](auto& m) { m.length = 128; }), kNone);
  EXPECT_EQ(with(good,
                 [](auto& m) {
                   m.length = 0;
                   m.prefix = {};
                 }),
            kNone)
      << "everything";

  DestinationMessage ipv4 = good;
  ipv4.family = Family::ipv4;
  ipv4.prefix = {192, 0, 2, 128};
  ipv4.length = 25;
  EXPECT_EQ(judge(ipv4), kNone);
  EXPECT_EQ(with(ipv4, [](auto& m) { m.length = 24; }), kValue);
  EXPECT_EQ(with(ipv4, [](auto& m) { m.length = 33; }), kValue);
  EXPECT_EQ(with(ipv4, [](auto& m) { m.prefix[4] = 1; }), kValue);
  EXPECT_EQ(judge(delete_of(ipv4)), kNone);
  EXPECT_EQ(with(delete_of(ipv4), [](auto& m) { m.length = 24; }), kValue);
}

TEST(Values, Deletes) {
  EXPECT_EQ(judge(delete_of(Verb::delete_link, 7)), kNone);
  EXPECT_EQ(judge(delete_of(Verb::delete_link, 8)), kIndex);
  EXPECT_EQ(judge(delete_of(Verb::delete_link, 0x10000)), kIndex) << "no wrap to link 0";
  EXPECT_EQ(judge(delete_of(Verb::delete_session, 16)), kIndex);
  EXPECT_EQ(judge(delete_of(Verb::delete_group, 32)), kIndex);
  EXPECT_EQ(judge(delete_of(Verb::delete_member, 31, 7)), kNone);
  EXPECT_EQ(judge(delete_of(Verb::delete_member, 31, 8)), kIndex);
  EXPECT_EQ(judge(delete_of(Verb::delete_member, 32, 0)), kIndex);
  EXPECT_EQ(judge(delete_of(Verb::delete_rule, 0)), kValue);
}

TEST(Values, VerbsThatAreNoPutAndNoDelete) {
  for (unsigned verb = 0; verb < 256; ++verb) {
    const bool put = verb >= to_underlying(Verb::put_link) && verb <= to_underlying(Verb::put_destination);
    const bool gone = verb >= to_underlying(Verb::delete_link) && verb <= to_underlying(Verb::delete_destination);
    InstallMessage message;
    message.verb = static_cast<Verb>(verb);
    EXPECT_EQ(check_value(message, kSizes) == InstallError::unknown_verb, !put && !gone) << verb;
  }
}

}  // namespace
}  // namespace sky::dataplane::test
