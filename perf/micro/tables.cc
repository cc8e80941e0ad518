// Rules, replay windows, rings and destinations.
#include <benchmark/benchmark.h>
#include <rte_fib.h>
#include <rte_hash.h>
#include <rte_ring_elem.h>

#include <array>
#include <cstring>
#include <deque>
#include <memory>
#include <mutex>
#include <random>
#include <set>
#include <stdexcept>
#include <unordered_map>
#include <vector>

#include "dataplane/crypto/replay_window.h"
#include "dataplane/tables/route_table.h"
#include "dataplane/worker_channel.h"
#include "perf/loop/prefixes.h"

namespace sky::dataplane {
namespace {

void count_items(benchmark::State& state) {
  state.SetItemsProcessed(state.iterations() * kBurst);
}

// --- rules

constexpr uint32_t kRules = 1 << 20;

uint32_t route(uint32_t number) {
  return (number % kRules + 1) * 2'654'435'761u;
}

/// Fresh route IDs for each burst, of all that stand.
std::array<uint32_t, kBurst> draw(std::mt19937& random) {
  std::array<uint32_t, kBurst> routes;
  for (uint32_t& each : routes) each = route(static_cast<uint32_t>(random()));
  return routes;
}

void rules_by_route_table(benchmark::State& state) {
  RouteTable table(kRules, true);
  for (uint32_t i = 0; i < kRules; ++i)
    table.put({.rule = {.route_id = RouteId{route(i)}, .action = RuleAction::forward, .next_link = LinkIndex{1}}});
  const RouteView view = table.view();
  std::mt19937 random(1);
  for (auto _ : state) {
    const auto routes = draw(random);
    for (const uint32_t id : routes) view.prefetch(RouteId{id});
    for (const uint32_t id : routes) benchmark::DoNotOptimize(is_for(head_of(view.at(RouteId{id})), RouteId{id}, {}));
  }
  count_items(state);
}

void rules_by_rte_hash(benchmark::State& state) {
  rte_hash_parameters parameters{};
  parameters.name = "rules";
  parameters.entries = 2 * kRules;
  parameters.key_len = sizeof(uint32_t);
  const std::unique_ptr<rte_hash, decltype(&rte_hash_free)> hash(rte_hash_create(&parameters), &rte_hash_free);
  if (hash == nullptr) throw std::runtime_error("no memory for rte_hash");
  std::vector<Rule> rules(2 * kRules);
  for (uint32_t i = 0; i < kRules; ++i) {
    const uint32_t id = route(i);
    const int at = rte_hash_add_key(hash.get(), &id);
    if (at < 0) throw std::runtime_error("rte_hash is full");
    rules[static_cast<size_t>(at)] = {.route_id = RouteId{id}};
  }
  std::mt19937 random(1);
  std::array<int32_t, kBurst> at;
  for (auto _ : state) {
    const auto routes = draw(random);
    std::array<const void*, kBurst> keys;
    for (unsigned i = 0; i < kBurst; ++i) keys[i] = &routes[i];
    rte_hash_lookup_bulk(hash.get(), keys.data(), kBurst, at.data());
    for (const int32_t each : at) __builtin_prefetch(&rules[static_cast<size_t>(each)]);
    for (const int32_t each : at) benchmark::DoNotOptimize(rules[static_cast<size_t>(each)].route_id);
  }
  count_items(state);
}

void rules_by_unordered_map(benchmark::State& state) {
  std::unordered_map<uint32_t, Rule> rules(kRules);
  for (uint32_t i = 0; i < kRules; ++i) rules[route(i)] = {.route_id = RouteId{route(i)}};
  std::mt19937 random(1);
  for (auto _ : state) {
    for (const uint32_t id : draw(random)) benchmark::DoNotOptimize(rules.find(id)->second.route_id);
  }
  count_items(state);
}

BENCHMARK(rules_by_route_table);
BENCHMARK(rules_by_rte_hash);
BENCHMARK(rules_by_unordered_map);

// --- replay windows

constexpr uint64_t kWindow = 8192;

/// Counters as two paths deliver them: of every burst some come before others.
uint64_t arriving(uint64_t number) {
  return number ^ 5;
}

void replay_by_window(benchmark::State& state) {
  uint64_t number = 0;
  ReplayState newest;
  std::vector<uint64_t> bitmap(kWindow / 64);
  ReplayView window(newest, bitmap.data(), kWindow);
  for (auto _ : state) {
    for (unsigned i = 0; i < kBurst; ++i) benchmark::DoNotOptimize(window.test_and_set(arriving(number++)));
  }
  count_items(state);
}

void replay_by_set(benchmark::State& state) {
  uint64_t number = 0;
  std::set<uint64_t> seen;
  for (auto _ : state) {
    for (unsigned i = 0; i < kBurst; ++i) {
      benchmark::DoNotOptimize(seen.insert(arriving(number++)).second);
      if (seen.size() > kWindow) seen.erase(seen.begin());
    }
  }
  count_items(state);
}

BENCHMARK(replay_by_window);
BENCHMARK(replay_by_set);

// --- rings

constexpr uint32_t kSlots = 1024;

void ring_by_shm_ring(benchmark::State& state) {
  LocalRing<InstallMessage> ring(kSlots);
  InstallMessage message{};
  for (auto _ : state) {
    for (unsigned i = 0; i < kBurst; ++i) benchmark::DoNotOptimize(ring.producer.push(message));
    for (unsigned i = 0; i < kBurst; ++i) benchmark::DoNotOptimize(ring.consumer.pop(message));
  }
  count_items(state);
}

void ring_by_rte_ring(benchmark::State& state) {
  const std::unique_ptr<rte_ring, decltype(&rte_ring_free)> ring(
      rte_ring_create_elem("micro", sizeof(InstallMessage), kSlots, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ),
      &rte_ring_free);
  if (ring == nullptr) throw std::runtime_error("no memory for rte_ring");
  InstallMessage message{};
  for (auto _ : state) {
    for (unsigned i = 0; i < kBurst; ++i)
      benchmark::DoNotOptimize(rte_ring_sp_enqueue_elem(ring.get(), &message, sizeof(message)));
    for (unsigned i = 0; i < kBurst; ++i)
      benchmark::DoNotOptimize(rte_ring_sc_dequeue_elem(ring.get(), &message, sizeof(message)));
  }
  count_items(state);
}

void ring_by_locked_deque(benchmark::State& state) {
  std::mutex mutex;
  std::deque<InstallMessage> queue;
  InstallMessage message{};
  for (auto _ : state) {
    for (unsigned i = 0; i < kBurst; ++i) {
      const std::lock_guard lock(mutex);
      queue.push_back(message);
    }
    for (unsigned i = 0; i < kBurst; ++i) {
      const std::lock_guard lock(mutex);
      benchmark::DoNotOptimize(message = queue.front());
      queue.pop_front();
    }
  }
  count_items(state);
}

BENCHMARK(ring_by_shm_ring);
BENCHMARK(ring_by_rte_ring);
BENCHMARK(ring_by_locked_deque);

// --- destinations

/// A sixteenth of the Internet's IPv4 prefixes, and addresses inside them.
struct Destinations {
  static constexpr uint32_t kStep = 16;
  perf::Prefixes prefixes;
  std::unique_ptr<DestinationMap> map = std::move(*DestinationMap::create("micro", {1 << 16, 64, 1024}));
  std::vector<uint32_t> addresses;

  Destinations() {
    std::mt19937_64 random(1);
    for (size_t i = 0; i < perf::kPrefixes4; i += kStep) {
      const DestinationKey& key = prefixes.all()[i];
      if (!map->stage({key, GroupIndex{static_cast<uint32_t>(i % 64)}, 0})) throw std::runtime_error("map is full");
      const Ipv6Address inside = perf::Prefixes::inside(key, random);
      addresses.push_back(uint32_t{inside[0]} << 24 | uint32_t{inside[1]} << 16 | uint32_t{inside[2]} << 8 | inside[3]);
    }
    map->publish([] {});
  }
  std::array<uint32_t, kBurst> draw(std::mt19937& random) const {
    std::array<uint32_t, kBurst> burst;
    for (uint32_t& each : burst) each = addresses[random() % addresses.size()];
    return burst;
  }
};

const Destinations& destinations() {
  static const Destinations* const once = new Destinations;  // DPDK's memory is gone before static objects are
  return *once;
}

void destinations_by_map(benchmark::State& state) {
  const Destinations& all = destinations();
  std::mt19937 random(1);
  std::array<GroupIndex, kBurst> groups;
  for (auto _ : state) {
    auto burst = all.draw(random);
    all.map->find4(burst.data(), groups.data(), kBurst);
    benchmark::DoNotOptimize(groups);
  }
  count_items(state);
}

void destinations_by_rte_fib(benchmark::State& state) {
  const Destinations& all = destinations();
  std::mt19937 random(1);
  std::array<uint64_t, kBurst> hops;
  for (auto _ : state) {
    auto burst = all.draw(random);
    rte_fib_lookup_bulk(all.map->shown4(), burst.data(), hops.data(), kBurst);
    benchmark::DoNotOptimize(hops);
  }
  count_items(state);
}

/// A hash map per prefix, asked from the longest length to the shortest.
void destinations_by_unordered_map(benchmark::State& state) {
  const Destinations& all = destinations();
  std::mt19937 random(1);
  for (auto _ : state) {
    for (uint32_t address : all.draw(random)) {
      Ipv6Address bytes{};
      address = __builtin_bswap32(address);
      std::memcpy(bytes.data(), &address, sizeof(address));
      benchmark::DoNotOptimize(all.prefixes.longest(Family::ipv4, bytes));
    }
  }
  count_items(state);
}

BENCHMARK(destinations_by_map);
BENCHMARK(destinations_by_rte_fib);
BENCHMARK(destinations_by_unordered_map);

}  // namespace
}  // namespace sky::dataplane
