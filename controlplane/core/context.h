// What the parts of the core share: configuration, the network, the tables they install into, and the time of the event
// that is being handled.
#pragma once

#include "controlplane/core/network.h"
#include "controlplane/core/outbox.h"
#include "controlplane/core/random.h"
#include "controlplane/install/planner.h"
#include "controlplane/install/route_ids.h"
#include "controlplane/session/gate.h"

namespace sky::controlplane {

struct Context {
  RouterConfig config;
  Network network;
  std::shared_ptr<PathSource> paths;
  Random& random;
  Planner planner;
  RouteIds routes;
  Outbox out;
  TimeNs now = 0;
  uint64_t boot_id = 0;                                 ///< of the dataplane
  Suites suites = kAllSuites;                           ///< of the dataplane
  std::array<uint64_t, kReasons> handshakes_refused{};  ///< by Reason; links and sessions in sum
  uint64_t session_handshakes = 0;                      ///< final ones

  template <typename... Args>
  void log(LogLevel level, fmt::format_string<Args...> format, Args&&... args) {
    out.log(level, now, format, std::forward<Args>(args)...);
  }
};

}  // namespace sky::controlplane
