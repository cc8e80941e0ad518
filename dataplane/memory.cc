#include "dataplane/memory.h"

#include <fstream>
#include <map>

#include "dataplane/agent/segment.h"
#include "dataplane/protocol/stats_page.h"
#include "dataplane/tables/tables.h"
#include "dataplane/watch.h"
#include "dataplane/worker_channel.h"
#include "drivers/port.h"

namespace sky::dataplane {
namespace {

constexpr uint64_t kEalBytes = 12 << 20;  ///< the EAL's own, and what its allocator loses between blocks
constexpr uint64_t kAllocatorBytes = 64;  ///< malloc's header, a node of an index

MemoryPart session_part(const SizesConfig& sizes) {
  // A window for each member's circuit; the streams lie in two halves, one given out by each end.
  const uint64_t streams =
      2 * (sizeof(StreamPage) + kAllocatorBytes) + kMaxMembers * (kPlainWindowBytes + kAllocatorBytes);
  const uint64_t each = sizeof(Session) + sizeof(KeyRing) + sizeof(SessionMessage) + streams + 3 * kAllocatorBytes;
  return {"sessions", 0, sizes.sessions * each};
}

MemoryPart link_part(const SizesConfig& sizes, size_t workers) {
  const uint64_t each = sizeof(Link) + workers * (sizeof(LinkWorker) + sizeof(LaneWindows<>) + kAllocatorBytes) +
                        sizeof(KeyRing) + sizeof(LinkConfig) + 4 * kAllocatorBytes;
  return {"links", 0, sizes.links * each};
}

/// A node of the tree and a place in the order, both directions.
MemoryPart key_id_part() {
  return {"key IDs", 0, 2 * KeyIdMemory::kMost * (2 * sizeof(uint64_t) + kAllocatorBytes)};
}

MemoryPart group_part(const SizesConfig& sizes, size_t workers) {
  const uint64_t each = sizeof(Group) + workers * sizeof(GroupWorker) + sizeof(GroupView) + 4 * kAllocatorBytes;
  return {"groups", 0, sizes.groups * each};
}

/// /proc/meminfo in bytes; counts of hugepages as they stand.
std::map<std::string, uint64_t> read_meminfo() {
  std::map<std::string, uint64_t> found;
  std::ifstream file("/proc/meminfo");
  std::string name, line;
  while (std::getline(file, line)) {
    const size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    const uint64_t value = std::strtoull(line.c_str() + colon + 1, nullptr, 10);
    found[line.substr(0, colon)] = line.ends_with("kB") ? value << 10 : value;
  }
  return found;
}

uint64_t mib(uint64_t bytes) {
  return (bytes + (1 << 20) - 1) >> 20;
}

}  // namespace

uint64_t MemoryNeed::eal_bytes() const {
  uint64_t sum = 0;
  for (const MemoryPart& part : parts) sum += part.eal_bytes;
  return sum;
}

uint64_t MemoryNeed::heap_bytes() const {
  uint64_t sum = 0;
  for (const MemoryPart& part : parts) sum += part.heap_bytes;
  return sum;
}

MemoryNeed memory_need(const RouterConfig& config) {
  const SizesConfig& sizes = config.dataplane.sizes;
  const size_t workers = config.dataplane.workers.size();
  MemoryNeed need;
  for (const sky::PortConfig& port : config.ports) {
    const drivers::PortConfig driven{.name = port.name,
                                     .device = port.device,
                                     .mtu = port.mtu,
                                     .queues = static_cast<uint16_t>(workers),
                                     .ports = static_cast<uint16_t>(config.ports.size()),
                                     .lanes_by_mac = port.lanes_by_mac};
    need.parts.push_back({"port " + port.name, drivers::Port::memory_bytes(driven), 0});
  }
  // The map's index of what stands: a tree node and a slot per prefix of either family.
  const uint64_t index = 2ull * sizes.prefixes * (2 * sizeof(DestinationMap::Entry) + kAllocatorBytes);
  need.parts.push_back(
      {"destinations", DestinationMap::memory_bytes({.prefixes = sizes.prefixes, .groups = sizes.groups}), index});
  need.parts.push_back({"rules", 0, uint64_t{sizes.rules} * (sizeof(RuleFront) + sizeof(Rule) + sizeof(RuleOwner))});
  need.parts.push_back(link_part(sizes, workers));
  need.parts.push_back(session_part(sizes));
  need.parts.push_back({"copied streams", 0, sizes.copy_windows_bytes});
  need.parts.push_back(key_id_part());
  need.parts.push_back(group_part(sizes, workers));
  const StatsLayout layout = StatsLayout::of(static_cast<uint32_t>(workers), static_cast<uint32_t>(config.ports.size()),
                                             sizes.links, sizes.groups);
  need.parts.push_back({"counters", 0, layout.bytes});
  need.parts.push_back({"contract", 0,
                        sizeof(RingsSegment) + sizeof(PacketsSegment) + kMaxBatch * sizeof(InstallMessage) +
                            workers * sizeof(WorkerChannel)});
  need.parts.push_back({"watch", 0, workers * Watch::kRing * sizeof(SeenPacket)});
  need.parts.push_back({"EAL", kEalBytes, 0});
  return need;
}

std::string to_string(const MemoryNeed& need) {
  std::string text = fmt::format("{:<20} {:>12} {:>12}\n", "memory (MiB)", "at start", "when full");
  for (const MemoryPart& part : need.parts) {
    text += fmt::format("{:<20} {:>12} {:>12}\n", part.name, mib(part.eal_bytes), mib(part.heap_bytes));
  }
  text += fmt::format("{:<20} {:>12} {:>12}\n", "sum", mib(need.eal_bytes()), mib(need.heap_bytes()));
  return text;
}

Result<> check_memory(const MemoryNeed& need, bool hugepages) {
  auto found = read_meminfo();
  const uint64_t plain = need.heap_bytes() + (hugepages ? 0 : need.eal_bytes());
  if (plain > found["MemAvailable"]) {
    return fail("memory: found {} MiB available, wanted {} MiB; lower dataplane.sizes", found["MemAvailable"] >> 20,
                mib(plain));
  }
  const uint64_t huge = found["HugePages_Free"] * found["Hugepagesize"];
  if (hugepages && need.eal_bytes() > huge) {
    return fail(
        "hugepages: found {} MiB free, wanted {} MiB; echo {} > /proc/sys/vm/nr_hugepages", huge >> 20,
        mib(need.eal_bytes()),
        (need.eal_bytes() - huge) / std::max<uint64_t>(found["Hugepagesize"], 1) + 1 + found["HugePages_Total"]);
  }
  return {};
}

}  // namespace sky::dataplane
