#include "controlplane/cli/watch.h"

#include "controlplane/cli/interrupt.h"

namespace sky::controlplane {
Reply PacketFeed::run(const Json& request, const std::function<void()>& begun,
                      const std::function<bool(const Json& record)>& take) {
  stop_on_signals();
  Reply reply = client_.post("/v1/watch", request);
  if (!reply.error.empty()) return reply;
  const Json id{{"watch", reply.body.at("watch")}};
  begun();
  bool wanted = true;
  while (wanted && !interrupted()) {
    reply = client_.post("/v1/watch/next", id);
    if (!reply.error.empty()) return reply;
    for (const Json& record : reply.body.at("records")) wanted = wanted && take(record);
    missed_ = reply.body.at("missed").get<uint64_t>();
    if (!reply.body.at("done").get<bool>()) continue;
    reply.error = reply.body.value("error", "");
    return reply;
  }
  return client_.post("/v1/watch/end", id);
}

}  // namespace sky::controlplane
