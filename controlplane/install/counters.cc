#include "controlplane/install/counters.h"

#include <utility>

#include "dataplane/protocol/segment.h"

namespace sky::controlplane {
namespace {

/// Reads a word that another process may change: the value judged is the value used.
template <typename T>
T once(const T& word) {
  return *const_cast<const volatile T*>(&word);
}

template <typename T>
std::span<const T> array_at(const Mapping& page, size_t offset, size_t count) {
  return {reinterpret_cast<const T*>(static_cast<const std::byte*>(page.data()) + offset), count};
}

}  // namespace

Result<Counters> Counters::view(const Mapping& page) {
  if (page.bytes() < sizeof(StatsHeader)) {
    return fail("counters: found {} bytes, wanted at least {}", page.bytes(), sizeof(StatsHeader));
  }
  Counters counters;
  counters.header_ = static_cast<const StatsHeader*>(page.data());
  const StatsHeader& header = *counters.header_;
  if (once(header.magic) != kStatsMagic || once(header.abi_version) != kAbiVersion) {
    return fail("counters: found magic {:#x} version {}, wanted {:#x} version {}", header.magic, header.abi_version,
                kStatsMagic, kAbiVersion);
  }
  if (once(header.counters) != kCounters || once(header.drop_reasons) != kDropReasons) {
    return fail("counters: found {} counters and {} drop reasons, wanted {} and {}", header.counters,
                header.drop_reasons, kCounters, kDropReasons);
  }
  if (once(header.stages) != kStages) {
    return fail("counters: found {} stages, wanted {}", header.stages, kStages);
  }
  const uint32_t workers = once(header.workers), ports = once(header.ports), links = once(header.links),
                 groups = once(header.groups);
  const StatsLayout layout = StatsLayout::of(workers, ports, links, groups);
  if (layout.bytes > page.bytes()) {
    return fail("counters: {} workers, {} ports, {} links and {} groups do not fit in {} bytes", workers, ports, links,
                groups, page.bytes());
  }
  counters.workers_ = array_at<WorkerStats>(page, layout.workers, workers);
  const size_t members = size_t{groups} * kMaxMembers, rows = workers;
  counters.ports_ = {array_at<PortStats>(page, layout.ports, rows * ports), ports};
  counters.links_ = {array_at<LinkStats>(page, layout.links, rows * links), links};
  counters.members_ = {array_at<MemberStats>(page, layout.members, rows * members), members};
  return counters;
}

uint64_t Counters::sum(Counter counter) const {
  uint64_t sum = 0;
  for (const WorkerStats& worker : workers_) sum += worker.counters[std::to_underlying(counter)].get();
  return sum;
}

uint64_t Counters::sum(Drop reason) const {
  uint64_t sum = 0;
  for (const WorkerStats& worker : workers_) sum += worker.drops[std::to_underlying(reason)].get();
  return sum;
}

Accounting accounting(const Counters& counters) {
  using enum Counter;
  Accounting sums;
  for (const Counter in : {received, injected_control, injected_probe, injected_tun, copied, taken_over}) {
    sums.in += counters.sum(in);
  }
  for (const Counter out : {transmitted, delivered_tun, delivered_local, punted, handed_over, held, queued})
    sums.out += counters.sum(out);
  for (size_t reason = 0; reason < kDropReasons; ++reason) sums.out += counters.sum(static_cast<Drop>(reason));
  return sums;
}

}  // namespace sky::controlplane
