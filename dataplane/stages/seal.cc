#include "dataplane/stages/seal.h"

#include <cstring>

#include "dataplane/stages/link_op.h"

namespace sky::dataplane {

namespace {

/// Zeros up to the carrier's least, also where a frame that passes through had something else: what hides there goes no
/// further.
[[gnu::noinline]] void pad(Slot& slot, size_t packet, size_t least) noexcept {
  std::memset(slot.data + kLinkOverhead + packet, 0, least - packet);
  slot.length = static_cast<uint16_t>(kLinkOverhead + least);
}

/// What both ends of the link agreed on, or more where the circuit asks for it or the packet cannot do with less.
FrameKind choose_kind(FrameKind of_link, uint8_t treatment, const PacketHeader& packet) noexcept {
  const auto kind = std::min(of_link, least_kind_of(treatment));
  if (kind == FrameKind::frame || packet.route_id == Be32(to_underlying(kControlRoute))) return FrameKind::frame;
  const bool datagram = packet.type == to_underlying(PacketType::datagram);
  if (kind == FrameKind::header && (!datagram || packet.size.get() < kHeaderLeastSize)) return FrameKind::frame;
  return kind;
}

void write_ethernet(const Context& context, const LinkConfig& config, uint8_t* data) noexcept {
  auto& ethernet = *reinterpret_cast<EthernetHeader*>(data - sizeof(EthernetHeader));
  std::memcpy(&ethernet, &config.ethernet, sizeof(ethernet));
  if (config.lane_in_mac) [[unlikely]]
    ethernet.source.back() = static_cast<uint8_t>(context.number);
}

/// What the port left over last time says whether it keeps up: before frames are dropped, senders are told.
[[gnu::noinline]] void mark_congestion(Context& context, Slot& slot) noexcept {
  const PortOutput& output = context.outputs[slot.port];
  if (output.waiting[to_underlying(queue_of(slot.treatment))] < kMarkedFrom) return;
  slot.ecn = Ecn::congestion;
  context.stats_of(*slot.link).marked.add(1);
}

/// By two words that are made in registers: the bytes of a struct would be stored one by one and loaded together, which
/// no store buffer forwards.
void write_header(const Slot& slot, uint8_t* data, FrameKind kind, uint8_t epoch, const LinkConfig& config,
                  Be64 lane_counter) noexcept {
  const Be64 first(uint64_t{version_kind(kind)} << 56 | uint64_t{slot.hop_limit} << 48 | uint64_t{epoch} << 40 |
                   uint64_t{class_ecn_of(slot.treatment, slot.ecn)} << 32 | config.put.peer_index);
  static_assert(sizeof(LinkHeader) == sizeof(first) + sizeof(lane_counter));
  std::memcpy(data, &first, sizeof(first));
  std::memcpy(data + sizeof(first), &lane_counter, sizeof(lane_counter));
}

/// A clear frame has no tag: the link header stands where that would end.
void send_clear(const Context& context, const LinkConfig& config, Slot& slot, size_t packet) noexcept {
  constexpr size_t kLeast = kMinSealedBytes + kTagBytes;
  if (packet < kLeast) pad(slot, packet, kLeast);
  slot.data += kTagBytes;
  slot.length = static_cast<uint16_t>(slot.length - kTagBytes);
  write_ethernet(context, config, slot.data);
  write_header(slot, slot.data, FrameKind::clear, 0, config, Be64(0));
  slot.verdict = Verdict::next;
}

/// True when there is something to seal.
bool prepare(Context& context, const SealLimits& limits, Slot& slot, AeadOp& op) noexcept {
  uint8_t* const data = slot.data;
  Link& link = *slot.link;
  const LinkConfig& config = *link.config.load(std::memory_order_acquire);
  const PacketHeader& inside = packet_header(data);
  const size_t packet = sizeof(PacketHeader) + inside.size.get();
  if (packet < kMinSealedBytes) [[unlikely]]
    pad(slot, packet, kMinSealedBytes);
  if (slot.length > config.put.mtu) [[unlikely]]
    return refuse(slot, Drop::too_big);
  slot.port = static_cast<uint8_t>(config.put.port);
  if (slot.ecn == Ecn::capable_0 || slot.ecn == Ecn::capable_1) mark_congestion(context, slot);
  const FrameKind kind = choose_kind(FrameKind{config.put.kind}, slot.treatment, inside);
  if (kind == FrameKind::clear) {
    send_clear(context, config, slot, packet);
    return false;
  }

  const KeySlot* key = link.send.now();
  if (key == nullptr) [[unlikely]]
    return refuse(slot, Drop::no_send_key);
  const uint32_t length = sealed_length(slot, kind);
  const uint64_t counter = link.workers[context.number].send.next(key->generation, length, limits);
  if (counter == SealCounter::kStopped) [[unlikely]]
    return refuse(slot, Drop::key_exhausted);
  const Be64 lane_counter(uint64_t{context.number} << 56 | counter);
  write_ethernet(context, config, data);
  write_header(slot, data, kind, key->epoch, config, lane_counter);
  make_link_op(*key, data, length, lane_counter, op);
  slot.verdict = Verdict::next;
  return true;
}

}  // namespace

void seal(Context& context, Batch& batch) noexcept {
  const SealLimits limits = context.tables.config().link_keys.seal_limits(kLinkCounters);
  if (context.many_links) {
    for (const Slot& slot : batch) {
      slot.link->prefetch_send(context.number);
      __builtin_prefetch(&context.stats_of(*slot.link));
    }
  }
  unsigned n = 0;
  for (Slot& slot : batch) n += prepare(context, limits, slot, context.ops[n]);
  context.aead.seal({context.ops.data(), n});
}

}  // namespace sky::dataplane
