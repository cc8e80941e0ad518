// The control plane's API: which request means what. GET /v1/WHAT shows, POST /v1/ping and /v1/trace {"node": NAME} ask
// the core and answer when it does. Everything but GET needs admin. Errors are {"error": TEXT}.
// Source: docs/operations.md, "The API".
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

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
};

class Api {
 public:
  static constexpr size_t kMostQuestions = 64;  ///< open at a time

  explicit Api(ApiBackend& backend) : backend_(backend) {}

  void handle(const Request& request, HttpServer::Responder respond);
  /// The core's answer to a question asked here.
  void answer(const Answer& answer);

 private:
  void question(const Request& request, HttpServer::Responder respond);

  ApiBackend& backend_;
  uint64_t last_token_ = 0;
  std::map<uint64_t, HttpServer::Responder> questions_;
};

}  // namespace sky::controlplane
