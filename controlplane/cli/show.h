// The API's JSON as tables for people.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace sky::controlplane {

using Json = nlohmann::ordered_json;

/// What `skyctl show` takes.
const std::vector<std::string>& show_words();

/// `body` as GET /v1/`what` gave it; fields that are missing or of another type are shown as "-".
std::string show_text(std::string_view what, const Json& body);

/// One screen: who, how much is up, and each fault with the command to type next.
std::string health_text(const Json& body);

/// Traced circuits, hop by hop.
std::string trace_text(const Json& body);

}  // namespace sky::controlplane
