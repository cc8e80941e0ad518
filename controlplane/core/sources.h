// Where the core's view of the network comes from: an interface, so that a file today and signed adverts later are the
// same to it. Paths have theirs in controlplane/paths/paths.h; both must speak of the same topology.
#pragma once

#include <cstdint>
#include <utility>

#include "controlplane/topology/topology.h"

namespace sky::controlplane {

class TopologySource {
 public:
  virtual ~TopologySource() = default;
  /// Stays where it is and as it is while version() does.
  virtual const Topology& topology() const = 0;
  virtual uint64_t version() const = 0;
};

/// One that never changes: topology.yaml, read once.
class StaticTopology final : public TopologySource {
 public:
  explicit StaticTopology(Topology topology) : topology_(std::move(topology)) {}
  const Topology& topology() const override { return topology_; }
  uint64_t version() const override { return 1; }

 private:
  Topology topology_;
};

}  // namespace sky::controlplane
