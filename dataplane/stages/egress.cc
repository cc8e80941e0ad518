#include "dataplane/stages/egress.h"

#include <cstring>

#include "dataplane/stages/inner.h"

namespace sky::dataplane {

namespace {

struct StreamCounter {
  unsigned epoch, stream;
  uint64_t counter;
};

StreamCounter unpack(const DatagramHeader& header) noexcept {
  const uint64_t word = header.epoch_stream_counter.get();
  return {static_cast<unsigned>(word >> 62), static_cast<unsigned>(word >> 48) & (kStreams - 1u),
          word & ((uint64_t{1} << 48) - 1)};
}

/// Of a counter that the window does not take.
Drop why_seen(const SessionWindows& windows, const ReplayView& seen, uint64_t counter) noexcept {
  if (!windows.copied()) return Drop::session_replayed;
  return seen.is_older(counter) ? Drop::copy_late : Drop::copy_duplicate;
}

bool prepare(Context& context, Slot& slot, AeadOp& op, SessionAssociated& associated) noexcept {
  if (packet_header(slot.data).size.get() < sizeof(DatagramHeader)) return refuse(slot, Drop::inner_malformed);
  slot.session = context.tables.sessions.find(to_underlying(slot.end.session));
  if (slot.session == nullptr) return refuse(slot, Drop::session_unknown);
  auto& header = *reinterpret_cast<DatagramHeader*>(packet_payload(slot.data));
  const auto [epoch, stream, counter] = unpack(header);
  const bool named = stream >= slot.end.stream && stream < unsigned{slot.end.stream} + slot.end.streams;
  SessionWindows* windows = slot.session->windows(stream);
  if (windows == nullptr || !windows->is_for(static_cast<uint8_t>(context.number), named))
    return refuse(slot, Drop::session_stream);
  slot.key = slot.session->receive.for_session(epoch);
  if (slot.key == nullptr) return refuse(slot, Drop::session_no_key);
  if (!windows->takes(*slot.key)) return refuse(slot, Drop::session_stream);
  const ReplayView seen = windows->of(epoch, slot.key->generation);
  if (!seen.may_accept(counter)) return refuse(slot, why_seen(*windows, seen, counter));

  associated = {Be64(slot.session->put.load(std::memory_order_acquire)->session_id), Be64(epoch)};
  op.key = &slot.key->key;
  op.suite = slot.key->suite;
  op.data = slot.data + kDatagramOverhead;
  op.length = static_cast<uint32_t>(packet_header(slot.data).size.get() - sizeof(DatagramHeader));
  op.tag = header.tag.data();
  op.associated = reinterpret_cast<const uint8_t*>(&associated);
  op.associated_length = sizeof(associated);
  std::memcpy(op.nonce.data(), slot.key->salt.data(), sizeof(Salt));
  std::memcpy(op.nonce.data() + sizeof(Salt), &header.epoch_stream_counter, sizeof(Be64));
  return true;
}

void note_damage(Context& context, RouteId consume) noexcept {
  const uint32_t member = context.tables.member_of(consume).load(std::memory_order_relaxed);
  if (member != 0) context.member_stats[member - 1].damaged.add(1);
  if (!context.damage.add(context.tables.rules.index_of(consume), context.now_ns)) return;
  static_cast<void>(context.channel.events.producer.push(InstallMessage::of(CircuitDamagedEvent{.route = consume})));
  context.wake_main = true;
}

/// After the tag: the window, then data[length] becomes the inner packet.
bool finish(Context& context, Slot& slot, const AeadOp& op, InnerPacket& inner) noexcept {
  if (!op.authentic) {
    note_damage(context, RouteId{packet_header(slot.data).route_id.get()});
    return refuse(slot, Drop::session_bad_tag);
  }
  const auto& header = *reinterpret_cast<const DatagramHeader*>(packet_payload(slot.data));
  const auto [epoch, stream, counter] = unpack(header);
  SessionWindows& windows = *slot.session->windows(stream);
  ReplayView seen = windows.of(epoch, slot.key->generation);
  if (!seen.test_and_set(counter)) return refuse(slot, why_seen(windows, seen, counter));
  slot.key->mark_seen();
  slot.session->heard_ns.store(context.now_ns, std::memory_order_relaxed);
  const Ecn outer = ecn_of(link_header(slot.data).class_ecn);
  slot.data = op.data;
  slot.length = static_cast<uint16_t>(op.length);
  if (!parse_inner({slot.data, slot.length}, inner)) return refuse(slot, Drop::inner_malformed);
  if (!take_ecn(outer, slot.data, inner.family)) return refuse(slot, Drop::bad_ecn);
  return true;
}

/// Whether the source is the sending domain's: its prefix leads to a group of that domain.
bool source_fits(Context& context, const Slot& slot, GroupIndex source) noexcept {
  const Group* group = context.tables.groups.find(to_underlying(source));
  return group != nullptr && group->view.load(std::memory_order_acquire)->put.domain ==
                                 slot.session->put.load(std::memory_order_acquire)->domain;
}

void deliver(Context& context, Slot& slot) noexcept {
  if (context.tun == nullptr || !context.tun->write({slot.data, slot.length})) return drop(slot, Drop::tun_full);
  slot.verdict = Verdict::delivered;
}

}  // namespace

void egress(Context& context, Batch& batch) noexcept {
  unsigned n = 0;
  for (Slot& slot : batch) {
    if (!prepare(context, slot, context.ops[n], context.op_associated[n])) continue;
    context.op_slots[n++] = &slot;
  }
  if (n == 0) return;
  context.aead.open({context.ops.data(), n});

  AddressBurst sources, destinations;
  for (unsigned i = 0; i < n; ++i) {
    InnerPacket inner;
    if (!finish(context, *context.op_slots[i], context.ops[i], inner)) {
      context.op_slots[i] = nullptr;
      continue;
    }
    sources.add(i, inner, true);
    destinations.add(i, inner, false);
  }
  std::array<GroupIndex, kBurst> from, to;
  sources.find(*context.tables.destinations, from);
  destinations.find(*context.tables.destinations, to);
  for (unsigned i = 0; i < n; ++i) {
    if (context.op_slots[i] == nullptr) continue;
    Slot& slot = *context.op_slots[i];
    if (to[i] != kLocalGroup) {
      drop(slot, Drop::inner_destination);
    } else if (!source_fits(context, slot, from[i])) {
      drop(slot, Drop::inner_source);
    } else {
      deliver(context, slot);
    }
  }
}

}  // namespace sky::dataplane
