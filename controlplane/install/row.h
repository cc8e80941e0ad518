// A row of the dataplane's tables as the control plane keeps it: the put that makes it, and the key that names it.
#pragma once

#include <compare>
#include <cstring>
#include <optional>

#include "dataplane/base/address.h"
#include "dataplane/protocol/install.h"

namespace sky::controlplane {

/// `low`: the index; a rule's whole route ID; a member's group and slot. A destination: all three.
/// Ordered by table in the order of dependency: what a row refers to comes before it.
struct RowKey {
  Table table{};
  uint64_t high = 0;
  uint64_t low = 0;
  uint16_t length = 0;  ///< family, bits of prefix
  auto operator<=>(const RowKey&) const = default;
};

inline RowKey link_key(LinkIndex link) {
  return {.table = Table::links, .low = to_underlying(link)};
}
inline RowKey session_key(SessionIndex session) {
  return {.table = Table::sessions, .low = to_underlying(session)};
}
inline RowKey rule_key(RouteId route) {
  return {.table = Table::rules, .low = to_underlying(route)};
}
inline RowKey group_key(GroupIndex group) {
  return {.table = Table::groups, .low = to_underlying(group)};
}
inline RowKey member_key(GroupIndex group, unsigned slot) {
  return {.table = Table::members, .low = uint64_t{to_underlying(group)} * kMaxMembers + slot};
}
RowKey destination_key(const Prefix& prefix);

/// The key of a row that a put_* message makes; nothing for any other message, a key chain among them.
std::optional<RowKey> key_of(const InstallMessage& put);
/// The delete of that row.
InstallMessage delete_of(const RowKey& key);
/// Without what only a dump tells (live, parities, keys), so that equal rows are equal bytes.
InstallMessage without_state(const InstallMessage& row);

inline bool same_row(const InstallMessage& one, const InstallMessage& other) {
  return std::memcmp(&one, &other, sizeof one) == 0;
}

}  // namespace sky::controlplane
