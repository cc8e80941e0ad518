#include "dataplane/tables/groups.h"

namespace sky::dataplane {

uint8_t assign_member(const Group& group, const GroupView& view, uint32_t ticket) noexcept {
  uint32_t total = 0;
  uint8_t standby = kNoMember;
  uint8_t live = 0;
  for (unsigned slot = 0; slot < kMaxMembers; ++slot) {
    if (!group.live(view, slot)) continue;
    live |= static_cast<uint8_t>(1u << slot);
    total += view.members[slot].put.weight;
    if (standby == kNoMember) standby = static_cast<uint8_t>(slot);
  }
  if (total == 0) return standby;
  ticket %= total;
  for (unsigned slot = 0; slot < kMaxMembers; ++slot) {
    if ((live >> slot & 1) == 0) continue;
    const uint32_t weight = view.members[slot].put.weight;
    if (ticket < weight) return static_cast<uint8_t>(slot);
    ticket -= weight;
  }
  return standby;
}

CopyPair copy_pair(const Group& group, const GroupView& view) noexcept {
  CopyPair pair;
  const auto copies = [&](uint8_t slot) { return group.live(view, slot) && view.members[slot].put.copied != 0; };
  for (uint8_t slot = 0; slot < kMaxMembers; ++slot) {
    if (!copies(slot)) continue;
    if (pair.first == kNoMember || view.members[slot].put.weight > view.members[pair.first].put.weight)
      pair.first = slot;
  }
  if (pair.first == kNoMember) return pair;
  const Member& one = view.members[pair.first];
  for (uint8_t slot = 0; slot < kMaxMembers && pair.second == kNoMember; ++slot) {
    const Member& other = view.members[slot];
    if (slot != pair.first && copies(slot) && other.put.copied == one.put.copied && other.session == one.session)
      pair.second = slot;
  }
  return pair;
}

}  // namespace sky::dataplane
