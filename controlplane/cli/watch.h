// One request to see packets, as skyctl makes it of the API: asked for, fetched until it is over, ended on a signal.
#pragma once

#include <functional>
#include <string>

#include "controlplane/cli/client.h"

namespace sky::controlplane {

class PacketFeed {
 public:
  explicit PacketFeed(const ApiClient& client) : client_(client) {}

  /// `begun` once the request is granted. Then hands each record on until the request is over, `take` gives false, or
  /// SIGINT, SIGTERM or SIGPIPE came, which from then on end the request and not the process. The reply is the one that
  /// failed, or the last.
  Reply run(const Json& request, const std::function<void()>& begun,
            const std::function<bool(const Json& record)>& take);
  uint64_t missed() const { return missed_; }

 private:
  const ApiClient& client_;
  uint64_t missed_ = 0;
};

}  // namespace sky::controlplane
