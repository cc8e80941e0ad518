// The dataplane's counter page, as a reader sees it. The header is checked once against the size that was mapped, and
// the dimensions are kept on this side: what the writer changes later moves no array.
// A view: valid as long as the mapping. Reads are single words, none waits (dataplane/protocol/stats_page.h).
#pragma once

#include <span>

#include "controlplane/install/descriptor.h"
#include "dataplane/base/result.h"
#include "dataplane/protocol/stats_page.h"

namespace sky::controlplane {

class Counters {
 public:
  static Result<Counters> view(const Mapping& page);

  /// Its words only: the dimensions are those of the spans below.
  const StatsHeader& header() const { return *header_; }
  std::span<const WorkerStats> workers() const { return workers_; }
  std::span<const PortStats> ports() const { return ports_; }
  std::span<const LinkStats> links() const { return links_; }
  /// [group * kMaxMembers + slot]
  std::span<const MemberStats> members() const { return members_; }

  uint64_t sum(Counter counter) const;
  uint64_t sum(Drop reason) const;

 private:
  Counters() = default;

  const StatsHeader* header_ = nullptr;
  std::span<const WorkerStats> workers_;
  std::span<const PortStats> ports_;
  std::span<const LinkStats> links_;
  std::span<const MemberStats> members_;
};

/// The accounting equation over all workers: equal when at rest, `in - out` is what is under way.
struct Accounting {
  uint64_t in = 0;   ///< received + injected_* + copied
  uint64_t out = 0;  ///< transmitted + delivered_* + punted + drops + held
};
Accounting accounting(const Counters& counters);

}  // namespace sky::controlplane
