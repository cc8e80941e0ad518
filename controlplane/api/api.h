// The control plane's API: which request means what. GET /v1/WHAT shows, POST /v1/ping and /v1/trace {"node": NAME} ask
// the core and answer when it does; POST /v1/watch shows packets (packet_watch.h). Everything but GET needs admin.
// Errors are {"error": TEXT}. Source: docs/operations.md, "The API".
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/api/packet_watch.h"
#include "controlplane/api/server.h"
#include "controlplane/api/views.h"
#include "controlplane/core/events.h"

namespace sky::controlplane {

/// Who answers: the daemon, or a test.
class ApiBackend {
 public:
  virtual ~ApiBackend() = default;
  /// Nothing for a word that names nothing.
  virtual std::optional<Json> show(std::string_view what) = 0;
  virtual void ask(Event&& question) = 0;
  virtual const std::vector<std::string>& nodes() const = 0;  ///< all others: whom one can ask for
  /// To the dataplane; false while none is attached.
  virtual bool watch(const WatchMessage& message) = 0;
  virtual const PacketWatch::Names& names() const = 0;
};

class Api {
 public:
  static constexpr size_t kMostQuestions = 64;  ///< open at a time

  explicit Api(ApiBackend& backend) : backend_(backend) {}

  void handle(const Request& request, HttpServer::Responder respond);
  /// The core's answer to a question asked here.
  void answer(const Answer& answer);
  PacketWatch& packets() { return packets_; }

 private:
  void question(const Request& request, HttpServer::Responder respond);

  ApiBackend& backend_;
  PacketWatch packets_{[this](const WatchMessage& message) { return backend_.watch(message); }};
  uint64_t last_token_ = 0;
  std::map<uint64_t, HttpServer::Responder> questions_;
};

}  // namespace sky::controlplane
