// The control plane's API as skyctl asks it: HTTP over the Unix socket (libcurl), JSON back.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "dataplane/base/result.h"

namespace sky::controlplane {

using Json = nlohmann::ordered_json;

struct Reply {
  long status = 0;  ///< HTTP; 0: nobody answered
  Json body;
  std::string error;  ///< empty when the status is 200
};

class ApiClient {
 public:
  static constexpr long kTimeoutMs = 8000;  ///< above the 5 s that the control plane takes at most

  explicit ApiClient(std::string socket) : socket_(std::move(socket)) {}

  Reply get(const std::string& path) const { return perform(path, ""); }
  Reply post(const std::string& path, const Json& body) const { return perform(path, body.dump()); }

 private:
  Reply perform(const std::string& path, const std::string& body) const;

  std::string socket_;
};

}  // namespace sky::controlplane
