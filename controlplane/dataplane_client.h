// Keeps an attachment to the dataplane: asks for one every 200 ms while there is none, waits its turn behind another
// control plane, drops one that breaks or does not finish its dump within 10 s. Tells its sink Attached, everything
// that comes after it, and Detached.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "controlplane/event_loop.h"
#include "controlplane/install/attachment.h"
#include "controlplane/install/counters.h"

namespace sky::controlplane {

class DataplaneClient {
 public:
  static constexpr uint64_t kRetryNs = 200'000'000;
  static constexpr uint64_t kFeedNs = 1'000'000;
  static constexpr uint64_t kDumpNs = 10'000'000'000;

  /// `dataplane_user`: as ask_to_attach's. `loop` outlives the client. `sink` must not call back into `start`.
  DataplaneClient(EventLoop& loop, std::string socket_path, std::optional<uid_t> dataplane_user, size_t most_rows,
                  Attachment::Sink sink, Attachment::SeenSink seen);

  Result<> start();

  /// As Attachment's; false while nothing is attached.
  bool install(Install batch);
  bool send(const ControlPacket& packet);
  bool watch(const WatchMessage& message);
  /// Gives the attachment up, tells the sink Detached, and asks again.
  void drop(const Error& why);

  /// Null while nothing is attached.
  const Counters* counters() const { return counters_ ? &*counters_ : nullptr; }
  /// Why nothing is attached.
  const std::string& error() const { return error_; }

 private:
  void ask();
  void on_socket();
  void take_over();
  void turn();
  void on_timer();

  EventLoop& loop_;
  std::string socket_path_;
  std::optional<uid_t> dataplane_user_;
  size_t most_rows_;
  Attachment::Sink sink_;
  Attachment::SeenSink seen_;
  std::string error_ = "not asked yet";

  EventLoop::Timer timer_;  ///< retry, feed or the end of the dump's time: whatever the state waits for
  Descriptor socket_;
  EventLoop::Watch socket_watch_;
  EventLoop::Watch doorbell_watch_;
  std::unique_ptr<Attachment> attachment_;
  std::optional<Counters> counters_;
};

}  // namespace sky::controlplane
