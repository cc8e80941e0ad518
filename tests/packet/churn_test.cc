// 100,000 rules put, read back with dump and deleted through the rings while a worker on its own thread forwards: not
// one packet of the passing traffic is lost, and every rule comes back as it was put. The times are printed.
#include <rte_lcore.h>

#include <atomic>
#include <chrono>
#include <iostream>
#include <set>
#include <sstream>
#include <thread>

#include "tests/packet/crossroads.h"
#include "tests/support/contract.h"

namespace sky::test {
namespace {

constexpr uint32_t kRules = 100'000;
constexpr uint32_t kBatch = 50'000;

uint64_t monotonic_ns() {
  return static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
}

NodeConfig large() {
  NodeConfig config{.ring_frames = 4096, .start_ns = monotonic_ns()};
  config.capacities.rules = 1 << 20;
  return config;
}

class Churn : public Crossroads {
 protected:
  Churn() : Crossroads(large()) {}

  /// A thread each for the worker and for the traffic, until stop().
  void start() {
    worker_ = std::thread([this] { with_cache([this] { node.worker().run(stop_); }); });
    traffic_ = std::thread([this] { with_cache([this] { pump(); }); });
  }
  void stop() {
    stop_traffic_ = true;
    traffic_.join();
    stop_ = true;
    worker_.join();
  }
  /// Keeps a few hundred frames under way, and the links alive.
  void pump() {
    uint64_t next_ping_ns = 0;
    while (!stop_traffic_ || received < sent) {
      if (const uint64_t now_ns = monotonic_ns(); now_ns >= next_ping_ns) {
        for (LinkPeer* peer : {&left, &right, &spare}) node.port(port_of(*peer)).push(peer->ping(true, 1'000'000));
        pings += 3;
        next_ping_ns = now_ns + 200'000'000;
      }
      for (; !stop_traffic_ && sent - received < 300; ++sent)
        node.port(0).push(left.seal(packet(17, kRoute, Bytes(100))));
      while (auto frame = node.port(1).pop()) received += frame->size() == 14 + 32 + 107;
      for (unsigned port : {0, 2}) node.port(port).discard();
      std::this_thread::sleep_for(std::chrono::microseconds(200));
      if (monotonic_ns() > deadline_ns_) return;
    }
  }
  Contract contract{node, monotonic_ns};

  std::atomic<uint64_t> sent = 0, received = 0, pings = 0;

 private:
  /// Threads that DPDK knows have a cache of the pool. Of two that share its ring with every buffer, on less than a CPU
  /// each, one would wait most of the time for the other one that was preempted within.
  template <typename Run>
  static void with_cache(Run run) {
    ASSERT_EQ(0, rte_thread_register());
    run();
    rte_thread_unregister();
  }

  const uint64_t deadline_ns_ = monotonic_ns() + 60'000'000'000;
  std::atomic<bool> stop_ = false, stop_traffic_ = false;
  std::thread worker_, traffic_;
};

RuleMessage rule(uint32_t i, uint16_t in_link, uint16_t next_link) {
  RuleMessage put = forward_put(0x10000000 + i * 7, in_link, next_link, 0x20000000 + i);
  put.cookie = i;
  put.circuit = {static_cast<uint8_t>(i), static_cast<uint8_t>(i >> 8), static_cast<uint8_t>(i >> 16)};
  return put;
}

TEST_F(Churn, AHundredThousandRulesUnderTraffic) {
  node.install({message(forward_put(kRoute, left.link, right.link, kNext))});
  node.change();
  start();
  std::ostringstream times;
  auto clock = [&, last = std::chrono::steady_clock::now()](const char* what) mutable {
    const auto now = std::chrono::steady_clock::now();
    if (what != nullptr)
      times << what << " " << std::chrono::duration<double, std::milli>(now - last).count() << " ms, ";
    last = std::chrono::steady_clock::now();
  };
  Contract::Batches puts, deletes;
  for (uint32_t i = 0; i < kRules; ++i) {
    if (i % kBatch == 0) {
      puts.emplace_back();
      deletes.emplace_back();
    }
    puts.back().push_back(message(rule(i, spare.link, right.link)));
    deletes.back().push_back(message(delete_of(Verb::delete_rule, 0x10000000 + i * 7)));
  }
  contract.attach();
  clock(nullptr);
  ASSERT_TRUE(contract.install(puts));
  clock("put");
  EXPECT_EQ(kRules + 1, node.tables->stats.header().rules.get());

  const std::vector<InstallMessage> rows = contract.attach();
  clock("dump");
  std::set<uint64_t> read;
  for (const InstallMessage& row : rows) {
    if (row.verb != Verb::put_rule) continue;
    const auto got = row.as<RuleMessage>();
    if (got.rule.route_id == RouteId{kRoute}) continue;
    const RuleMessage wanted = rule(static_cast<uint32_t>(got.cookie), spare.link, right.link);
    ASSERT_EQ(0, std::memcmp(&wanted, &got, sizeof(got)));
    read.insert(got.cookie);
  }
  EXPECT_EQ(kRules, read.size());

  clock(nullptr);
  ASSERT_TRUE(contract.install(deletes));
  clock("delete");
  contract.wait_for_grace();
  EXPECT_TRUE(node.tables->slot_free(RouteId{0x10000000})) << "the slots rest until every worker was quiescent";
  EXPECT_EQ(1u, node.tables->stats.header().rules.get());
  stop();
  std::cout << "figure: 100,000 rules under traffic: " << times.str() << sent - received << " of " << sent
            << " packets lost\n";
  EXPECT_GT(sent, 1'000u);
  EXPECT_EQ(sent, received);
  const Change change = node.change();
  EXPECT_EQ(0, change.drops()) << change;
  EXPECT_EQ(static_cast<int64_t>(sent + pings), change.received);
}

}  // namespace
}  // namespace sky::test
