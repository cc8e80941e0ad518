#include "dataplane/stages/seal.h"

#include <cstring>

namespace sky::dataplane {

namespace {

/// Zeros up to the carrier's least, also where a frame that passes through had something else: what hides there goes no
/// further.
void pad(Slot& slot, size_t least) noexcept {
  const size_t packet = sizeof(PacketHeader) + packet_header(slot.data).size.get();
  if (packet >= least) return;
  std::memset(slot.data + kLinkOverhead + packet, 0, least - packet);
  slot.length = static_cast<uint16_t>(kLinkOverhead + least);
}

/// What both ends of the link agreed on, or more where the circuit asks for it or the packet cannot do with less.
FrameKind choose_kind(const LinkConfig& config, const Slot& slot) noexcept {
  const auto kind = std::min(FrameKind{config.put.kind}, least_kind_of(slot.treatment));
  const PacketHeader& packet = packet_header(slot.data);
  if (kind == FrameKind::frame || packet.route_id == Be32(to_underlying(kControlRoute))) return FrameKind::frame;
  const bool datagram = packet.type == to_underlying(PacketType::datagram);
  if (kind == FrameKind::header && (!datagram || packet.size.get() < kHeaderLeastSize)) return FrameKind::frame;
  return kind;
}

void write_ethernet(const Context& context, const LinkConfig& config, const Slot& slot) noexcept {
  auto& ethernet = *reinterpret_cast<EthernetHeader*>(slot.data - sizeof(EthernetHeader));
  std::memcpy(&ethernet, &config.ethernet, sizeof(ethernet));
  if (config.lane_in_mac) ethernet.source.back() = static_cast<uint8_t>(context.number);
}

/// What the port left over last time says whether it keeps up: before frames are dropped, senders are told.
void mark_congestion(Context& context, const LinkConfig& config, Slot& slot) noexcept {
  if (slot.ecn == Ecn::not_capable || slot.ecn == Ecn::congestion) return;
  const PortOutput& output = context.outputs[to_underlying(config.put.port)];
  if (output.waiting[to_underlying(queue_of(slot.treatment))] < kMarkedFrom) return;
  slot.ecn = Ecn::congestion;
  context.stats_of(*slot.link).marked.add(1);
}

/// A clear frame has no tag: the link header stands where that would end.
void send_clear(const Context& context, const LinkConfig& config, Slot& slot) noexcept {
  pad(slot, kMinSealedBytes + kTagBytes);
  slot.data += kTagBytes;
  slot.length = static_cast<uint16_t>(slot.length - kTagBytes);
  write_ethernet(context, config, slot);
  const LinkHeader header{.version_kind = version_kind(FrameKind::clear),
                          .hop_limit = slot.hop_limit,
                          .epoch = 0,
                          .class_ecn = class_ecn_of(slot.treatment, slot.ecn),
                          .link_index = Be32(config.put.peer_index),
                          .lane_counter = Be64(0)};
  std::memcpy(slot.data, &header, sizeof(header));
}

/// True when there is something to seal.
bool prepare(Context& context, const SealLimits& limits, Slot& slot, AeadOp& op) noexcept {
  const LinkConfig& config = *slot.link->config.load(std::memory_order_acquire);
  pad(slot, kMinSealedBytes);
  if (slot.length > config.put.mtu) {
    drop(slot, Drop::too_big);
    return false;
  }
  mark_congestion(context, config, slot);
  const FrameKind kind = choose_kind(config, slot);
  if (kind == FrameKind::clear) {
    send_clear(context, config, slot);
    slot.verdict = Verdict::next;
    return false;
  }
  const KeySlot* key = slot.link->send.now();
  if (key == nullptr) {
    drop(slot, Drop::no_send_key);
    return false;
  }
  const uint64_t counter =
      slot.link->workers[context.number].send.next(key->generation, sealed_length(slot, kind), limits);
  if (counter == SealCounter::kStopped) {
    drop(slot, Drop::key_exhausted);
    return false;
  }
  write_ethernet(context, config, slot);
  const LinkHeader header{.version_kind = version_kind(kind),
                          .hop_limit = slot.hop_limit,
                          .epoch = key->epoch,
                          .class_ecn = class_ecn_of(slot.treatment, slot.ecn),
                          .link_index = Be32(config.put.peer_index),
                          .lane_counter = Be64(uint64_t{context.number} << 56 | counter)};
  std::memcpy(slot.data, &header, sizeof(header));
  op.key = &key->key;
  op.suite = key->suite;
  op.data = slot.data + kLinkOverhead;
  op.length = sealed_length(slot, kind);
  op.tag = link_tag(slot.data);
  op.associated = slot.data;
  op.associated_length = sizeof(LinkHeader);
  std::memcpy(op.nonce.data(), key->salt.data(), sizeof(Salt));
  std::memcpy(op.nonce.data() + sizeof(Salt), &header.lane_counter, sizeof(header.lane_counter));
  return true;
}

}  // namespace

void seal(Context& context, Batch& batch) noexcept {
  const SealLimits limits = context.tables.config().link_keys.seal_limits(kLinkCounters);
  unsigned n = 0;
  for (Slot& slot : batch) {
    if (!prepare(context, limits, slot, context.ops[n])) continue;
    slot.verdict = Verdict::next;
    ++n;
  }
  context.aead.seal({context.ops.data(), n});
}

}  // namespace sky::dataplane
