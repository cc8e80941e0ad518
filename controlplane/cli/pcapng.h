// A capture as Wireshark reads it: pcapng, one interface block for each port and link type, times in nanoseconds, and
// with each packet a comment that says where and why it was taken. Bytes only; who calls writes them. What is opened
// has link type USER0, as scripts/open-capture writes it and conf/wireshark/skyedge.lua shows it. Source:
// https://www.ietf.org/archive/id/draft-ietf-opsawg-pcapng-01.html
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

namespace sky::controlplane {

using Json = nlohmann::ordered_json;

class Pcapng {
 public:
  /// The file's first block.
  static std::string begin();
  /// A record of the API (docs/operations.md, "The API") as blocks. Throws Json::exception where it is of another
  /// shape.
  std::string add(const Json& record);

 private:
  uint32_t interface_of(const std::string& name, uint16_t link_type, std::string& out);

  std::vector<std::pair<std::string, uint16_t>> interfaces_;
};

}  // namespace sky::controlplane
