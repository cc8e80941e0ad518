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

/// Made in a register and stored whole: the parts of a struct would be stored one by one and loaded together, which no
/// store buffer forwards.
__m128i make_header(const Slot& slot, FrameKind kind, uint8_t epoch, const LinkConfig& config, uint64_t lane_counter) {
  static_assert(sizeof(LinkHeader) == sizeof(__m128i));
  const uint64_t first = uint64_t{version_kind(kind)} << 56 | uint64_t{slot.hop_limit} << 48 | uint64_t{epoch} << 40 |
                         uint64_t{class_ecn_of(slot.treatment, slot.ecn)} << 32 | config.put.peer_index;
  return _mm_set_epi64x(static_cast<int64_t>(byte_swap(lane_counter)), static_cast<int64_t>(byte_swap(first)));
}
void write_header(uint8_t* data, __m128i header) noexcept {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(data), header);
}

/// A clear frame has no tag: the link header stands where that would end.
void send_clear(const Context& context, const LinkConfig& config, Slot& slot, size_t packet) noexcept {
  constexpr size_t kLeast = kMinSealedBytes + kTagBytes;
  if (packet < kLeast) pad(slot, packet, kLeast);
  slot.data += kTagBytes;
  slot.length = static_cast<uint16_t>(slot.length - kTagBytes);
  write_ethernet(context, config, slot.data);
  write_header(slot.data, make_header(slot, FrameKind::clear, 0, config, 0));
  slot.verdict = Verdict::next;
}

/// One burst's: what holds for all of it, and what is left of its AEAD once the headers are written.
struct Pass {
  SealLimits limits;
  bool ahead;  ///< AES runs ahead of frames of kind `header`
  unsigned ops = 0, hashes = 0;
};

void prepare(Context& context, Pass& pass, Slot& slot) noexcept {
  uint8_t* const data = slot.data;
  Link& link = *slot.link;
  const LinkConfig& config = *link.config.load(std::memory_order_acquire);
  const PacketHeader& inside = packet_header(data);
  const size_t packet = sizeof(PacketHeader) + inside.size.get();
  if (packet < kMinSealedBytes) [[unlikely]]
    pad(slot, packet, kMinSealedBytes);
  if (slot.length > config.put.mtu) [[unlikely]]
    return drop(slot, Drop::too_big);
  slot.port = static_cast<uint8_t>(config.put.port);
  if (slot.ecn == Ecn::capable_0 || slot.ecn == Ecn::capable_1) mark_congestion(context, slot);
  const FrameKind kind = choose_kind(FrameKind{config.put.kind}, slot.treatment, inside);
  if (kind == FrameKind::clear) return send_clear(context, config, slot, packet);

  const KeySlot* key = link.send.now();
  if (key == nullptr) [[unlikely]]
    return drop(slot, Drop::no_send_key);
  LinkWorker& mine = *link.lanes[context.number].worker;
  const uint32_t length = sealed_length(slot, kind);
  const uint64_t counter = mine.send.next(key->generation, length, pass.limits);
  if (counter == SealCounter::kStopped) [[unlikely]]
    return drop(slot, Drop::key_exhausted);
  const uint64_t lane_counter = uint64_t{context.number} << 56 | counter;
  const __m128i header = make_header(slot, kind, key->epoch, config, lane_counter);
  write_ethernet(context, config, data);
  write_header(data, header);
  slot.verdict = Verdict::next;
  if (pass.ahead && kind == FrameKind::header && key->suite == Suite::aes_256_gcm) {
    context.hashed[pass.hashes] = mine.streams.seal(context.aead, *key, context.number, counter, header, data);
    context.hash_ops[pass.hashes++] = {&key->key, link_tag(data)};
  } else {
    mine.streams.pass(*key, context.number, counter);
    make_link_op(*key, data, length, Be64(lane_counter), context.ops[pass.ops++]);
  }
}

}  // namespace

void seal(Context& context, Batch& batch) noexcept {
  if (context.many_links) {
    for (const Slot& slot : batch) slot.link->prefetch();
    for (const Slot& slot : batch) {
      slot.link->prefetch_send(context.number);
      __builtin_prefetch(&context.stats_of(*slot.link));
    }
  }
  // For more links than a cache holds, streams in memory cost more than they save.
  Pass pass{.limits = context.tables.config().link_keys.seal_limits(kLinkCounters),
            .ahead = context.aead.has_halves() && !context.many_links};
  for (Slot& slot : batch) prepare(context, pass, slot);
  context.aead.seal({context.ops.data(), pass.ops});
  context.aead.add_hashes({context.hash_ops.data(), pass.hashes}, {context.hashed.data(), pass.hashes});
}

}  // namespace sky::dataplane
