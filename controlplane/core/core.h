// The control plane's pure core: events in, actions out, time and chance as parameters; no descriptors, no clocks.
// The daemon and the simulator drive it alike: handle() each event, carry out the actions in order, and hand it a Tick
// when next_deadline() has come. Whatever comes in a packet is a stranger's word and is checked; what is wrong is
// dropped, counted and logged at a limited rate. Memory is bounded by the configured sizes. One thread.
// Source: docs/protocol.md, "Signalling", "Session handshakes"; docs/architecture.md, "The control plane".
#pragma once

#include <memory>
#include <vector>

#include "controlplane/core/events.h"
#include "controlplane/core/random.h"
#include "controlplane/core/snapshot.h"
#include "controlplane/core/sources.h"
#include "controlplane/paths/paths.h"
#include "controlplane/session/identity.h"
#include "controlplane/session/secret.h"
#include "dataplane/base/config.h"

namespace sky::controlplane {

/// What a core starts from. `config`, `topology` and the keys were checked against each other (topology/check.h).
struct CoreSetup {
  RouterConfig config;
  Identity identity;
  std::vector<Secret<32>> pre_shared;  ///< by position in config.links; all zero where a link has none
  std::shared_ptr<TopologySource> topology;
  std::shared_ptr<PathSource> paths;
};

class Core {
 public:
  /// `random` outlives the core. Fails when the topology does not know this node or a link of it.
  static Result<Core> create(CoreSetup setup, Random& random, TimeNs now);
  Core(Core&&) noexcept;
  Core& operator=(Core&&) noexcept;
  ~Core();

  std::vector<Action> handle(const Event& event, TimeNs now);
  /// When a Tick is due; kNever when nothing waits.
  TimeNs next_deadline() const;
  Snapshot snapshot(TimeNs now) const;
  /// The dataplane and this core do not agree on what a batch is: only another attachment helps.
  bool wants_reattachment() const;

 private:
  struct Parts;
  explicit Core(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace sky::controlplane
