#include <fmt/format.h>

#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <vector>

#include "controlplane/install/attachment.h"
#include "dataplane/agent/agent.h"
#include "dataplane/agent/segment.h"
#include "perf/loop/cases.h"
#include "perf/loop/neighbours.h"

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

/// A directory for the socket, gone again once the socket is.
struct ScratchDirectory {
  std::string path = (std::filesystem::temp_directory_path() / "skyedge-perf-XXXXXX").string();
  ScratchDirectory() {
    if (mkdtemp(path.data()) == nullptr) throw std::runtime_error("no temporary directory");
  }
  ~ScratchDirectory() { std::filesystem::remove_all(path); }
};

template <typename T>
T must(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().message);
  return std::move(*result);
}

class Install {
 public:
  explicit Install(uint32_t rules);

  Result<> verify();
  void value(Samples& samples);
  void limit(Samples& samples);

 private:
  using Batches = std::vector<std::vector<InstallMessage>>;

  /// Takes the batches through ring, check, tables and ack. False when one was refused.
  bool install(const Batches& batches);
  void main_turn();
  /// Until no deleted rule's slot rests any more.
  void wait_for_grace();

  Node node_{kNode};
  ScratchDirectory directory_;
  StatsLayout layout_ = StatsLayout::of(1, kNode.ports, kNode.capacities.links, kNode.capacities.groups);
  SharedPages counters_ = must(SharedPages::create("perf-counters", layout_.bytes, true));
  std::unique_ptr<Endpoint> endpoint_ = must(Endpoint::open(directory_.path + "/socket", kBootId, counters_));
  WorkerChannel* channel_ = &node_.channel();
  Agent agent_{*endpoint_,
               kBootId,
               Stats(counters_.data(), layout_),
               *node_.tables,
               *node_.tables,
               *node_.tables,
               {&channel_, 1},
               {[](const LinkStateEvent&) {}, [](const ControlPacket&) {}}};
  controlplane::Descriptor socket_;
  std::unique_ptr<controlplane::Attachment> attachment_;
  std::vector<InstallMessage> events_;
  uint64_t now_ns_ = node_.now_ns();
  uint64_t generation_ = 0;
  uint64_t acked_ = 0;  ///< batches
  bool refused_ = false;

  Batches puts_, deletes_;
  std::unique_ptr<LocalRing<InstallMessage>> ring_ = std::make_unique<LocalRing<InstallMessage>>(kInstallSlots);
  ZeroedArray<Rule> table_{kNode.capacities.rules};

  static constexpr uint64_t kBootId = 1;
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
  socket_ = must(controlplane::ask_to_attach(directory_.path + "/socket"));
  while (endpoint_->owner() == nullptr) main_turn();
  attachment_ = std::make_unique<controlplane::Attachment>(
      must(controlplane::take_handover(socket_)), SIZE_MAX, [this](controlplane::Event&& event) {
        const auto* acked = std::get_if<controlplane::Acked>(&event);
        if (acked == nullptr) return;
        ++acked_;
        refused_ = refused_ || acked->error != InstallError::none;
      });
  while (!attachment_->attached()) {
    if (auto turned = attachment_->turn(); !turned) throw std::runtime_error(turned.error().message);
    main_turn();
  }
}

void Install::main_turn() {
  now_ns_ += 1'000;
  node_.tables->begin_turn(now_ns_);
  agent_.turn(now_ns_);
  node_.tables->end_turn(events_);
  agent_.report(events_);
}

bool Install::install(const Batches& batches) {
  const uint64_t done = acked_ + batches.size();
  for (const auto& messages : batches) attachment_->install({++generation_, messages});
  while (acked_ < done && !refused_) {
    main_turn();
    if (!attachment_->turn()) return false;
  }
  return !refused_;
}

void Install::wait_for_grace() {
  while (!node_.quiescence().limbo_empty()) main_turn();
}

Result<> Install::verify() {
  const uint64_t before = node_.tables->stats.header().rules.get();
  if (!install(puts_)) return fail("install: found a batch of puts refused");
  for (const auto& batch : puts_) {
    for (const InstallMessage& put : batch) {
      const Rule& wanted = put.as<RuleMessage>().rule;
      const Rule* found = node_.tables->rule(wanted.route_id);
      if (found == nullptr || std::memcmp(found, &wanted, sizeof(Rule)) != 0)
        return fail("install: found rule {:#x} not as it was put", to_underlying(wanted.route_id));
    }
  }
  if (!install(deletes_)) return fail("install: found a batch of deletes refused");
  wait_for_grace();
  const uint64_t after = node_.tables->stats.header().rules.get();
  if (after != before) return fail("install: found {} rules left over", after - before);
  return {};
}

void Install::value(Samples& samples) {
  const uint64_t start = cpu_ns();
  const bool done = install(puts_) && install(deletes_);
  wait_for_grace();
  const uint64_t passed = cpu_ns() - start;
  if (done) samples.push_back(static_cast<double>(passed) / static_cast<double>(2 * puts_.size() * kBatch));
}

void Install::limit(Samples& samples) {
  const uint64_t start = cpu_ns();
  InstallMessage message;
  for (const Batches* all : {&puts_, &deletes_}) {
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
