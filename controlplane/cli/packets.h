// Records of watched packets (the API's POST /v1/watch/next) for people: what a packet met at each stage, and its
// headers, read off its bytes. Nothing of a record is trusted but its shape, whose lack throws Json::exception.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "dataplane/base/result.h"

namespace sky::controlplane {

using Json = nlohmann::ordered_json;

/// `bytes` of a record, not hexadecimal any more.
std::string bytes_of(const Json& record);
/// "drop by open: bad_tag; link a1-b1, worker 0, packet 17"
std::string comment_of(const Json& record);
/// The headers in a record's bytes, one text a layer.
std::vector<std::string> headers_of(const Json& record);

/// KEY=VALUE... as the API's `match`; types go by name or number, routes by number.
Result<Json> read_matches(const std::vector<std::string>& expressions);

/// Gathers records by packet.
class PacketTraces {
 public:
  /// The text of the packet whose way ends with this record; else "".
  std::string add(const Json& record);
  /// Of those whose end did not come.
  std::string rest();

 private:
  std::map<uint64_t, std::vector<Json>> open_;
};

}  // namespace sky::controlplane
