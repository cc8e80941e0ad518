// Rows for a control plane that returns: each as the put that would make it, with what is for dumps filled in.
#include "dataplane/tables/tables.h"

namespace sky::dataplane {

namespace {

uint8_t keyed_bits(const KeyRing& ring) {
  return static_cast<uint8_t>((ring.receive.newest_key_id() ? 1 : 0) | (ring.send.current_key_id() ? 2 : 0));
}

template <typename T>
const T* next_object(const IndexTable<T>& table, uint32_t& index) {
  for (; index < table.capacity(); ++index) {
    if (const T* found = table.find(index)) return found;
  }
  return nullptr;
}

InstallMessage row_of(const Link& link) {
  LinkMessage row = link.config.load(std::memory_order_relaxed)->put;
  row.up = link.usable() ? 1 : 0;
  row.rx_parity = static_cast<uint8_t>(link.ring->receive.used_parity());
  row.tx_parity = static_cast<uint8_t>(link.ring->send.current_parity());
  row.keyed = keyed_bits(*link.ring);
  if (const KeySlot* key = link.send.now()) row.suite = key->suite;
  return InstallMessage::of(row);
}

InstallMessage row_of(const Session& session) {
  SessionMessage row = *session.put.load(std::memory_order_relaxed);
  row.rx_parity = static_cast<uint8_t>(session.ring->receive.used_parity());
  row.tx_parity = static_cast<uint8_t>(session.ring->send.current_parity());
  row.keyed = keyed_bits(*session.ring);
  return InstallMessage::of(row);
}

InstallMessage row_of(const Group& group) {
  return InstallMessage::of(group.view.load(std::memory_order_relaxed)->put);
}

template <typename T>
std::optional<uint32_t> dump_object(const IndexTable<T>& table, uint32_t index, InstallMessage& row) {
  const T* found = next_object(table, index);
  if (found == nullptr) return std::nullopt;
  row = row_of(*found);
  return index + 1;
}

std::optional<uint32_t> dump_member(const IndexTable<Group>& groups, uint32_t from, InstallMessage& row) {
  uint32_t index = from / kMaxMembers;
  unsigned slot = from % kMaxMembers;
  while (const Group* group = next_object(groups, index)) {
    if (index != from / kMaxMembers) slot = 0;
    const GroupView& view = *group->view.load(std::memory_order_relaxed);
    for (; slot < kMaxMembers; ++slot) {
      if (!view.has(slot)) continue;
      MemberMessage member = view.members[slot].put;
      // As events tell it: one that comes back with its link has none to tell.
      member.live = group->lives[slot].live.load(std::memory_order_relaxed) ? 1 : 0;
      row = InstallMessage::of(member);
      return index * kMaxMembers + slot + 1;
    }
    ++index;
    slot = 0;
  }
  return std::nullopt;
}

}  // namespace

std::optional<uint32_t> Tables::dump(Table table, uint32_t from, InstallMessage& row) const {
  switch (table) {
    case Table::links:
      return dump_object(links, from, row);
    case Table::sessions:
      return dump_object(sessions, from, row);
    case Table::groups:
      return dump_object(groups, from, row);
    case Table::rules:
      for (uint32_t index = from; index < rules.capacity(); ++index) {
        if (!rules.occupied(index)) continue;
        row = InstallMessage::of(standing(index));
        return index + 1;
      }
      return std::nullopt;
    case Table::members:
      return dump_member(groups, from, row);
    case Table::destinations: {
      const auto next = destinations->next(from);
      if (!next) return std::nullopt;
      const auto& [slot, entry] = *next;
      row = InstallMessage::of(DestinationMessage{.family = entry.key.family,
                                                  .length = entry.key.length,
                                                  .group = entry.group,
                                                  .prefix = entry.key.prefix,
                                                  .cookie = entry.cookie});
      return slot + 1;
    }
  }
  return std::nullopt;
}

}  // namespace sky::dataplane
