// The main core's hand on what is watched (dataplane/watch.h): gives it to the workers, moves their records up as far
// as the control plane's ring has room, and ends it when as many came as were asked for, when another one is asked for,
// or when the control plane goes. Where that ring is full, the workers' rings fill and they count what they miss:
// nobody waits.
//
//   asked for --begin--> on --complete, another, stop--> ending --grace, rings empty--> told by a last record, gone
//
// One object at a time, so memory is bounded: what is asked for meanwhile waits, the newest alone. Main core only.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>

#include "dataplane/protocol/shm_ring.h"
#include "dataplane/watch.h"

namespace sky::dataplane {

class Watcher {
 public:
  /// Calls back in a later turn, once no worker sees any more what was taken from them before.
  using Retire = std::function<void(std::function<void()>)>;

  Watcher(std::span<WorkerChannel* const> channels, Retire retire) : channels_(channels), retire_(std::move(retire)) {}
  Watcher(const Watcher&) = delete;
  Watcher& operator=(const Watcher&) = delete;
  ~Watcher() { stop(); }

  /// With an error it is refused, which a last record tells; what is on stays.
  void ask(const WatchMessage& message, InstallError error);
  /// Nobody is there any more to be told.
  void stop();
  /// True when it pushed. Without a ring what comes is thrown away.
  bool turn(ShmProducer<SeenPacket>* up);
  /// Only another turn brings it further: nobody tells of room or of the end of a grace.
  bool waits() const { return ending_ || next_ || refused_ || blocked_; }

 private:
  void begin(const WatchMessage& message);
  void end();
  bool move(ShmProducer<SeenPacket>* up);
  bool tell_end(ShmProducer<SeenPacket>* up);

  std::span<WorkerChannel* const> channels_;
  Retire retire_;
  std::shared_ptr<Watch> watch_;  ///< shared with the grace it waits for, which may outlast this
  bool ending_ = false;
  bool orphan_ = false;               ///< whoever asked for it is gone: its records are nobody's
  bool blocked_ = false;              ///< records wait for room
  std::optional<WatchMessage> next_;  ///< begins when that one is gone
  std::optional<SeenPacket> refused_;
};

}  // namespace sky::dataplane
