// What a user wants to see of packets in the dataplane: one request at a time, since whoever asks sees plaintext and
// costs every packet something. Records wait here, at most kMostQueued of them, until they are asked for; what finds no
// room is counted as missed. A request ends when as many came as were asked for, when its asker says so or says nothing
// for kIdleSeconds, or with the attachment.
//   POST /v1/watch {"points": [POINT...], "match": {KEY: VALUE...}, "count": N}  ->  {"watch": ID}
//   POST /v1/watch/next {"watch": ID}  ->  {"records": [...], "missed": N, "done": BOOL}, within a second or so
//   POST /v1/watch/end {"watch": ID}   ->  {}
// Source: docs/operations.md, "The API"; docs/protocol.md, "Watch".
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/api/server.h"
#include "dataplane/protocol/watch.h"

namespace sky::controlplane {

using Json = nlohmann::ordered_json;

class PacketWatch {
 public:
  static constexpr size_t kMostQueued = 1'024;
  static constexpr size_t kMostInAnswer = 128;
  static constexpr unsigned kIdleSeconds = 5;

  /// By index, as router.yaml has them.
  struct Names {
    std::vector<std::string> ports;
    std::vector<std::string> links;
  };
  /// False: no dataplane is attached.
  using Ask = std::function<bool(const WatchMessage&)>;

  explicit PacketWatch(Ask ask) : ask_(std::move(ask)) {}

  /// `what`: behind /v1/watch, "" or "/next" or "/end".
  void handle(std::string_view what, const std::string& body, const Names& names, HttpServer::Responder respond);
  // Each true when it answered someone who waited.
  bool seen(const SeenPacket& record);
  bool detached() { return over("the dataplane went away"); }
  /// Once a second: answers who waits, and ends what nobody asks after.
  bool tick();

 private:
  void begin(const Json& body, const Names& names, HttpServer::Responder respond);
  bool end();
  bool over(std::string error);
  bool answer();

  Ask ask_;
  Names names_;
  uint32_t last_id_ = 0;
  bool on_ = false;    ///< somebody has a request
  bool done_ = false;  ///< no more records will come
  unsigned idle_seconds_ = 0;
  uint64_t missed_here_ = 0, missed_there_ = 0;
  std::string error_;
  std::deque<SeenPacket> queue_;
  HttpServer::Responder waiting_;
};

}  // namespace sky::controlplane
