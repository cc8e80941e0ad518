#include <fmt/format.h>
#include <rte_mbuf.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <unordered_map>
#include <vector>

#include "controlplane/install/planner.h"
#include "perf/loop/cases.h"
#include "perf/loop/neighbours.h"
#include "perf/loop/route_ids.h"
#include "perf/loop/traffic.h"
#include "tests/support/contract.h"

namespace sky::perf {

using namespace sky::dataplane;
using namespace sky::test;

namespace {

constexpr uint32_t kBatch = controlplane::Planner::kMostInBatch;
constexpr uint32_t kRules = 49 * kBatch;
constexpr uint16_t kLink = 1;
constexpr uint16_t kOutLink = 2;

class Install {
 public:
  Install();

  Result<> measure(Outcome& outcome, unsigned runs, const Progress& progress);

 private:
  void add_circuits();
  std::optional<uint64_t> forward();
  Result<double> value();
  double limit();
  /// Puts, and what a dump shows of them; deletes.
  Result<> read_back();

  Node node_{kNode};
  Contract contract_{node_};
  uint64_t still_ns_ = 0;  ///< the worker's time stands still: no timer comes due
  Contract::Batches puts_, deletes_;
  std::vector<Bytes> frames_;  ///< one of each circuit: clear ones pass as often as they come
  std::unique_ptr<LocalRing<InstallMessage>> ring_ = std::make_unique<LocalRing<InstallMessage>>(kInstallSlots);
  ZeroedArray<Rule> table_{kNode.capacities.rules};
};

Install::Install() {
  add_circuits();
  auto routes = route_ids(RouteIds::drawn_from(kBurst, kNode.capacities.rules), kRules, kNode.capacities.rules);
  std::ranges::shuffle(routes, std::mt19937(1));
  for (uint32_t i = 0; i < kRules; ++i) {
    if (i % kBatch == 0) {
      puts_.emplace_back();
      deletes_.emplace_back();
    }
    const uint32_t route = routes[i];
    puts_.back().push_back(message(forward_put(route, kLink, kLink, i + 1)));
    deletes_.back().push_back(message(delete_of(Verb::delete_rule, route)));
  }
  contract_.attach();
}

void Install::add_circuits() {
  auto in = add_neighbours(node_, {.first = kLink, .count = 1, .port = 0, .kind = FrameKind::clear});
  add_neighbours(node_, {.first = kOutLink, .count = 1, .port = 1, .kind = FrameKind::clear});
  const uint8_t treatment = make_treatment(to_underlying(Queue::other), FrameKind::clear);
  std::vector<InstallMessage> installs;
  for (const uint32_t route : route_ids(0, kBurst, kNode.capacities.rules)) {
    installs.push_back(message(forward_put(route, kLink, kOutLink, 1, treatment)));
    frames_.push_back(in.front().seal(packet(to_underlying(PacketType::datagram), route, pattern(57))));
  }
  node_.install(installs);
  settle_down(node_);
  still_ns_ = node_.now_ns();
}

std::optional<uint64_t> Install::forward() {
  std::array<rte_mbuf*, kBurst> buffers;
  if (rte_pktmbuf_alloc_bulk(node_.port(0).pool(), buffers.data(), kBurst) != 0) return std::nullopt;
  for (unsigned i = 0; i < kBurst; ++i)
    std::ranges::copy(frames_[i], rte_pktmbuf_append(buffers[i], static_cast<uint16_t>(frames_[i].size())));
  node_.port(0).push(buffers);
  const uint64_t clocks = clocks_of([&] { node_.worker().turn(still_ns_); });
  return node_.port(1).discard() == kBurst ? std::optional(clocks) : std::nullopt;
}

Result<> Install::read_back() {
  if (!contract_.install(puts_)) return fail("install: found a batch of puts refused");
  std::unordered_map<RouteId, RuleMessage> rows;
  for (const InstallMessage& row : contract_.attach()) {
    if (row.verb == Verb::put_rule) rows[row.as<RuleMessage>().rule.route_id] = row.as<RuleMessage>();
  }
  for (const auto& batch : puts_) {
    for (const InstallMessage& put : batch) {
      const auto wanted = put.as<RuleMessage>();
      const auto row = rows.find(wanted.rule.route_id);
      if (row == rows.end() || std::memcmp(&row->second, &wanted, sizeof(wanted)) != 0)
        return fail("install: found rule {:#x} not as it was put", to_underlying(wanted.rule.route_id));
    }
  }
  if (!contract_.install(deletes_)) return fail("install: found a batch of deletes refused");
  contract_.wait_for_grace();
  const uint64_t left = node_.tables->stats.header().rules.get();
  if (left != frames_.size()) return fail("install: found {} rules left, wanted {}", left, frames_.size());
  return {};
}

Result<double> Install::value() {
  const uint64_t start = cpu_ns();
  const bool done = contract_.install(puts_) && contract_.install(deletes_);
  contract_.wait_for_grace();
  const uint64_t passed = cpu_ns() - start;
  if (!done) return fail("install: found a batch refused");
  return static_cast<double>(2 * puts_.size() * kBatch) / static_cast<double>(passed) * 1e9;
}

double Install::limit() {
  const uint64_t start = cpu_ns();
  InstallMessage message;
  for (const Contract::Batches* all : {&puts_, &deletes_}) {
    for (const auto& batch : *all) {
      for (size_t at = 0; at < batch.size();) {
        while (at < batch.size() && ring_->producer.push(batch[at])) ++at;
        while (ring_->consumer.pop(message)) {
          const bool puts = message.verb == Verb::put_rule;
          const Rule rule = puts ? message.as<RuleMessage>().rule : Rule{};
          const uint32_t route = puts ? to_underlying(rule.route_id) : message.as<DeleteMessage>().index;
          table_[route & (kNode.capacities.rules - 1)] = rule;
        }
      }
    }
  }
  return static_cast<double>(2 * puts_.size() * kBatch) / static_cast<double>(cpu_ns() - start) * 1e9;
}

Result<> Install::measure(Outcome& outcome, unsigned runs, const Progress& progress) {
  Traffic traffic(node_.quiescence(), [this] { return forward(); });
  if (auto equal = read_back(); !equal) return equal;
  return measure_beside(
      traffic, [this] { return value(); }, [this] { return limit(); }, outcome, runs, progress);
}

}  // namespace

Case install_rules_case() {
  auto install = std::make_shared<Install>();
  return Case{.name = "install/rules",
              .unit = kRulesPerSecond,
              .limit_is = "ring and copy alone",
              .chunks = 1,
              .value = {},
              .limit = {},
              .whole = [install](Outcome& outcome, unsigned runs, const Progress& progress) {
                return install->measure(outcome, runs, progress);
              }};
}

}  // namespace sky::perf
