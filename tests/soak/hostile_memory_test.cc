// A11: each of the two processes against another that writes what it likes into all that they share.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <chrono>
#include <csignal>
#include <iostream>

#include "dataplane/agent/agent.h"
#include "tests/soak/hostile_control_plane.h"
#include "tests/soak/watched_tables.h"
#include "tests/support/node.h"
#include "tests/support/soak.h"
#include "tests/unit/agent/client.h"

namespace sky::soak {
namespace {

using namespace dataplane;
using std::chrono::steady_clock;

constexpr uint64_t kBootId = 0xb007;
constexpr Capacities kSizes{.ports = 3, .links = 5, .sessions = 4, .rules = 16, .groups = 4, .destinations = 12};

template <typename T>
T& shared_object() {
  void* memory = mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  return *new (memory) T();
}

/// A dataplane's main core and worker, in this thread, with a witness at its tables.
class Victim {
 public:
  explicit Victim(const std::string& socket_path)
      : layout_(StatsLayout::of(1, kSizes.ports, kSizes.links, kSizes.groups)),
        counters_(std::move(*SharedPages::create("counters-under-test", layout_.bytes, true))),
        endpoint_(std::move(*Endpoint::open(socket_path, kBootId, counters_))),
        agent_(
            *endpoint_, kBootId, stats(), *node.tables, watched, *node.tables, std::span(&channel_, 1),
            Agent::Hooks{.link_state = [](const LinkStateEvent&) {},
                         .dead_routes = [](const ControlPacket&) {},
                         .retire = [this](std::function<void()> free) { node.quiescence().retire(std::move(free)); }}) {
  }

  /// The longest that the main core was away from its loop, in ns.
  uint64_t turn() {
    const auto start = steady_clock::now();
    node.pass(10'000);
    node.tables->begin_turn(node.now_ns());
    agent_.turn(node.now_ns());
    node.tables->end_turn(events_);
    agent_.report(events_);
    const auto took = steady_clock::now() - start;
    node.worker_turn();
    for (unsigned port = 0; port < kSizes.ports; ++port) {
      while (node.port(port).discard()) {
      }
    }
    return static_cast<uint64_t>(std::chrono::nanoseconds(took).count());
  }
  Stats stats() const { return Stats(counters_.data(), layout_); }

  sky::test::Node node{{.capacities = kSizes}};
  WatchedTables watched{*node.tables};

 private:
  StatsLayout layout_;
  SharedPages counters_;
  std::unique_ptr<Endpoint> endpoint_;
  WorkerChannel* channel_ = &node.channel();
  Agent agent_;
  std::vector<InstallMessage> events_;
};

TEST(HostileMemory, TheDataplaneStandsAHostileControlPlane) {
  sky::dataplane::test::ScratchDirectory directory;
  const std::string path = directory.path + "/dataplane.sock";
  auto& figures = shared_object<HostileFigures>();
  const pid_t hostile = start_hostile_control_plane(path, kBootId, figures);
  {
    Victim victim(path);
    const double seconds = soak_size(4.0, 600.0);
    const auto start = steady_clock::now();
    const uint64_t writes_before = figures.writes;
    uint64_t longest_ns = 0;
    while (steady_clock::now() - start < std::chrono::duration<double>(seconds)) {
      longest_ns = std::max(longest_ns, victim.turn());
    }
    const auto writes = static_cast<uint64_t>(static_cast<double>(figures.writes - writes_before) / seconds);
    int status = 0;
    EXPECT_EQ(waitpid(hostile, &status, WNOHANG), 0) << "the attacker died, status " << status;
    kill(hostile, SIGKILL);
    waitpid(hostile, &status, 0);
    for (int i = 0; i < 1'000; ++i) victim.turn();

    const uint64_t refused = victim.stats().header().batches_refused.get();
    EXPECT_EQ(victim.stats().header().batches.get(), refused + victim.watched.batches());
    EXPECT_EQ(victim.watched.unvalidated(), 0u);
    victim.watched.expect_tables();
    victim.node.expect_at_rest();
    EXPECT_GE(writes, soak_size(20'000u, 100'000u)) << "writes a second";
    EXPECT_GT(figures.attachments, 4u);
    EXPECT_GT(victim.watched.batches(), 10u);
    EXPECT_GT(refused, 20u);
    EXPECT_EQ(figures.counter_writes_refused, kWaysToWrite);
    std::cout << "figure: dataplane: " << writes << " hostile writes/s, " << figures.attachments << " attachments, "
              << victim.watched.batches() << " batches applied, " << refused << " refused, "
              << victim.watched.unvalidated() << " unvalidated, longest turn " << longest_ns / 1'000'000 << " ms\n";
  }
}

}  // namespace
}  // namespace sky::soak
