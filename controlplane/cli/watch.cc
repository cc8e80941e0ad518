#include "controlplane/cli/watch.h"

#include <csignal>

namespace sky::controlplane {
namespace {

volatile std::sig_atomic_t interrupted = 0;

void stop_on_signals() {
  struct sigaction action {};
  action.sa_handler = [](int) { interrupted = 1; };
  for (const int number : {SIGINT, SIGTERM, SIGPIPE}) sigaction(number, &action, nullptr);
}

}  // namespace

Reply PacketFeed::run(const Json& request, const std::function<void()>& begun,
                      const std::function<bool(const Json& record)>& take) {
  stop_on_signals();
  Reply reply = client_.post("/v1/watch", request);
  if (!reply.error.empty()) return reply;
  const Json id{{"watch", reply.body.at("watch")}};
  begun();
  bool wanted = true;
  while (wanted && interrupted == 0) {
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
