#include "controlplane/install/attachment.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <functional>
#include <random>
#include <utility>

#include "tests/support/fake_dataplane.h"

namespace sky::controlplane {
namespace {

std::string socket_path() {
  return std::filesystem::temp_directory_path() / ("skyedge-test-" + std::to_string(getpid()) + ".sock");
}

InstallMessage rule_row(uint32_t route) {
  return InstallMessage::of(RuleMessage{.rule = {.route_id = RouteId{route}}});
}

class AttachmentTest : public testing::Test {
 protected:
  ~AttachmentTest() override { std::filesystem::remove(socket_path()); }

  Result<Handover> take() {
    auto socket = ask_to_attach(socket_path());
    if (!socket) return std::unexpected(socket.error());
    EXPECT_TRUE(dataplane.accept());
    socket_ = std::move(*socket);
    return take_handover(socket_);
  }

  void attach(size_t most_rows = 1000) {
    auto handover = take();
    ASSERT_TRUE(handover) << handover.error().message;
    attachment = std::make_unique<Attachment>(
        std::move(*handover), most_rows,
        [this](Event&& event) {
          events.push_back(std::move(event));
          std::exchange(meanwhile, [] {})();
        },
        [this](const SeenPacket& record) { seen.push_back(record); });
  }

  /// Both sides until nothing moves; the attachment's last word.
  Result<> settle() {
    for (int turns = 0; turns < 100; ++turns) {
      const size_t moved = dataplane.turn();
      const size_t before = events.size();
      if (auto turned = attachment->turn(); !turned) return turned;
      if (moved == 0 && events.size() == before && !attachment->backlog()) return {};
    }
    return fail("no rest after 100 turns");
  }

  void settle_attached() {
    attach();
    const auto settled = settle();
    ASSERT_TRUE(settled) << settled.error().message;
    ASSERT_TRUE(attachment->attached());
    events.clear();
  }

  void expect_broken(const std::string& text) {
    const auto settled = settle();
    ASSERT_FALSE(settled);
    EXPECT_NE(settled.error().message.find(text), std::string::npos) << settled.error().message;
  }

  test::FakeDataplane dataplane{socket_path()};
  std::vector<Event> events;
  std::vector<SeenPacket> seen;
  std::function<void()> meanwhile = [] {};  ///< what the dataplane does while the next event is taken
  std::unique_ptr<Attachment> attachment;

 private:
  Descriptor socket_;
};

TEST_F(AttachmentTest, DumpsEveryTableBeforeAnythingElse) {
  dataplane.tables[Table::links] = {InstallMessage::of(LinkMessage{.link = LinkIndex{3}})};
  dataplane.tables[Table::destinations] = {InstallMessage::of(DestinationMessage{.length = 48})};
  for (uint32_t i = 1; i <= Attachment::kDumpRows + 7; ++i) dataplane.tables[Table::rules].push_back(rule_row(i));
  attach(Attachment::kDumpRows + 9);
  dataplane.push_event(InstallMessage::of(LinkStateEvent{.up = 1}));
  ASSERT_TRUE(settle());

  ASSERT_EQ(events.size(), 2u);
  const auto& attached = std::get<Attached>(events[0]);
  EXPECT_EQ(attached.boot_id, dataplane.reply.boot_id);
  EXPECT_EQ(attached.fence, 1u);
  ASSERT_EQ(attached.rows.size(), Attachment::kDumpRows + 9);
  EXPECT_EQ(attached.rows.front().as<LinkMessage>().link, LinkIndex{3});
  for (uint32_t i = 1; i <= Attachment::kDumpRows + 7; ++i) {
    ASSERT_EQ(attached.rows[i].as<RuleMessage>().rule.route_id, RouteId{i});
  }
  EXPECT_EQ(attached.rows.back().as<DestinationMessage>().length, 48);
  EXPECT_EQ(std::get<DataplaneEvent>(events[1]).message.verb, Verb::link_state);
}

TEST_F(AttachmentTest, BatchesAreFramedAndAcked) {
  settle_attached();
  ASSERT_TRUE(attachment->install({7, {rule_row(1), rule_row(2)}}));
  ASSERT_TRUE(attachment->install({8, {}}));
  ASSERT_TRUE(settle());
  EXPECT_EQ(dataplane.generations, (std::vector<uint64_t>{7, 8}));
  ASSERT_EQ(dataplane.committed.size(), 2u);
  EXPECT_EQ(dataplane.committed[1].as<RuleMessage>().rule.route_id, RouteId{2});
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(std::get<Acked>(events[0]).generation, 7u);
  EXPECT_EQ(std::get<Acked>(events[0]).error, InstallError::none);

  dataplane.refuse = InstallError::bad_index;
  ASSERT_TRUE(attachment->install({9, {rule_row(3)}}));
  ASSERT_TRUE(settle());
  EXPECT_EQ(std::get<Acked>(events[2]).error, InstallError::bad_index);
}

TEST_F(AttachmentTest, ABatchLargerThanTheRingIsFedAsRoomComes) {
  settle_attached();
  Install batch{1, {}};
  for (uint32_t i = 0; i < kMaxBatch; ++i) batch.messages.push_back(rule_row(i));
  ASSERT_TRUE(attachment->install(std::move(batch)));
  EXPECT_TRUE(attachment->backlog());
  ASSERT_TRUE(settle());
  EXPECT_FALSE(attachment->backlog());
  ASSERT_EQ(dataplane.committed.size(), kMaxBatch);
  for (uint32_t i = 0; i < kMaxBatch; ++i) {
    ASSERT_EQ(dataplane.committed[i].as<RuleMessage>().rule.route_id, RouteId{i});
  }
}

TEST_F(AttachmentTest, TheQueueIsBounded) {
  settle_attached();
  EXPECT_FALSE(attachment->install({1, std::vector<InstallMessage>(kMaxBatch + 1)}));
  unsigned taken = 0;
  while (taken < 100 && attachment->install({taken, std::vector<InstallMessage>(kMaxBatch)})) ++taken;
  EXPECT_EQ(taken, 3u);  // 4 * kMaxBatch less the begins and commits
}

TEST_F(AttachmentTest, NothingIsInstalledBeforeTheDumpIsDone) {
  attach();
  EXPECT_FALSE(attachment->install({1, {rule_row(1)}}));
}

TEST_F(AttachmentTest, PacketsGoBothWays) {
  settle_attached();
  ControlPacket packet;
  packet.length = 3;
  packet.payload[2] = 42;
  dataplane.push_packet(packet);
  ASSERT_TRUE(attachment->send(packet));
  ASSERT_TRUE(settle());
  EXPECT_EQ(std::get<PacketIn>(events.at(0)).packet.payload[2], 42);
  EXPECT_EQ(dataplane.sent.at(0).payload[2], 42);
}

TEST_F(AttachmentTest, AnEventComesBeforeThePacketThatFollowedIt) {
  settle_attached();
  meanwhile = [this] {
    dataplane.push_event(InstallMessage::of(ChainConfirmedEvent{.key_id = 9}));
    dataplane.push_packet({});
  };
  dataplane.push_packet({});
  ASSERT_TRUE(settle());
  ASSERT_EQ(events.size(), 3u);
  EXPECT_TRUE(std::holds_alternative<DataplaneEvent>(events[1])) << "though the first look at the events was over";
}

TEST_F(AttachmentTest, AFullPacketRingRefuses) {
  settle_attached();
  for (uint32_t i = 0; i < kPacketSlots; ++i) ASSERT_TRUE(attachment->send({}));
  EXPECT_FALSE(attachment->send({}));
}

TEST_F(AttachmentTest, AWatchGoesBetweenTwoBatches) {
  attach();
  EXPECT_FALSE(attachment->watch({.request = 1})) << "not before the dump is done";
  ASSERT_TRUE(settle());
  ASSERT_TRUE(attachment->install({1, std::vector<InstallMessage>(kInstallSlots)}));  // does not fit the ring at once
  ASSERT_TRUE(attachment->install({2, {rule_row(1)}}));
  ASSERT_TRUE(attachment->watch({.request = 2}));
  ASSERT_TRUE(attachment->watch({.request = 3})) << "in place of the one before, which waits still";
  EXPECT_TRUE(dataplane.watches.empty());
  ASSERT_TRUE(settle());
  ASSERT_EQ(1u, dataplane.watches.size());
  EXPECT_EQ(3u, dataplane.watches[0].request);
  EXPECT_EQ((std::vector<uint64_t>{1, 2}), dataplane.generations);
  EXPECT_EQ(kInstallSlots + 1, dataplane.committed.size()) << "it is no part of a batch";
}

TEST_F(AttachmentTest, HandsOnRecords) {
  settle_attached();
  for (uint32_t packet = 1; packet <= kSeenSlots; ++packet)
    dataplane.push_seen({.packet = packet, .length = 9, .kept = 9});
  ASSERT_TRUE(settle());
  ASSERT_EQ(kSeenSlots, seen.size());
  EXPECT_EQ(kSeenSlots, seen.back().packet);
  EXPECT_TRUE(events.empty());
}

TEST_F(AttachmentTest, RecordsOutsideTheirRangesAreErrors) {
  SeenPacket wrong[6];
  for (SeenPacket& record : wrong) record = {.length = 2000, .kept = 1984};
  wrong[0].kept = 1985;
  wrong[1].length = 1983;
  wrong[2].stage = Stage::count;
  wrong[3].verdict = kVerdictNames.size();
  wrong[4].reason = kDropReasons;
  wrong[5].form = Form{kForms};
  for (const SeenPacket& record : wrong) {
    settle_attached();
    dataplane.push_seen(record);
    expect_broken("record of a packet");
  }
  EXPECT_TRUE(seen.empty());
}

TEST_F(AttachmentTest, TheSecondAttachmentHasANewFence) {
  settle_attached();
  attachment.reset();
  settle_attached();
  EXPECT_EQ(attachment->reply().fence, 2u);
  ASSERT_TRUE(attachment->install({1, {}}));
  ASSERT_TRUE(settle());
  EXPECT_EQ(std::get<Acked>(events.at(0)).error, InstallError::none);
}

TEST_F(AttachmentTest, AMissingDataplaneIsAnError) {
  const auto socket = ask_to_attach("/nonexistent/dataplane.sock");
  ASSERT_FALSE(socket);
  EXPECT_NE(socket.error().message.find("/nonexistent/dataplane.sock"), std::string::npos);
  EXPECT_FALSE(ask_to_attach(std::string(200, 'x')));
}

// Hostile replies: each is a clean refusal, and no descriptor is left open.
struct Lie {
  const char* name;
  void (*tell)(test::FakeDataplane&);
  const char* error;
};

class HandoverLies : public AttachmentTest, public testing::WithParamInterface<Lie> {};

size_t open_descriptors() {
  size_t count = 0;
  for ([[maybe_unused]] const auto& fd : std::filesystem::directory_iterator("/proc/self/fd")) ++count;
  return count;
}

TEST_P(HandoverLies, AreRefused) {
  GetParam().tell(dataplane);
  {
    const auto handover = take();
    ASSERT_FALSE(handover);
    EXPECT_NE(handover.error().message.find(GetParam().error), std::string::npos) << handover.error().message;
  }
  const size_t before = open_descriptors();
  { EXPECT_FALSE(take()); }  // the second time replaces the sockets of the first
  EXPECT_LE(open_descriptors(), before);
}

const Lie kLies[] = {
    {"magic", [](test::FakeDataplane& d) { d.reply.magic ^= 1; }, "found magic"},
    {"version", [](test::FakeDataplane& d) { d.reply.sizes.abi_version = 99; }, "found ABI version 99"},
    {"message_size", [](test::FakeDataplane& d) { d.reply.sizes.message_bytes = 128; }, "message 128"},
    {"slots", [](test::FakeDataplane& d) { d.reply.sizes.ack_slots *= 2; }, "found ABI version"},
    {"refusal", [](test::FakeDataplane& d) { d.reply.status = AttachStatus::not_allowed; }, "may not attach"},
    {"unknown_refusal", [](test::FakeDataplane& d) { d.reply.status = AttachStatus{77}; }, "refused"},
    {"no_counters", [](test::FakeDataplane& d) { d.reply.counters_bytes = 0; }, "0 bytes of counters"},
    {"huge_counters", [](test::FakeDataplane& d) { d.reply.counters_bytes = ~0ull; }, "bytes of counters"},
    {"larger_counters", [](test::FakeDataplane& d) { d.reply.counters_bytes += 1; }, "counters: found"},
    {"no_descriptors",
     [](test::FakeDataplane& d) {
       d.fds.clear();
       d.reply.fence = ~0ull;
     },
     "found 0 descriptors"},
    {"one_missing",
     [](test::FakeDataplane& d) {
       d.fds.pop_back();
       d.reply.fence = ~0ull;
     },
     "found 4 descriptors"},
    {"one_more",
     [](test::FakeDataplane& d) {
       d.fds.push_back(test::make_memfd(1));
       d.reply.fence = ~0ull;
     },
     "descriptors, wanted 5"},
};
INSTANTIATE_TEST_SUITE_P(Lies, HandoverLies, testing::ValuesIn(kLies), [](const auto& lie) { return lie.param.name; });

TEST_F(AttachmentTest, SmallAndUnsealedMemfdsAreRefused) {
  dataplane.fds[kRingsFd] = test::make_memfd(sizeof(RingsSegment) - 1);
  auto handover = take();
  ASSERT_FALSE(handover);
  EXPECT_NE(handover.error().message.find("rings: found"), std::string::npos) << handover.error().message;

  dataplane.reply.fence = ~0ull;  // keeps what stands in fds
  dataplane.fds[kRingsFd] = test::make_memfd(sizeof(RingsSegment), false);
  handover = take();
  ASSERT_FALSE(handover);
  EXPECT_NE(handover.error().message.find("not sealed"), std::string::npos) << handover.error().message;

  dataplane.reply.fence = ~0ull;
  dataplane.fds[kRingsFd] = Descriptor(dup(dataplane.listener()));
  handover = take();
  ASSERT_FALSE(handover);
  EXPECT_NE(handover.error().message.find("no memfd"), std::string::npos) << handover.error().message;
}

// Hostile contents.
TEST_F(AttachmentTest, ImpossiblePositionsBreakIt) {
  for (auto position : {&RingsSegment::ack_positions, &RingsSegment::event_positions}) {
    settle_attached();
    (dataplane.rings().*position).tail = ~0ull;
    expect_broken("impossible position");
  }
  settle_attached();
  dataplane.rings().install_positions.head = 1ull << 40;
  ASSERT_TRUE(attachment->install({1, std::vector<InstallMessage>(kInstallSlots)}));
  expect_broken("impossible position");
  settle_attached();
  dataplane.packets().up_positions.tail = kPacketSlots + 1;
  expect_broken("impossible position");
  settle_attached();
  dataplane.packets().seen_positions.tail = kSeenSlots + 1;
  expect_broken("impossible position");
}

TEST_F(AttachmentTest, MessagesThatDoNotBelongAreErrors) {
  settle_attached();
  dataplane.push_ack(rule_row(1));
  expect_broken("not asked for");
  settle_attached();
  dataplane.push_ack(InstallMessage::of(DumpEndMessage{.table = Table::rules}));
  expect_broken("found an end of table 3");
  settle_attached();
  dataplane.push_event(rule_row(1));
  expect_broken("event ring");
  settle_attached();
  ControlPacket packet;
  packet.length = 2000;
  dataplane.push_packet(packet);
  expect_broken("found a length of 2000");
}

TEST_F(AttachmentTest, DumpsAreBounded) {
  for (uint32_t i = 0; i < 11; ++i) dataplane.tables[Table::rules].push_back(rule_row(i));
  attach(10);
  expect_broken("more than 10 rows");
  dataplane.tables[Table::rules] = {InstallMessage::of(LinkMessage{})};
  attach();
  expect_broken("not asked for");
  // An end that leads back would be a dump without end.
  attach();
  dataplane.push_ack(InstallMessage::of(DumpEndMessage{.table = Table::links, .next = 5}));
  dataplane.push_ack(InstallMessage::of(DumpEndMessage{.table = Table::links, .next = 5}));
  const auto turned = attachment->turn();
  ASSERT_FALSE(turned);
  EXPECT_NE(turned.error().message.find("next index of 5"), std::string::npos) << turned.error().message;
}

TEST_F(AttachmentTest, RandomMessagesNeverCrashIt) {
  std::mt19937 random(1);
  int broken = 0;
  settle_attached();
  for (int i = 0; i < 6000; ++i) {
    InstallMessage message;
    constexpr Verb kVerbs[] = {Verb::ack, Verb::dump_end, Verb::link_state, Verb::miss, Verb::put_rule};
    message.verb = random() % 2 ? kVerbs[random() % 5] : Verb(random());
    for (uint8_t& byte : message.body) byte = static_cast<uint8_t>(random());
    ControlPacket packet;
    packet.length = static_cast<uint16_t>(random() % (packet.payload.size() + 9));
    switch (random() % 3) {
      case 0:
        dataplane.push_ack(message);
        break;
      case 1:
        dataplane.push_event(message);
        break;
      default:
        dataplane.push_packet(packet);
    }
    if (attachment->turn()) continue;
    ++broken;
    settle_attached();
  }
  EXPECT_GT(broken, 500);
}

}  // namespace
}  // namespace sky::controlplane
