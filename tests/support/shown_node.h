// What the API and the exporter show of a node a1 that is well: one port, one link, two circuits to d1, a page of
// counters of which any word can be set.
#pragma once

#include <optional>
#include <string>

#include "controlplane/api/views.h"
#include "tests/support/fake_dataplane.h"

namespace sky::test {

class ShownNode {
 public:
  static constexpr uint64_t kNow = 100'000'000'000;

  explicit ShownNode(uint32_t workers = 1);

  WorkerStats& worker(size_t index = 0) { return (&at<WorkerStats>(layout.workers))[index]; }
  // Rows of one worker.
  PortStats& port(size_t of_worker = 0) { return at<PortStats>(layout.ports + of_worker * layout.ports_each); }
  LinkStats& link(size_t of_worker = 0) { return at<LinkStats>(layout.links + of_worker * layout.links_each); }
  MemberStats& member(size_t index, size_t of_worker = 0) {
    return (&at<MemberStats>(layout.members + of_worker * layout.members_each))[index];
  }
  StatsHeader& header() { return at<StatsHeader>(0); }
  controlplane::ViewContext context() const;

  StatsLayout layout;
  Descriptor fd;
  Mapping page;
  std::optional<controlplane::Counters> counters;
  controlplane::Snapshot snapshot;
  RouterConfig router;
  std::string kernel_error, metrics_error;

 private:
  template <typename T>
  T& at(size_t offset) {
    return *reinterpret_cast<T*>(static_cast<char*>(page.data()) + offset);
  }
};

}  // namespace sky::test
