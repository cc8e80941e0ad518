#include <fmt/format.h>

#include <cstring>
#include <ctime>
#include <vector>

#include "perf/loop/cases.h"
#include "perf/loop/neighbours.h"
#include "tests/support/contract.h"

namespace sky::perf {

using namespace sky::dataplane;
using namespace sky::test;

namespace {

constexpr uint32_t kBatch = 50'000;  // two batches of puts, two of deletes: a batch takes 65,536 messages at most
constexpr uint16_t kLink = 1;

/// A chunk takes tens of milliseconds, so the scheduler will have had the core in between.
uint64_t cpu_ns() {
  timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<uint64_t>(time.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(time.tv_nsec);
}

class Install {
 public:
  explicit Install(uint32_t rules);

  Result<> verify();
  void value(Samples& samples);
  void limit(Samples& samples);

 private:
  Node node_{kNode};
  Contract contract_{node_};
  Contract::Batches puts_, deletes_;
  std::unique_ptr<LocalRing<InstallMessage>> ring_ = std::make_unique<LocalRing<InstallMessage>>(kInstallSlots);
  ZeroedArray<Rule> table_{kNode.capacities.rules};
};

Install::Install(uint32_t rules) {
  add_neighbour(node_, kLink, 0);
  for (uint32_t i = 0; i < rules; ++i) {
    if (i % kBatch == 0) {
      puts_.emplace_back();
      deletes_.emplace_back();
    }
    const uint32_t route = (i + 1) * 2'654'435'761u;  // odd: as scattered as random ones, and no two share a slot
    puts_.back().push_back(message(forward_put(route, kLink, kLink, i + 1)));
    deletes_.back().push_back(message(delete_of(Verb::delete_rule, route)));
  }
  contract_.attach();
}

Result<> Install::verify() {
  const uint64_t before = node_.tables->stats.header().rules.get();
  if (!contract_.install(puts_)) return fail("install: found a batch of puts refused");
  for (const auto& batch : puts_) {
    for (const InstallMessage& put : batch) {
      const Rule& wanted = put.as<RuleMessage>().rule;
      const Rule* found = node_.tables->rule(wanted.route_id);
      if (found == nullptr || std::memcmp(found, &wanted, sizeof(Rule)) != 0)
        return fail("install: found rule {:#x} not as it was put", to_underlying(wanted.route_id));
    }
  }
  if (!contract_.install(deletes_)) return fail("install: found a batch of deletes refused");
  contract_.wait_for_grace();
  const uint64_t after = node_.tables->stats.header().rules.get();
  if (after != before) return fail("install: found {} rules left over", after - before);
  return {};
}

void Install::value(Samples& samples) {
  const uint64_t start = cpu_ns();
  const bool done = contract_.install(puts_) && contract_.install(deletes_);
  contract_.wait_for_grace();
  const uint64_t passed = cpu_ns() - start;
  if (done) samples.push_back(static_cast<double>(passed) / static_cast<double>(2 * puts_.size() * kBatch));
}

void Install::limit(Samples& samples) {
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
  const uint64_t passed = cpu_ns() - start;
  samples.push_back(static_cast<double>(passed) / static_cast<double>(2 * puts_.size() * kBatch));
}

}  // namespace

Result<Case> install_case(uint32_t rules) {
  auto install = std::make_shared<Install>(rules);
  if (auto verified = install->verify(); !verified) return std::unexpected(verified.error());
  return Case{.name = "install/rules",
              .unit = kNsPerMessage,
              .limit_is = "ring and copy alone",
              .chunks = 1,
              .value = [install](Samples& samples) { install->value(samples); },
              .limit = [install](Samples& samples) { install->limit(samples); }};
}

}  // namespace sky::perf
