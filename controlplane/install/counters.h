// The dataplane's counter page, as a reader sees it. The header is checked once against the size that was mapped, and
// the dimensions are kept on this side: what the writer changes later moves no array.
// A view: valid as long as the mapping. Reads are single words, none waits (dataplane/protocol/stats_page.h).
#pragma once

#include <functional>
#include <span>

#include "controlplane/install/descriptor.h"
#include "dataplane/base/result.h"
#include "dataplane/protocol/stats_page.h"

namespace sky::controlplane {

/// Objects of which each worker has a row: a word is the sum over these.
template <typename Row>
class Summed {
 public:
  Summed() = default;
  /// `rows` stand worker by worker, `size` of each.
  Summed(std::span<const Row> rows, size_t size) : rows_(rows), size_(size) {}
  size_t size() const { return size_; }
  std::span<const Row> rows() const { return rows_; }

  /// One object's words: `links()[3](&LinkStats::received)`, `ports()[1](of_queue(2, &QueueStats::queued))`.
  auto operator[](size_t index) const {
    return [this, index](auto word) {
      uint64_t sum = 0;
      for (size_t at = index; at < rows_.size(); at += size_) sum += std::invoke(word, rows_[at]).get();
      return sum;
    };
  }

 private:
  std::span<const Row> rows_;
  size_t size_ = 0;
};

inline auto of_queue(unsigned level, StatsWord QueueStats::*word) {
  return [=](const PortStats& port) -> const StatsWord& { return port.queues[level].*word; };
}

class Counters {
 public:
  static Result<Counters> view(const Mapping& page);

  /// Its words only: the dimensions are those of the spans below.
  const StatsHeader& header() const { return *header_; }
  std::span<const WorkerStats> workers() const { return workers_; }
  const Summed<PortStats>& ports() const { return ports_; }
  const Summed<LinkStats>& links() const { return links_; }
  /// [group * kMaxMembers + slot]
  const Summed<MemberStats>& members() const { return members_; }

  uint64_t sum(Counter counter) const;
  uint64_t sum(Drop reason) const;

 private:
  Counters() = default;

  const StatsHeader* header_ = nullptr;
  std::span<const WorkerStats> workers_;
  Summed<PortStats> ports_;
  Summed<LinkStats> links_;
  Summed<MemberStats> members_;
};

/// The accounting equation over all workers: equal when at rest, `in - out` is what is under way.
struct Accounting {
  uint64_t in = 0;   ///< received + injected_* + copied + taken_over
  uint64_t out = 0;  ///< transmitted + delivered_* + punted + handed_over + drops + held + queued
};
Accounting accounting(const Counters& counters);

}  // namespace sky::controlplane
