#include <rte_fib.h>
#include <rte_fib6.h>

#include <algorithm>
#include <cstring>

#include "perf/loop/cases.h"
#include "perf/loop/ingress.h"
#include "perf/loop/traffic.h"
#include "tests/support/contract.h"

namespace sky::perf {

using namespace sky::dataplane;
using namespace sky::test;

namespace {

constexpr size_t kBatch = 1'000;
constexpr unsigned kRounds = 5;  // of each run: a batch that changes or deletes, and one that brings all back

class Install {
 public:
  explicit Install(Edge& edge);

  Result<> measure(Outcome& outcome, unsigned runs, const Progress& progress);

 private:
  /// What of the map is not there yet, beside traffic.
  Result<> load(Outcome& outcome);
  GroupIndex other_group(size_t number) const { return Edge::group_of(number + 1); }
  /// The next kBatch of the restless prefixes.
  std::vector<size_t> next();
  Result<double> value();
  double limit();
  /// All of the map as a control plane that attaches sees it.
  Result<> read_back();

  Edge& edge_;
  Ingress traffic_;
  Contract contract_{edge_.node};
  std::vector<size_t> restless_;  ///< numbers of prefixes, in an order drawn at random
  size_t at_ = 0;
  std::unique_ptr<LocalRing<InstallMessage>> ring_ = std::make_unique<LocalRing<InstallMessage>>(kInstallSlots);
  double slowest_ = 0;  ///< CPU time in ns of a batch, from its install to its ack
  double updates_ = 0, passed_ns_ = 0;
};

Install::Install(Edge& edge)
    : edge_(edge), traffic_(edge, {.name = "", .kind = FrameKind::header, .packet_bytes = {128}}) {
  for (size_t i = 0; i < edge_.prefixes.all().size(); ++i) {
    if (Edge::is_restless(i)) restless_.push_back(i);
  }
  std::ranges::shuffle(restless_, std::mt19937_64(1));
  contract_.attach();
}

std::vector<size_t> Install::next() {
  std::vector<size_t> numbers;
  for (size_t i = 0; i < kBatch; ++i) numbers.push_back(restless_[at_++ % restless_.size()]);
  return numbers;
}

Result<double> Install::value() {
  double passed_ns = 0;
  for (unsigned round = 0; round < kRounds; ++round) {
    std::vector<InstallMessage> changes, back;
    for (const size_t number : next()) {
      const DestinationMessage put = edge_.put_of(number, other_group(number));
      changes.push_back(changes.size() % 2 == 0 ? message(put) : message(delete_destination(put)));
      back.push_back(message(edge_.put_of(number, Edge::group_of(number))));
    }
    for (const auto* batch : {&changes, &back}) {
      const uint64_t start = cpu_ns();
      if (!contract_.install({*batch})) return fail("install: found a batch refused");
      const auto passed = static_cast<double>(cpu_ns() - start);
      slowest_ = std::max(slowest_, passed);
      passed_ns += passed;
    }
  }
  constexpr double kUpdates = 2 * kBatch * kRounds;
  updates_ += kUpdates;
  passed_ns_ += passed_ns;
  return kUpdates / passed_ns * 1e9;
}

/// One to each copy of the map, and back again, is what two updates take. No worker looks at what they change.
double Install::limit() {
  const DestinationMap& map = *edge_.node.tables->destinations;
  uint64_t next_hop = 0;
  const auto numbers = next();
  const uint64_t start = cpu_ns();
  for (const size_t number : numbers) {
    const DestinationKey& key = edge_.prefixes.all()[number];
    uint32_t address;
    std::memcpy(&address, key.prefix.data(), sizeof(address));
    address = __builtin_bswap32(address);
    for (unsigned write = 0; write < 4; ++write) {
      InstallMessage message;
      ring_->producer.push(InstallMessage{});
      ring_->consumer.pop(message);
      next_hop = to_underlying(write % 2 == 0 ? other_group(number) : Edge::group_of(number)) + 2u;
      if (key.family == Family::ipv4) {
        rte_fib_add(map.shown4(), address, key.length, next_hop);
      } else {
        rte_fib6_add(map.shown6(), key.prefix.data(), key.length, next_hop);
      }
    }
  }
  return 2 * kBatch / static_cast<double>(cpu_ns() - start) * 1e9;
}

Result<> Install::read_back() {
  size_t rows = 0, wrong = 0;
  for (const InstallMessage& row : contract_.attach()) {
    if (row.verb != Verb::put_destination) continue;
    const auto found = row.as<DestinationMessage>();
    if (found.group == kLocalGroup) continue;
    const auto number = edge_.prefixes.number_of({found.family, found.length, found.prefix});
    wrong += !number || found.group != Edge::group_of(*number);
    ++rows;
  }
  if (rows == edge_.prefixes.all().size() && wrong == 0) return {};
  return fail("install: found {} prefixes read back, {} of them wrong, wanted {}", rows, wrong,
              edge_.prefixes.all().size());
}

Result<> Install::load(Outcome& outcome) {
  Traffic traffic(edge_.node.quiescence(), [this] { return traffic_.pass_one(); });
  double passed_ns = 0;
  traffic.longest_gap_ns();
  auto loaded = edge_.load([&](const std::vector<InstallMessage>& batch) -> Result<> {
    const Contract::Batches batches{batch};
    const uint64_t start = cpu_ns();
    const bool done = contract_.install(batches);
    passed_ns += static_cast<double>(cpu_ns() - start);
    return done ? Result<>{} : fail("install: found a batch refused");
  });
  if (!loaded) return loaded;
  const double gap = traffic.longest_gap_ns();
  Outcome beside{};
  beside.name = outcome.name;
  if (auto stopped = traffic.stop(beside); !stopped) return stopped;
  outcome.more = {{"load_per_second", static_cast<double>(edge_.left_to_load()) / passed_ns * 1e9},
                  {"load_gap_ns", gap}};
  edge_.spread_targets();
  return {};
}

Result<> Install::measure(Outcome& outcome, unsigned runs, const Progress& progress) {
  if (!edge_.loaded()) {
    if (auto loaded = load(outcome); !loaded) return loaded;
  }
  Traffic traffic(edge_.node.quiescence(), [this] { return traffic_.pass_one(); });
  auto done = measure_beside(
      traffic, [this] { return value(); }, [this] { return limit(); }, outcome, runs, progress);
  if (!done) return done;
  outcome.more.emplace_back("of_all", updates_ / passed_ns_ * 1e9);
  outcome.more.emplace_back("slowest_batch_ns", slowest_);
  return read_back();
}

}  // namespace

Case install_prefixes_case(Edge& edge) {
  auto install = std::make_shared<Install>(edge);
  return Case{.name = "install/prefixes",
              .unit = kRulesPerSecond,
              .limit_is = "ring and rte_fib alone",
              .chunks = 1,
              .value = {},
              .limit = {},
              .whole = [install](Outcome& outcome, unsigned runs, const Progress& progress) {
                return install->measure(outcome, runs, progress);
              }};
}

}  // namespace sky::perf
