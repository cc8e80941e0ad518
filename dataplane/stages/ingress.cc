#include "dataplane/stages/ingress.h"

#include <cstring>

#include "dataplane/stages/hold.h"
#include "dataplane/stages/inner.h"

namespace sky::dataplane {

namespace {

struct Lookup {
  std::array<InnerPacket, kBurst> inner;
  std::array<GroupIndex, kBurst> groups;  ///< [slot]
};

/// Parses all, and looks up all destinations at once.
void look_up(Context& context, Batch& batch, Lookup& out) noexcept {
  AddressBurst addresses;
  for (unsigned i = 0; i < batch.count; ++i) {
    Slot& slot = batch.slots[i];
    out.groups[i] = kNoGroup;
    if (!parse_inner({slot.data, slot.length}, out.inner[i])) {
      drop(slot, Drop::not_ip);
      continue;
    }
    drop(slot, Drop::no_destination);
    addresses.add(i, out.inner[i], false);
  }
  addresses.find(*context.tables.destinations, out.groups);
}

/// Chooses the member; true when the slot is to be sealed.
bool choose(Context& context, GroupIndex index, const InnerPacket& inner, Slot& slot) noexcept {
  Group* group = context.tables.groups.find(to_underlying(index));
  if (group == nullptr) return false;
  const GroupView& view = *group->view.load(std::memory_order_acquire);
  GroupWorker& mine = group->workers[context.number];
  mine.used_ns.store(context.now_ns, std::memory_order_relaxed);
  const uint32_t hash = flow_hash({slot.data, slot.length}, inner, context.hash_seed);
  const uint8_t chosen = pick_member(*group, view, mine, hash, context.now_ns);
  if (chosen == kNoMember) {
    hold(context, *group, slot);
    return false;
  }
  const MemberMessage& member = view.members[chosen].put;
  if (slot.length > member.mtu) {
    drop(slot, Drop::inner_too_big);
    return false;
  }
  const FirstHop hop = first_hop(view.members[chosen]);
  slot.link = hop.link;
  slot.session = view.members[chosen].session;
  slot.stream = static_cast<uint16_t>(member.stream + context.number);
  slot.hop_limit = member.hop_limit;
  slot.ecn = inner_ecn(slot.data, inner.family);
  slot.treatment = member.treatment;
  MemberStats& stats = context.stats_of(*group, chosen);
  stats.packets.add(1);
  stats.bytes.add(slot.length);
  const uint16_t size = static_cast<uint16_t>(sizeof(DatagramHeader) + slot.length);
  slot.data -= kDatagramOverhead;
  slot.length = static_cast<uint16_t>(slot.length + kDatagramOverhead);
  packet_header(slot.data) = {static_cast<uint8_t>(PacketType::datagram), Be32(to_underlying(hop.route)), Be16(size)};
  return true;
}

bool prepare(const SealLimits& limits, Slot& slot, AeadOp& op, SessionAssociated& associated) noexcept {
  Session& session = *slot.session;
  const uint8_t epoch = session.send.current.load(std::memory_order_acquire);
  if (epoch >= kKeySlots) {
    drop(slot, Drop::no_send_key);
    return false;
  }
  const KeySlot& key = session.send.slots[epoch];
  const uint64_t counter = session.seal_counter(slot.stream)->next(key.generation, slot.length, limits);
  if (counter == SealCounter::kStopped) {
    drop(slot, Drop::key_exhausted);
    return false;
  }
  auto& header = *reinterpret_cast<DatagramHeader*>(packet_payload(slot.data));
  header.epoch_stream_counter = Be64(pack_stream(epoch, slot.stream, counter));
  associated = {Be64(session.put.load(std::memory_order_acquire)->session_id), Be64(epoch)};
  op.key = &key.key;
  op.suite = key.suite;
  op.data = slot.data + kDatagramOverhead;
  op.length = static_cast<uint32_t>(slot.length - kDatagramOverhead);
  op.tag = header.tag.data();
  op.associated = reinterpret_cast<const uint8_t*>(&associated);
  op.associated_length = sizeof(associated);
  std::memcpy(op.nonce.data(), key.salt.data(), sizeof(Salt));
  std::memcpy(op.nonce.data() + sizeof(Salt), &header.epoch_stream_counter, sizeof(Be64));
  slot.verdict = Verdict::next;
  return true;
}

}  // namespace

void ingress(Context& context, Batch& batch) noexcept {
  if (batch.count == 0) return;
  context.worked = true;
  Lookup found;
  look_up(context, batch, found);
  const SealLimits limits = context.tables.config().session_keys.seal_limits(kStreamCounters);
  unsigned n = 0;
  for (unsigned i = 0; i < batch.count; ++i) {
    if (found.groups[i] == kNoGroup || found.groups[i] == kLocalGroup) continue;
    Slot& slot = batch.slots[i];
    if (!choose(context, found.groups[i], found.inner[i], slot)) continue;
    if (prepare(limits, slot, context.ops[n], context.op_associated[n])) ++n;
  }
  context.aead.seal({context.ops.data(), n});
}

}  // namespace sky::dataplane
