// A10, in one process: one side of the contract, or of a ring within the dataplane, stands still while the other one
// works on. It never waits, holds a bounded amount, and when the frozen one goes on both agree.
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <ctime>
#include <fstream>
#include <iostream>

#include "controlplane/install/planner.h"
#include "tests/packet/crossroads.h"
#include "tests/soak/table_rows.h"
#include "tests/support/contract.h"
#include "tests/support/soak.h"

namespace sky::soak {
namespace {

using namespace sky::test;
using std::chrono::steady_clock;

constexpr uint64_t kMostStallNs = 10'000'000;
constexpr int64_t kMostBytes = 64 << 20;
constexpr uint32_t kRows = 20'000;

/// Time on a CPU; what a busy machine does meanwhile is not this thread's.
uint64_t cpu_ns() {
  timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<uint64_t>(time.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(time.tv_nsec);
}

rusage usage() {
  rusage usage;
  getrusage(RUSAGE_THREAD, &usage);
  return usage;
}

int64_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  int64_t all, resident;
  statm >> all >> resident;
  return resident * getpagesize();
}

/// Runs steps and remembers the longest.
class Loop {
 public:
  template <typename Step>
  void turn(Step step) {
    const rusage before = usage();
    const uint64_t start = cpu_ns();
    step();
    longest_ns_ = std::max(longest_ns_, cpu_ns() - start);
    const rusage after = usage();
    ++turns_;
    // Within a page fault the kernel may wait, for itself: turns without one tell.
    if (after.ru_minflt != before.ru_minflt || after.ru_majflt != before.ru_majflt) return;
    ++told_;
    waits_ += after.ru_nvcsw - before.ru_nvcsw;
  }
  void expect_fluent(const std::string& who, int64_t grown_bytes) const {
    EXPECT_LE(longest_ns_, kMostStallNs) << who;
    EXPECT_EQ(waits_, 0) << who << " waited";
    EXPECT_GE(told_, turns_ / 2) << who;
    EXPECT_LE(grown_bytes, kMostBytes) << who;
    std::cout << "figure: " << who << ": longest turn " << static_cast<double>(longest_ns_ / 1'000) / 1'000 << " ms, "
              << grown_bytes / 1'024 << " KiB more\n";
  }

 private:
  uint64_t longest_ns_ = 0;
  uint64_t turns_ = 0, told_ = 0;
  long waits_ = 0;  ///< how often this thread gave its CPU away of its own accord
};

NodeConfig large() {
  NodeConfig config{.ring_frames = 4096};
  config.capacities.rules = 1 << 16;
  return config;
}

class FrozenPeer : public Crossroads {
 protected:
  FrozenPeer() : Crossroads(large()) { drain_events(); }
  void drain_events() {
    contract_.on_event = [this](const controlplane::Event& event) { take(event); };
  }
  void take(const controlplane::Event& event) {
    if (const auto* acked = std::get_if<controlplane::Acked>(&event)) acks_.push_back(*acked);
    if (const auto* told = std::get_if<controlplane::DataplaneEvent>(&event)) events_.push_back(told->message);
    if (std::holds_alternative<controlplane::PacketIn>(event)) ++packets_;
  }
  /// What the control plane does in a turn of its loop.
  void plan(controlplane::Planner& planner) {
    for (const controlplane::Acked& ack : std::exchange(acks_, {})) EXPECT_TRUE(planner.acked(ack).empty());
    auto batch = planner.next_batch();
    if (!batch) return;
    EXPECT_TRUE(contract_.attachment().install(std::move(*batch)));
  }

  Contract contract_{node};
  std::vector<controlplane::Acked> acks_;
  std::vector<InstallMessage> events_;
  uint64_t packets_ = 0;
};

TEST_F(FrozenPeer, TheDataplaneStandsStill) {
  controlplane::Planner planner(UINT64_MAX / 2);
  const auto standing = contract_.attach();
  planner.attach(standing, node.now_ns());
  const auto row = [&](uint32_t index, uint32_t next) {
    return forward_put((index + 1) * 2'654'435'761u, left.link, right.link, next);
  };
  for (uint32_t i = 0; i < kRows; ++i) planner.put(row(i, 1));
  const uint32_t updates = soak_size(200'000u, 1'000'000u);
  const int64_t before = resident_bytes();
  Loop loop;
  uint64_t refused = 0;
  for (uint32_t i = 0; i < updates; ++i) {
    loop.turn([&] {
      planner.put(row(i % kRows, 2 + i));
      plan(planner);
      ASSERT_TRUE(contract_.attachment().turn());
      refused +=
          !contract_.attachment().send({.kind = SlotKind::link_packet, .length = 1, .link = LinkIndex{left.link}});
    });
  }
  loop.expect_fluent("control plane", resident_bytes() - before);
  EXPECT_EQ(refused, updates - kPacketSlots) << "control packets that found no room";

  const auto start = steady_clock::now();
  while (planner.pending() > 0 || planner.in_flight()) {
    contract_.turn();
    node.worker_turn();
    plan(planner);
  }
  const double took = std::chrono::duration<double>(steady_clock::now() - start).count();
  EXPECT_LE(took, 2.0) << "seconds";
  Rows wanted = rows_of(standing);
  for (uint32_t i = 0; i < kRows; ++i) {
    const auto put = InstallMessage::of(row(i, 2 + (updates - kRows + i)));
    wanted[controlplane::key_of(put).value()] = put;
  }
  EXPECT_TRUE(same(wanted, rows_of(contract_.attach())));
  std::cout << "figure: " << updates << " updates, tables equal " << static_cast<int>(took * 1'000)
            << " ms after the thaw\n";
  for (unsigned port = 0; port < 3; ++port) node.port(port).pop_all();
}

TEST_F(FrozenPeer, TheControlPlaneStandsStill) {
  contract_.attach();
  node.worker_turn();
  const uint32_t updates = soak_size(200'000u, 1'000'000u);
  const int64_t before = resident_bytes();
  Loop loop;
  auto& channel = node.channel();
  uint64_t punted = 0;
  for (uint32_t i = 0; i < updates; ++i) {
    loop.turn([&] {
      channel.events.producer.push(InstallMessage::of(LinkStateEvent{
          .up = static_cast<uint8_t>(i & 1), .link = LinkIndex{static_cast<uint16_t>(i % 64)}, .at_ns = i}));
      channel.events.producer.push(InstallMessage::of(MissEvent{.group = GroupIndex{i % 64}}));
      // As a worker does: it asks whether anybody takes what it punts.
      if (channel.takes_punts)
        punted += channel.up.producer.push({.kind = SlotKind::link_packet, .length = 1, .link = LinkIndex{left.link}});
      contract_.main_turn();
    });
  }
  loop.expect_fluent("main core", resident_bytes() - before);
  // The ring, and what had left the workers when it was full.
  EXPECT_LE(punted, kPacketSlots + 256 + 1);
  for (int turns = 0; turns < 100; ++turns) contract_.turn();
  std::map<LinkIndex, uint64_t> newest;
  for (const InstallMessage& event : events_) {
    if (event.verb != Verb::link_state) continue;
    const auto state = event.as<LinkStateEvent>();
    EXPECT_GE(state.at_ns, newest[state.link]) << "an older state after a newer one";
    newest[state.link] = state.at_ns;
  }
  ASSERT_EQ(newest.size(), 64u);
  for (const auto& [link, at] : newest) EXPECT_GE(at, updates - 64) << "not the newest state of link";
  EXPECT_EQ(packets_, punted);
}

TEST_F(FrozenPeer, TheMainCoreStandsStill) {
  const uint32_t frames = soak_size(50'000u, 1'000'000u);
  const int64_t before = resident_bytes();
  node.install({message(forward_put(kRoute, left.link, right.link, kNext))});
  node.change();
  node.channel().takes_punts = true;
  Loop loop;
  uint64_t forwarded = 0;
  const Bytes control = packet(64, 0, Bytes(100));
  for (uint32_t i = 0; i < frames; i += 2) {
    node.pass(1'000'000);  // within the ration of what a link may hand on
    if (i % 500 == 0) node.port(1).push(right.ping(true, 1'000'000));
    node.port(0).push(left.seal(control));
    node.port(0).push(left.seal(packet(17, kRoute, Bytes(100))));
    loop.turn([&] { node.worker_turn(); });
    for (unsigned port = 0; port < 3; ++port) {
      while (auto frame = node.port(port).pop()) forwarded += port == 1 && frame->size() == 14 + 32 + 107;
    }
  }
  loop.expect_fluent("worker", resident_bytes() - before);
  EXPECT_EQ(forwarded, frames / 2) << "packets that pass lose nothing";
  const Change change = node.change();
  EXPECT_EQ(change.punted, 256) << "what its ring holds";
  EXPECT_EQ(node.punts().size(), 256u);
  node.events();
}

TEST_F(FrozenPeer, AWorkerStandsStill) {
  contract_.attach();
  node.quiescence().online(0);  // and never quiescent again
  const int64_t before = resident_bytes();
  Loop loop;
  uint64_t generation = 0;
  const auto puts = [&] {  // each replaces what the batch before it put
    std::vector<InstallMessage> messages;
    for (uint16_t index = 4; index < 64; ++index) {
      LinkMessage put = link_put({index, index, index}, 2);
      put.cookie = generation;
      messages.push_back(message(put));
    }
    return messages;
  };
  const uint32_t batches = soak_size(1'500u, 15'000u);
  for (uint32_t i = 0; i < batches; ++i) {
    if (contract_.attachment().install({generation + 1, puts()})) ++generation;
    loop.turn([&] { contract_.main_turn(); });
    ASSERT_TRUE(contract_.attachment().turn());
  }
  loop.expect_fluent("main core without grace", resident_bytes() - before);
  EXPECT_LE(acks_.size(), kMaxBatch / 60 + 1) << "batches are taken though nothing of earlier ones can be freed";
  EXPECT_GT(generation, acks_.size());
  for (int turns = 0; turns < 10'000 && acks_.size() < generation; ++turns) {
    node.worker_turn();
    contract_.turn();
  }
  EXPECT_EQ(acks_.size(), generation);
  for (unsigned port = 0; port < 3; ++port) node.port(port).pop_all();
}

}  // namespace
}  // namespace sky::soak
