#include "dataplane/stages/classify.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "dataplane/stages/ended.h"
#include "dataplane/stages/observe.h"
#include "dataplane/stages/punt.h"

namespace sky::dataplane {

namespace {

constexpr size_t kShortest = sizeof(EthernetHeader) + kLinkOverhead + kMinSealedBytes;

// Frames ahead of the one at hand: their buffers come into the cache, then their bytes.
constexpr size_t kBufferAhead = 6;
constexpr size_t kBytesAhead = 3;

/// What a stranger can get wrong, a bit each (three for the reserved ones), in the order of naming. They are gathered
/// without a branch for each: noise would have the CPU guess half of them wrong.
enum Fault : unsigned {
  kOtherType = 1,
  kOtherVersion = 2,
  kOtherKind = 4,
  kHandshake = 8,  ///< no fault, but it names no link
  kReservedSet = unsigned{kReservedClassBits} << 4,
  kNoLink = 128,
  kUnreadable = 256,  ///< alone: too short, too long, or in pieces
};

constexpr std::array<uint8_t, 256> kFaultOfVersionKind = [] {
  std::array<uint8_t, 256> faults{};
  for (unsigned byte = 0; byte < faults.size(); ++byte) {
    const auto kind = static_cast<FrameKind>(byte & 0x0f);
    if (byte >> 4 != kFrameVersion)
      faults[byte] = kOtherVersion;
    else if (kind == FrameKind::handshake)
      faults[byte] = kHandshake;
    else if (kind > FrameKind::clear)
      faults[byte] = kOtherKind;
  }
  return faults;
}();

constexpr std::array<Drop, kUnreadable> kDropOfFaults = [] {
  constexpr std::array kNames{Drop::not_skywire,  Drop::bad_version,  Drop::bad_kind,     Drop::bad_kind,
                              Drop::bad_reserved, Drop::bad_reserved, Drop::bad_reserved, Drop::unknown_link};
  std::array<Drop, kUnreadable> drops{};
  for (unsigned faults = 1; faults < drops.size(); ++faults)
    drops[faults] = kNames[static_cast<unsigned>(std::countr_zero(faults))];
  return drops;
}();

/// Of a port's frames.
struct Wire {
  Be16 ether_type;
  uint32_t longest;

  bool can_read(const rte_mbuf& frame) const {
    return frame.nb_segs == 1 && frame.data_len >= kShortest && frame.data_len <= longest;
  }
  Drop why_not(const rte_mbuf& frame) const {
    if (frame.nb_segs != 1) return Drop::frame_chained;
    if (frame.data_len < kShortest) return Drop::frame_short;
    const auto& ethernet = *rte_pktmbuf_mtod(&frame, const EthernetHeader*);
    return ethernet.ether_type == ether_type ? Drop::frame_long : Drop::not_skywire;
  }
};

bool is_handshake(unsigned faults) {
  return (faults & (kOtherType | kOtherVersion | kOtherKind | kHandshake)) == kHandshake;
}

/// A clear frame has no tag. Behind this stage its packet lies where every other one does.
void make_room_for_tag(Slot& slot) noexcept {
  std::memmove(slot.data - kTagBytes, slot.data, sizeof(LinkHeader));
  slot.data -= kTagBytes;
  slot.length = static_cast<uint16_t>(slot.length + kTagBytes);
}

/// A port's frames, the last one again behind it: who looks ahead asks for no end.
struct Arrivals {
  explicit Arrivals(std::span<rte_mbuf* const> arrived) : count(arrived.size()) {
    const auto end = std::ranges::copy(arrived, frames.begin()).out;
    std::fill_n(end, kBufferAhead, arrived.back());
  }
  /// Into the cache: frames behind the one at hand.
  [[gnu::always_inline]] void bring_bytes(size_t at) const noexcept {
    rte_prefetch0(frames[at + kBufferAhead]);
    rte_prefetch0(rte_pktmbuf_mtod(frames[at + kBytesAhead], const uint8_t*));
  }

  size_t count;
  std::array<rte_mbuf*, kBurst + kBufferAhead> frames;
};

/// Where there are too many links for a cache, all that the burst will read of its own is brought at once: one by one
/// each frame would wait some five times for what another one's link pushed out.
void bring_links(const Context& context, const Wire& wire, const Arrivals& arrived) noexcept {
  struct Brought {
    const Link* link;
    const LinkHeader* header;
  };
  std::array<Brought, kBurst> brought;
  unsigned n = 0;
  for (size_t i = 0; i < arrived.count; ++i) arrived.bring_bytes(i);
  for (size_t i = 0; i < arrived.count; ++i) {
    const rte_mbuf& frame = *arrived.frames[i];
    if (!wire.can_read(frame)) continue;
    const auto& header = *rte_pktmbuf_mtod_offset(&frame, const LinkHeader*, sizeof(EthernetHeader));
    const Link* link = context.tables.links.find(header.link_index.get());
    if (link == nullptr) continue;
    link->prefetch();
    __builtin_prefetch(&context.stats_of(LinkIndex{static_cast<uint16_t>(header.link_index.get())}));
    brought[n++] = {link, &header};
  }
  for (unsigned i = 0; i < n; ++i) brought[i].link->prefetch_receive(*brought[i].header);
}

/// A frame without a fault, by what its link allows.
void admit(PortIndex port, Link& link, Slot& slot) noexcept {
  const Admission admission = link.admission.load(std::memory_order_relaxed);
  const FrameKind kind = kind_of(link_header(slot.data));
  if (admission.port != port) [[unlikely]]
    return drop(slot, Drop::wrong_port);
  if (to_underlying(kind) > admission.least_kind) [[unlikely]]
    return drop(slot, Drop::weak_kind);
  if (kind == FrameKind::header && slot.length < kLinkOverhead + kHeaderSealed) [[unlikely]]
    return drop(slot, Drop::frame_short);
  if (kind == FrameKind::clear) make_room_for_tag(slot);
  slot.link = &link;
  slot.verdict = Verdict::next;
}

/// Of a frame that may be shorter than its Ethernet header.
uint16_t carrier_payload(const rte_mbuf& frame) noexcept {
  return static_cast<uint16_t>(frame.data_len - std::min<size_t>(frame.data_len, sizeof(EthernetHeader)));
}

/// A frame that somebody looks at, or of a handshake, or both.
[[gnu::noinline]] void take_otherwise(Context& context, PortIndex port, Link* link, unsigned faults, Drop why,
                                      Slot& slot) noexcept {
  if (context.watch != nullptr) observe_received(context, port, slot);
  if (faults == 0) return admit(port, *link, slot);
  is_handshake(faults) ? punt_handshake(context, port, slot) : drop(slot, why);
}

}  // namespace

uint64_t classify(Context& context, PortIndex port, std::span<rte_mbuf* const> frames, Batch& batch) noexcept {
  const Wire wire{.ether_type = context.ether_types[to_underlying(port)],
                  .longest = context.ports[to_underlying(port)]->mtu() + uint32_t{sizeof(EthernetHeader)}};
  const IndexTable<Link>& links = context.tables.links;
  const bool watched = context.watch != nullptr;
  const Arrivals arrived(frames);
  if (context.many_links) bring_links(context, wire, arrived);
  Ended ended;
  uint64_t bytes = 0;
  for (size_t i = 0; i < arrived.count; ++i) {
    arrived.bring_bytes(i);
    rte_mbuf& frame = *arrived.frames[i];
    auto* ethernet = rte_pktmbuf_mtod(&frame, EthernetHeader*);
    auto* data = reinterpret_cast<uint8_t*>(ethernet + 1);
    bytes += frame.data_len;

    unsigned faults = kUnreadable;
    Link* link = nullptr;
    if (wire.can_read(frame)) [[likely]] {
      const LinkHeader& header = link_header(data);
      link = links.find(header.link_index.get());
      faults = (ethernet->ether_type == wire.ether_type ? 0u : kOtherType) | kFaultOfVersionKind[header.version_kind] |
               (unsigned{header.class_ecn} << 4 & kReservedSet) | (link == nullptr ? kNoLink : 0u);
    }
    if (faults == 0 && !watched) [[likely]] {
      Slot& slot = batch.add();
      slot = {.mbuf = &frame, .data = data, .length = static_cast<uint16_t>(frame.data_len - sizeof(EthernetHeader))};
      admit(port, *link, slot);
      continue;
    }
    const Drop why = faults == kUnreadable ? wire.why_not(frame) : kDropOfFaults[faults];
    if (!watched && !is_handshake(faults)) {
      ended.drop(&frame, why);
      continue;
    }
    Slot& slot = batch.add();
    slot = {.mbuf = &frame, .data = data, .length = carrier_payload(frame)};
    take_otherwise(context, port, link, faults, why, slot);
  }
  ended.finish(context);
  return bytes;
}

}  // namespace sky::dataplane
