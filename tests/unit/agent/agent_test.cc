// The main core's turn against a control plane that the test plays, and tables that are maps.
#include "dataplane/agent/agent.h"

#include <gtest/gtest.h>

#include <iostream>
#include <map>
#include <random>
#include <sstream>

#include "tests/unit/agent/client.h"
#include "tests/unit/agent/messages.h"
#include "tests/unit/agent/model.h"

namespace sky::dataplane::test {
namespace {

constexpr uint64_t kBootId = 0xb007;
constexpr Capacities kSizes{.ports = 1, .links = 8, .sessions = 8, .rules = 32768, .groups = 8, .destinations = 8};

class AgentTest : public testing::Test {
 protected:
  AgentTest() {
    endpoint = std::move(*Endpoint::open(path, kBootId, counters));
    agent.emplace(*endpoint, kBootId, stats, model, model, model, channels,
                  Agent::Hooks{.link_state = [this](const LinkStateEvent& event) { link_states.push_back(event); },
                               .dead_routes =
                                   [this](const ControlPacket& packet) {
                                     lists.push_back(packet);
                                     on_list();
                                   },
                               .retire = [this](std::function<void()> free) { graces.push_back(std::move(free)); }});
    channel.wake_worker = *drivers::make_event();
    attach();
  }
  ~AgentTest() override { close(channel.wake_worker); }

  void attach() {
    client.emplace(path);
    turn(3);
    fence = client->reply().value().fence;
  }
  void detach() {
    client.reset();
    turn();
  }
  void turn(unsigned times = 1) {
    while (times-- > 0) {
      agent->turn(++now_ns);
      agent->report(own_events);
    }
  }

  template <typename... Message>
  void send_batch(uint64_t generation, const Message&... messages) {
    client->push(BeginMessage{.generation = generation, .boot_id = kBootId, .fence = fence});
    (client->push(messages), ...);
    client->push(CommitMessage{.count = sizeof...(messages), .generation = generation});
  }
  /// The next message of the ack ring, which must be an ack.
  AckMessage next_ack() {
    InstallMessage message;
    EXPECT_TRUE(client->acks.pop(message)) << "no ack";
    EXPECT_EQ(message.verb, Verb::ack);
    return message.as<AckMessage>();
  }
  bool has_answer() { return client->acks.available() > 0; }
  ControlPacket link_packet(uint16_t link, PacketType type = PacketType::signal) {
    ControlPacket packet;
    packet.kind = SlotKind::link_packet;
    packet.type = to_underlying(type);
    packet.link = LinkIndex{link};
    packet.length = 3;
    return packet;
  }

  ScratchDirectory directory;
  std::string path = directory.path + "/dataplane.sock";
  StatsLayout layout = StatsLayout::of(1, 1, kSizes.links, kSizes.groups);
  SharedPages counters = std::move(*SharedPages::create("test-counters", layout.bytes, true));
  Stats stats{counters.data(), layout};
  Model model{kSizes};
  WorkerChannel channel;
  std::array<WorkerChannel*, 1> channels{&channel};
  std::vector<LinkStateEvent> link_states;
  std::vector<ControlPacket> lists;
  std::function<void()> on_list = [] {};
  std::vector<std::function<void()>> graces;  ///< that begin now
  std::vector<InstallMessage> own_events;     ///< for the end of the next turn
  std::unique_ptr<Endpoint> endpoint;
  std::optional<Agent> agent;
  std::optional<Client> client;
  uint64_t fence = 0;
  uint64_t now_ns = 0;
};

TEST_F(AgentTest, AppliesABatchAndAcksItsGeneration) {
  send_batch(5, good_link(1), good_chain(KeyOwner::link, Direction::send, 1, 9));
  turn();
  const AckMessage ack = next_ack();
  EXPECT_EQ(ack.error, InstallError::none);
  EXPECT_EQ(ack.generation, 5u);
  EXPECT_TRUE(model.has_link(LinkIndex{1}));
  EXPECT_EQ(stats.header().batches.get(), 1u);
  EXPECT_EQ(stats.header().batches_refused.get(), 0u);
  EXPECT_FALSE(has_answer());
}

TEST_F(AgentTest, NothingHappensBeforeTheCommit) {
  client->push(BeginMessage{.generation = 1, .boot_id = kBootId, .fence = fence});
  client->push(good_link(1));
  turn(3);
  EXPECT_FALSE(model.has_link(LinkIndex{1}));
  EXPECT_FALSE(has_answer());
  client->push(CommitMessage{.count = 1, .generation = 1});
  turn();
  EXPECT_EQ(next_ack().error, InstallError::none);
}

TEST_F(AgentTest, RefusesABatchWholeWithIndexAndReason) {
  send_batch(1, good_link(1), good_forward(77, 1, 2));
  turn();
  const AckMessage ack = next_ack();
  EXPECT_EQ(ack.error, InstallError::missing_dependency);
  EXPECT_EQ(ack.index, 1u);
  EXPECT_FALSE(model.has_link(LinkIndex{1}));
  EXPECT_EQ(stats.header().batches_refused.get(), 1u);
}

TEST_F(AgentTest, RefusesWhatIsNotThisAttachments) {
  const auto attempt = [&](BeginMessage begin, CommitMessage commit) {
    client->push(begin);
    client->push(good_link(1));
    client->push(commit);
    turn();
    return next_ack().error;
  };
  const CommitMessage commit{.count = 1, .generation = 7};
  EXPECT_EQ(attempt({.generation = 7, .boot_id = 1, .fence = fence}, commit), InstallError::wrong_boot_id);
  EXPECT_EQ(attempt({.generation = 8, .boot_id = kBootId, .fence = fence + 1}, commit), InstallError::wrong_fence);
  EXPECT_EQ(attempt({.generation = 8, .boot_id = kBootId, .fence = fence}, {.count = 1, .generation = 8}),
            InstallError::bad_value)
      << "a generation that does not rise";
  EXPECT_EQ(attempt({.generation = 9, .boot_id = kBootId, .fence = fence}, {.count = 2, .generation = 9}),
            InstallError::count_mismatch);
  EXPECT_EQ(attempt({.generation = 10, .boot_id = kBootId, .fence = fence}, commit), InstallError::count_mismatch);
  EXPECT_TRUE(model.state.links.empty());
  EXPECT_EQ(attempt({.generation = 11, .boot_id = kBootId, .fence = fence}, {.count = 1, .generation = 11}),
            InstallError::none);
}

TEST_F(AgentTest, AnswersMessagesOutsideABatch) {
  client->push(good_link(1));
  client->push(CommitMessage{.count = 1, .generation = 3});
  turn();
  EXPECT_EQ(next_ack().error, InstallError::no_batch);
  EXPECT_EQ(next_ack().error, InstallError::no_batch);
  // A begin within a batch ends that one.
  client->push(BeginMessage{.generation = 1, .boot_id = kBootId, .fence = fence});
  client->push(good_link(1));
  send_batch(2, good_link(2));
  turn();
  EXPECT_EQ(next_ack().error, InstallError::count_mismatch);
  EXPECT_EQ(next_ack().generation, 2u);
  EXPECT_FALSE(model.has_link(LinkIndex{1}));
  EXPECT_TRUE(model.has_link(LinkIndex{2}));
}

TEST_F(AgentTest, RefusesATooLongBatchInBoundedMemory) {
  client->push(BeginMessage{.generation = 1, .boot_id = kBootId, .fence = fence});
  for (uint32_t sent = 0; sent <= kMaxBatch;) {
    while (sent <= kMaxBatch && client->install.push(InstallMessage::of(good_link(1)))) ++sent;
    turn();
  }
  client->push(CommitMessage{.count = kMaxBatch + 1, .generation = 1});
  turn(2);
  EXPECT_EQ(next_ack().error, InstallError::batch_too_long);
}

TEST_F(AgentTest, AcksOnlyWhenTheKeysAreInPlace) {
  model.is_settled = false;
  send_batch(1, good_link(1));
  send_batch(2, good_link(2));
  turn(3);
  EXPECT_FALSE(has_answer());
  EXPECT_LE(agent->patience_ns(), 1'000'000u) << "it asks again soon";
  EXPECT_FALSE(model.has_link(LinkIndex{2})) << "the next batch waits";
  model.is_settled = true;
  turn();
  EXPECT_EQ(next_ack().generation, 1u);
  EXPECT_EQ(next_ack().generation, 2u);
}

TEST_F(AgentTest, AnUncommittedBatchDiesWithItsSocket) {
  client->push(BeginMessage{.generation = 1, .boot_id = kBootId, .fence = fence});
  client->push(good_link(1));
  turn();
  detach();
  EXPECT_EQ(endpoint->owner(), nullptr);
  attach();
  client->push(CommitMessage{.count = 1, .generation = 1});
  turn();
  EXPECT_EQ(next_ack().error, InstallError::no_batch);
  EXPECT_FALSE(model.has_link(LinkIndex{1}));
  EXPECT_EQ(stats.header().attachments.get(), 2u);
}

TEST_F(AgentTest, DumpsInPartsAndWithinTheRing) {
  for (uint32_t route = 1; route <= 9'000; ++route) model.state.rules[route] = good_forward(route, 0, 0).rule;
  client->push(DumpMessage{.table = Table::rules, .from = 0, .most = 5'000});
  client->push(DumpMessage{.table = Table::rules, .from = 5'001, .most = UINT32_MAX});
  client->push(DumpMessage{.table = Table{99}, .from = 0, .most = 1});
  turn(10);
  std::vector<uint32_t> found;
  std::vector<DumpEndMessage> ends;
  InstallMessage message;
  while (client->acks.pop(message)) {
    if (message.verb == Verb::dump_end) {
      ends.push_back(message.as<DumpEndMessage>());
    } else {
      ASSERT_EQ(message.verb, Verb::put_rule);
      found.push_back(to_underlying(message.as<RuleMessage>().rule.route_id));
    }
  }
  ASSERT_EQ(ends.size(), 3u);
  EXPECT_EQ(ends[0].rows, 5'000u);
  EXPECT_EQ(ends[0].next, 5'001u);
  EXPECT_EQ(ends[1].rows, 4'000u);
  EXPECT_EQ(ends[1].next, 0u);
  EXPECT_EQ(ends[2].rows, 0u);
  ASSERT_EQ(found.size(), 9'000u);
  EXPECT_TRUE(std::ranges::is_sorted(found));
}

TEST_F(AgentTest, AFullAckRingStopsTheDrainAndLosesNothing) {
  constexpr uint32_t kMany = kAckSlots + 100;
  uint32_t sent = 0;
  for (unsigned round = 0; round < 8 && sent < kMany; ++round) {
    while (sent < kMany && client->install.push(InstallMessage::of(good_link(1)))) ++sent;
    turn(4);
  }
  ASSERT_EQ(sent, kMany);
  EXPECT_EQ(client->acks.available(), kAckSlots);
  uint32_t answers = 0;
  InstallMessage message;
  for (unsigned round = 0; round < 4; ++round) {
    while (client->acks.pop(message)) ++answers;
    turn();
  }
  EXPECT_EQ(answers, kMany);
}

TEST_F(AgentTest, PacketsGoDownToTheWorkerAndUpFromIt) {
  model.state.links.insert(2);
  ASSERT_TRUE(client->down.push(link_packet(2)));
  turn();
  ControlPacket packet;
  ASSERT_TRUE(channel.down.consumer.pop(packet));
  EXPECT_EQ(packet.link, LinkIndex{2});
  uint64_t rung = 0;
  EXPECT_EQ(read(channel.wake_worker, &rung, sizeof(rung)), static_cast<ssize_t>(sizeof(rung)));

  ASSERT_TRUE(channel.up.producer.push(link_packet(2)));
  turn();
  ASSERT_TRUE(client->up.pop(packet));
  EXPECT_EQ(packet.link, LinkIndex{2});
  EXPECT_EQ(recv(client->fds[kDoorbellUpFd], &rung, 1, MSG_DONTWAIT), 1);
}

TEST_F(AgentTest, MalformedPacketsGoNowhere) {
  model.state.links.insert(2);
  ControlPacket packet = link_packet(3);
  ASSERT_TRUE(client->down.push(packet));  // no such link
  packet = link_packet(2);
  packet.length = sizeof(packet.payload) + 1;
  ASSERT_TRUE(client->down.push(packet));
  packet = link_packet(2);
  packet.kind = SlotKind{9};
  ASSERT_TRUE(client->down.push(packet));
  packet.kind = SlotKind::route_packet;  // on route 0
  packet.hop_limit = 50;
  ASSERT_TRUE(client->down.push(packet));
  packet.kind = SlotKind::handshake;
  packet.port = PortIndex{1};
  packet.header[0] = version_kind(FrameKind::handshake);
  ASSERT_TRUE(client->down.push(packet));  // no such port
  packet.port = PortIndex{0};
  packet.header[0] = version_kind(FrameKind::frame);
  ASSERT_TRUE(client->down.push(packet));  // would pass for a sealed frame
  turn();
  EXPECT_EQ(channel.down.consumer.available(), 0u);
  EXPECT_NE(endpoint->owner(), nullptr) << "an error, not the end";
}

TEST_F(AgentTest, AFullWorkerRingHoldsPacketsBack) {
  model.state.links.insert(2);
  unsigned sent = 0;
  while (sent < 300 && client->down.push(link_packet(2))) ++sent;
  turn();
  ControlPacket packet;
  unsigned arrived = 0;
  for (unsigned round = 0; round < 3; ++round) {
    while (channel.down.consumer.pop(packet)) ++arrived;
    turn();
  }
  EXPECT_EQ(arrived, 300u);
}

TEST_F(AgentTest, WorkersPuntOnlyWhileSomeoneTakesIt) {
  EXPECT_TRUE(channel.takes_punts);
  // The control plane stops reading: its ring fills, then workers are told.
  unsigned punted = 0;
  for (unsigned round = 0; round < 10 && channel.takes_punts; ++round) {
    while (channel.up.producer.push(link_packet(1))) ++punted;
    turn();
  }
  EXPECT_FALSE(channel.takes_punts);
  EXPECT_LE(agent->patience_ns(), 10'000'000u);
  ControlPacket packet;
  unsigned taken = 0;
  for (unsigned round = 0; round < 3; ++round) {
    while (client->up.pop(packet)) ++taken;
    turn();
  }
  EXPECT_EQ(taken, punted) << "what was punted arrives";
  EXPECT_TRUE(channel.takes_punts);
  detach();
  EXPECT_FALSE(channel.takes_punts);
  attach();
  EXPECT_TRUE(channel.takes_punts);
}

TEST_F(AgentTest, AFloodOfDeadRoutesHoldsNoTurn) {
  // A worker that refills its ring as fast as it is emptied, for as long as one turn would listen.
  unsigned refills = 4 * Agent::kPacketsPerTurn;
  on_list = [&] {
    if (refills-- > 0) channel.up.producer.push(link_packet(4, PacketType::dead_routes));
  };
  ASSERT_TRUE(channel.up.producer.push(link_packet(4, PacketType::dead_routes)));
  turn();
  EXPECT_EQ(lists.size(), Agent::kPacketsPerTurn);
  EXPECT_EQ(agent->patience_ns(), 0u) << "the rest at once";
  on_list = [] {};
}

TEST_F(AgentTest, TheFirstPacketWithoutRoomStopsThePunts) {
  for (unsigned punted = 0; punted < kPacketSlots + 1; ++punted) {
    EXPECT_TRUE(channel.takes_punts);
    ASSERT_TRUE(channel.up.producer.push(link_packet(1)));
    if (punted % 128 == 127) turn();
  }
  bool took = true;
  on_list = [&] { took = channel.takes_punts; };
  ASSERT_TRUE(channel.up.producer.push(link_packet(4, PacketType::dead_routes)));
  turn();
  EXPECT_FALSE(took) << "before the rest of the ring is looked at";
  on_list = [] {};
}

TEST_F(AgentTest, DeadRoutesAndLinkStatesReachTheMainCoreWithoutAControlPlane) {
  detach();
  ASSERT_TRUE(channel.up.producer.push(link_packet(1)));
  ASSERT_TRUE(channel.up.producer.push(link_packet(4, PacketType::dead_routes)));
  ASSERT_TRUE(channel.events.producer.push(InstallMessage::of(LinkStateEvent{.up = 0, .link = LinkIndex{4}})));
  turn();
  ASSERT_EQ(lists.size(), 1u);
  EXPECT_EQ(lists[0].link, LinkIndex{4});
  ASSERT_EQ(link_states.size(), 1u);
  attach();
  EXPECT_EQ(client->up.available(), 0u) << "nothing stale for the next control plane";
  EXPECT_EQ(client->events.available(), 0u);
}

TEST_F(AgentTest, MissesMakeRoomForEventsThatAreToldOnce) {
  for (unsigned i = 0; i < 2 * kEventSlots; ++i) {
    channel.events.producer.push(InstallMessage::of(MissEvent{.group = GroupIndex{1}}));
    if (i % 512 == 0) turn();
  }
  for (unsigned i = 0; i < 100; ++i) {
    channel.events.producer.push(InstallMessage::of(LinkStateEvent{.up = 1, .link = LinkIndex{1}}));
    turn();
  }
  unsigned states = 0;
  InstallMessage event;
  while (client->events.pop(event)) states += event.verb == Verb::link_state;
  EXPECT_EQ(states, 100u);
}

TEST_F(AgentTest, AChainIsConfirmedBeforeWhatCameUnderIt) {
  const auto confirmed = InstallMessage::of(ChainConfirmedEvent{.owner = KeyOwner::link, .index = 1, .key_id = 9});
  ASSERT_TRUE(channel.up.producer.push(link_packet(1)));
  agent->turn(++now_ns);
  EXPECT_EQ(client->up.available(), 0u) << "the end of the turn may have to say something first";
  own_events.push_back(confirmed);
  agent->report(own_events);
  EXPECT_EQ(client->events.available(), 1u);
  EXPECT_EQ(client->up.available(), 1u);

  own_events.assign(kEventSlots, confirmed);
  ASSERT_TRUE(channel.up.producer.push(link_packet(1)));
  turn();
  EXPECT_EQ(client->up.available(), 1u) << "an event without room holds packets back";
  InstallMessage event;
  while (client->events.pop(event)) {
  }
  turn();
  EXPECT_EQ(client->events.available(), 1u);
  EXPECT_EQ(client->up.available(), 2u);
}

TEST_F(AgentTest, AControlPlaneThatSleepsHoldsNoEventBackAndLosesNoState) {
  const auto link_state = [](uint16_t link, uint8_t up) {
    return InstallMessage::of(LinkStateEvent{.up = up, .link = LinkIndex{link}});
  };
  for (unsigned i = 0; i < kEventSlots + 1'000; ++i) {
    ASSERT_TRUE(channel.events.producer.push(link_state(1, i % 2)));
    if (i % 100 == 0) turn();
  }
  ASSERT_TRUE(channel.events.producer.push(link_state(2, 1)));
  ASSERT_TRUE(
      channel.events.producer.push(InstallMessage::of(MemberStateEvent{.slot = 3, .live = 0, .group = GroupIndex{5}})));
  turn();
  ASSERT_TRUE(channel.events.producer.push(link_state(2, 0)));
  turn();
  EXPECT_EQ(link_states.size(), kEventSlots + 1'002u) << "neighbours hear of them all";
  EXPECT_EQ(link_states.back().link, LinkIndex{2});

  InstallMessage event;
  for (unsigned i = 0; i < kEventSlots; ++i) ASSERT_TRUE(client->events.pop(event));
  turn();
  ASSERT_TRUE(client->events.pop(event));
  EXPECT_EQ(event.as<LinkStateEvent>().link, LinkIndex{1});
  EXPECT_EQ(event.as<LinkStateEvent>().up, 1);
  ASSERT_TRUE(client->events.pop(event));
  EXPECT_EQ(event.as<LinkStateEvent>().link, LinkIndex{2});
  EXPECT_EQ(event.as<LinkStateEvent>().up, 0) << "the newest";
  ASSERT_TRUE(client->events.pop(event));
  EXPECT_EQ(event.as<MemberStateEvent>().group, GroupIndex{5});
  EXPECT_FALSE(client->events.pop(event));
}

TEST_F(AgentTest, ReportsTheMainCoresOwnEvents) {
  std::vector<InstallMessage> events{
      InstallMessage::of(ChainConfirmedEvent{.owner = KeyOwner::link, .index = 1, .key_id = 9})};
  agent->report(events);
  EXPECT_TRUE(events.empty());
  InstallMessage event;
  ASSERT_TRUE(client->events.pop(event));
  EXPECT_EQ(event.as<ChainConfirmedEvent>().key_id, 9u);
}

TEST_F(AgentTest, ABrokenRingEndsTheAttachmentAndNothingElse) {
  model.state.links.insert(1);
  client->rings->install_positions.tail.store(uint64_t{1} << 40);
  turn();
  EXPECT_EQ(endpoint->owner(), nullptr);
  EXPECT_TRUE(client->sent_away());
  EXPECT_TRUE(model.has_link(LinkIndex{1}));
  attach();
  send_batch(1, good_link(2));
  turn();
  EXPECT_EQ(next_ack().error, InstallError::none);
}

TEST_F(AgentTest, AMillionRandomMessagesAreAnsweredAndHarmless) {
  constexpr uint64_t kRounds = 1'000, kMessages = 1'000;
  std::mt19937_64 random(7);
  std::map<InstallError, uint64_t> answers;
  uint64_t expected = 0, ends = 0, dumps = 0;
  bool open = false;
  const auto push = [&](const InstallMessage& message) {
    ASSERT_TRUE(client->install.push(message));
    const bool begins = message.verb == Verb::begin, ends_batch = message.verb == Verb::commit;
    if (message.verb == Verb::watch && !open) {
      // Answered by records.
    } else if (message.verb == Verb::dump && !open) {
      ++dumps;
    } else if (begins ? open : ends_batch || !open) {
      ++expected;  // a batch without its commit, a commit, a message of no batch
    }
    open = begins || (open && !ends_batch);
  };
  InstallMessage message;
  for (uint64_t round = 0; round < kRounds; ++round) {
    for (uint64_t i = 0; i < kMessages; ++i) {
      std::array<uint64_t, 8> words;
      for (uint64_t& word : words) word = random();
      message = __builtin_bit_cast(InstallMessage, words);
      // Mostly known verbs, and now and then a batch that gets as far as its check.
      if (i % 4 != 0) message.verb = static_cast<Verb>(random() % 40);
      const uint64_t generation = 1 + round * kMessages + i;
      if (i % 10 == 0) {
        message = InstallMessage::of(BeginMessage{.generation = generation, .boot_id = kBootId, .fence = fence});
      }
      if (i % 10 == 5) message = InstallMessage::of(CommitMessage{.count = 4, .generation = generation - 5});
      push(message);
    }
    while (client->install.free_slots() < kInstallSlots) turn();
    ASSERT_LE(graces.size(), 1u) << "one watch at a time";
    for (const auto& over : std::exchange(graces, {})) over();
    for (SeenPacket record; client->seen.pop(record);) EXPECT_EQ(1, record.last);
    while (client->acks.pop(message)) {
      if (message.verb == Verb::ack) ++answers[message.as<AckMessage>().error];
      ends += message.verb == Verb::dump_end;
    }
    ASSERT_NE(endpoint->owner(), nullptr);
    ASSERT_TRUE(model.state.whole());
  }
  uint64_t answered = 0;
  std::ostringstream reasons;
  for (const auto& [error, count] : answers) {
    EXPECT_LE(error, InstallError::table_full);
    answered += count;
    reasons << ", " << count << " of reason " << static_cast<unsigned>(error);
  }
  std::cout << "figure: " << kRounds * kMessages << " random ring messages, refused: " << answered << reasons.str()
            << "\n";
  EXPECT_EQ(expected, answered);
  EXPECT_EQ(dumps, ends);
  EXPECT_GE(answers.size(), 7u) << "many reasons";
}

}  // namespace
}  // namespace sky::dataplane::test
