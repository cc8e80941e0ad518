// The contract around a node under test: the dataplane's agent on a socket of its own, and a control plane's Attachment
// that installs and dumps through the rings in shared memory. All in one thread, so a turn is both sides'.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "controlplane/install/attachment.h"
#include "dataplane/agent/agent.h"
#include "dataplane/agent/segment.h"
#include "tests/support/node.h"

namespace sky::test {

class Contract {
 public:
  using Batches = std::vector<std::vector<InstallMessage>>;
  using Clock = std::function<uint64_t()>;

  /// Without a clock each turn takes the node's own 1 us further. Throws where the ends cannot be made.
  explicit Contract(Node& node, Clock clock = {});
  ~Contract();

  /// Attaches, anew where it was before; returns the dump of all tables that every attachment begins with.
  std::vector<InstallMessage> attach();
  /// Queues the batches and takes turns until each is acked or one is refused; false then.
  bool install(const Batches& batches);
  /// Until nothing deleted waits for its grace any more.
  void wait_for_grace();

  // For tests in which one of the two sides stands still, or is another one.
  std::string socket_path() const { return directory_ + "/socket"; }
  /// The dataplane's side alone.
  void main_turn();
  /// Both sides.
  void turn();
  dataplane::Endpoint& endpoint() { return *endpoint_; }
  controlplane::Attachment& attachment() { return *attachment_; }
  /// Hangs up, and lets the dataplane see it.
  void detach();
  /// Gets each event of the attachment besides; may call the attachment.
  std::function<void(const controlplane::Event&)> on_event = [](const controlplane::Event&) {};
  /// What is watched, in order.
  std::vector<SeenPacket> seen;

 private:
  Node& node_;
  Clock clock_;
  std::string directory_;
  StatsLayout layout_;
  dataplane::SharedPages counters_;
  std::unique_ptr<dataplane::Endpoint> endpoint_;
  std::unique_ptr<dataplane::Agent> agent_;
  std::vector<InstallMessage> agent_events_;

  controlplane::Descriptor socket_;
  std::unique_ptr<controlplane::Attachment> attachment_;
  std::vector<InstallMessage> rows_;
  uint64_t generation_ = 0;
  uint64_t acked_ = 0;  ///< batches, of this attachment
  bool refused_ = false;
};

}  // namespace sky::test
