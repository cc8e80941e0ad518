#include "dataplane/stages/ingress.h"

#include <cstring>

#include "dataplane/stages/hold.h"
#include "dataplane/stages/inner.h"

namespace sky::dataplane {

namespace {

struct Lookup {
  std::array<InnerPacket, kBurst> inner;
  std::array<Group*, kBurst> groups;   ///< [slot]; nullptr: none, or this node's own
  std::array<uint32_t, kBurst> flows;  ///< the same, of those that have a group: hashed
};

/// The member that a packet goes over, and the one that a copy of it goes over, if any.
struct Choice {
  const Member* first = nullptr;
  const Member* second = nullptr;
};

/// Parses all, looks up all destinations at once, and brings what their flows are looked up in.
void look_up(Context& context, Batch& batch, Lookup& out) noexcept {
  AddressBurst addresses;
  std::array<GroupIndex, kBurst> found;
  for (unsigned i = 0; i < batch.count; ++i) {
    Slot& slot = batch.slots[i];
    found[i] = kNoGroup;
    if (!parse_inner({slot.data, slot.length}, out.inner[i])) {
      drop(slot, Drop::not_ip);
      continue;
    }
    drop(slot, Drop::no_destination);
    addresses.add(i, out.inner[i], false);
  }
  addresses.find(*context.tables.destinations, found);
  for (unsigned i = 0; i < batch.count; ++i) {
    const Slot& slot = batch.slots[i];
    // No group, and this node's own, are beyond the table.
    Group* const group = out.groups[i] = context.tables.groups.find(to_underlying(found[i]));
    if (group == nullptr) continue;
    out.flows[i] = flow_hash({slot.data, slot.length}, out.inner[i], context.flow_key);
    __builtin_prefetch(&group->workers[context.number].bucket_of(out.flows[i]), 1);
  }
}

void count_packet(Context& context, const Group& group, uint8_t member, const Slot& slot) noexcept {
  MemberStats& stats = context.stats_of(group, member);
  stats.packets.add(1);
  stats.bytes.add(slot.length);
}

/// Mode copy: the second member of the pair, if there is one, carries such a packet, and the rate allows it.
const Member* choose_second(Context& context, Group& group, const GroupView& view, uint8_t second,
                            const Slot& slot) noexcept {
  if (second == kNoMember || slot.length > view.members[second].put.mtu) {
    context.count(Counter::copy_alone);
    return nullptr;
  }
  if (!group.workers[context.number].copies.take(view.put.copy_rate, context.now_ns)) {
    context.count(Counter::copy_over_rate);
    return nullptr;
  }
  count_packet(context, group, second, slot);
  return &view.members[second];
}

/// Chooses the members; false when the slot is not to be sealed.
bool choose(Context& context, Group& group, const InnerPacket& inner, uint32_t flow, Slot& slot,
            Choice& choice) noexcept {
  const GroupView& view = *group.view.load(std::memory_order_acquire);
  GroupWorker& mine = group.workers[context.number];
  mine.used_ns.store(context.now_ns, std::memory_order_relaxed);
  const bool copies = view.put.mode == GroupMode::copy;
  const CopyPair pair = copies ? copy_pair(group, view) : CopyPair{};
  uint8_t chosen = pair.first;
  if (pair.second == kNoMember) chosen = pick_member(group, view, mine, flow, context.now_ns);
  if (chosen == kNoMember) {
    hold(context, group, slot);
    return false;
  }
  const MemberMessage& member = view.members[chosen].put;
  if (slot.length > member.mtu) {
    drop(slot, Drop::inner_too_big);
    return false;
  }
  choice.first = &view.members[chosen];
  choice.second = copies ? choose_second(context, group, view, pair.second, slot) : nullptr;
  const FirstHop hop = first_hop(*choice.first);
  slot.link = hop.link;
  slot.session = choice.first->session;
  slot.stream =
      static_cast<uint16_t>((choice.second ? copied_streams(member.copied).stream : member.stream) + context.number);
  slot.hop_limit = member.hop_limit;
  slot.ecn = inner_ecn(slot.data, inner.family);
  slot.treatment = member.treatment;
  count_packet(context, group, chosen, slot);
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

/// Bytes and all: each link seals in place.
void copy_for(Context& context, const Member& member, const Slot& slot, Batch& copies) noexcept {
  rte_mbuf* mbuf = rte_pktmbuf_alloc(context.ports[0]->pool());
  if (mbuf == nullptr) return context.count(Counter::copy_alone);
  const auto at = slot.data - static_cast<uint8_t*>(slot.mbuf->buf_addr);
  Slot& copy = copies.add();
  copy = slot;
  copy.mbuf = mbuf;
  copy.data = static_cast<uint8_t*>(mbuf->buf_addr) + at;
  std::memcpy(copy.data + kLinkOverhead, slot.data + kLinkOverhead, slot.length - kLinkOverhead);
  const FirstHop hop = first_hop(member);
  packet_header(copy.data).route_id = Be32(to_underlying(hop.route));
  copy.link = hop.link;
  copy.hop_limit = member.put.hop_limit;
  copy.treatment = member.put.treatment;
  context.count(Counter::copied);
}

}  // namespace

void ingress(Context& context, Batch& batch, Batch& copies) noexcept {
  if (batch.count == 0) return;
  context.worked = true;
  Lookup found;
  look_up(context, batch, found);
  const SealLimits limits = context.tables.config().session_keys.seal_limits(kStreamCounters);
  std::array<const Member*, kBurst> seconds;
  unsigned n = 0;
  for (unsigned i = 0; i < batch.count; ++i) {
    if (found.groups[i] == nullptr) continue;
    Slot& slot = batch.slots[i];
    Choice choice;
    if (!choose(context, *found.groups[i], found.inner[i], found.flows[i], slot, choice)) continue;
    if (!prepare(limits, slot, context.ops[n], context.op_associated[n])) continue;
    context.op_slots[n] = &slot;
    seconds[n++] = choice.second;
  }
  context.aead.seal({context.ops.data(), n});
  for (unsigned i = 0; i < n; ++i) {
    if (seconds[i] != nullptr) copy_for(context, *seconds[i], *context.op_slots[i], copies);
  }
}

}  // namespace sky::dataplane
