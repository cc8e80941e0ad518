#include "dataplane/stages/observe.h"

#include <cstring>

#include "dataplane/watch.h"

namespace sky::dataplane {

static_assert(static_cast<size_t>(Verdict::handed) + 1 == kVerdictNames.size());

namespace {

/// What of a packet can be looked at, from a point of its way on.
struct View {
  Form form = Form::wire;
  const uint8_t* ethernet = nullptr;  ///< nullptr: none around it
  const uint8_t* frame = nullptr;     ///< link header first, or the IP packet; nullptr: another's by now
  uint16_t length = 0;
  bool sealed = true;  ///< route ID and type cannot be read
  bool whole = true;   ///< false: the link header is not written yet
};

bool is_clear(const uint8_t* frame) noexcept {
  return frame[0] == version_kind(FrameKind::clear);
}

/// A frame as the port gave it: slots do not know it by its start any more.
View as_received(const Slot& slot) noexcept {
  return {.form = Form::wire, .frame = rte_pktmbuf_mtod(slot.mbuf, const uint8_t*), .length = slot.mbuf->data_len};
}

View on_wire(const Slot& slot) noexcept {
  const uint8_t* start = slot.data - sizeof(EthernetHeader);
  return {.form = Form::wire, .frame = start, .length = static_cast<uint16_t>(slot.length + sizeof(EthernetHeader))};
}

View opened(const Slot& slot) noexcept {
  View view{.form = Form::opened, .frame = slot.data, .length = slot.length, .sealed = false};
  // What made room for the missing tag lies over the Ethernet header.
  if (!is_clear(slot.data)) view.ethernet = slot.data - sizeof(EthernetHeader);
  return view;
}

View without_frame(const Slot& slot) noexcept {
  return {.form = Form::opened, .frame = slot.data, .length = slot.length, .sealed = false, .whole = false};
}

View plain_ip(const Slot& slot) noexcept {
  return {.form = Form::ip, .frame = slot.data, .length = slot.length};
}

/// After its end-to-end opening a slot holds the inner packet alone, in place.
View behind_egress(const Slot& slot) noexcept {
  const auto offset = slot.data - rte_pktmbuf_mtod(slot.mbuf, const uint8_t*);
  // The frame of one that is clear begins kTagBytes earlier.
  if (offset < static_cast<ptrdiff_t>(kDatagramOverhead - kTagBytes)) return opened(slot);
  Slot whole = slot;
  whole.data -= kDatagramOverhead;
  whole.length = static_cast<uint16_t>(whole.length + kDatagramOverhead);
  View view = opened(whole);
  view.form = Form::opened_inside;
  return view;
}

View behind_ingress(const Slot& slot) noexcept {
  if (slot.verdict == Verdict::next) return without_frame(slot);
  // These two were prepared and not sealed.
  const bool prepared =
      slot.verdict == Verdict::drop && (slot.drop == Drop::no_send_key || slot.drop == Drop::key_exhausted);
  if (!prepared) return plain_ip(slot);
  Slot inner = slot;
  inner.data += kDatagramOverhead;
  inner.length = static_cast<uint16_t>(inner.length - kDatagramOverhead);
  return plain_ip(inner);
}

View view_of(const Slot& slot, Stage stage) noexcept {
  if (slot.verdict == Verdict::handed) return {};
  switch (stage) {
    case Stage::classify:
      return slot.verdict == Verdict::next && is_clear(slot.data) ? opened(slot) : as_received(slot);
    case Stage::open:
      return slot.verdict == Verdict::next ? opened(slot) : on_wire(slot);
    case Stage::egress:
      return behind_egress(slot);
    case Stage::ingress:
      return behind_ingress(slot);
    case Stage::hold:
      return plain_ip(slot);
    case Stage::seal:
      return slot.verdict == Verdict::next ? on_wire(slot) : without_frame(slot);
    case Stage::receive:
      return as_received(slot);
    case Stage::transmit:
      return on_wire(slot);
    default:
      return opened(slot);
  }
}

uint8_t points_of(const Slot& slot, Stage stage, Form form) noexcept {
  uint8_t points = kWatchStages;
  if (stage == Stage::receive) points |= kWatchRx;
  const bool drop = slot.verdict == Verdict::drop;
  if (stage == Stage::transmit && !drop) points |= kWatchTx;
  if (drop) points |= kWatchDropped;
  if (stage == Stage::open && !drop) points |= kWatchOpened;
  if (stage == Stage::egress && !drop && form == Form::opened_inside) points |= kWatchOpened;
  return points;
}

bool matches(const WatchMessage& ask, const Slot& slot, const View& view, LinkIndex link, PortIndex port) noexcept {
  if ((ask.matches & kMatchPort) != 0 && ask.port != port) return false;
  if ((ask.matches & kMatchLink) != 0 && ask.link != link) return false;
  if ((ask.matches & kMatchReason) != 0 &&
      (slot.verdict != Verdict::drop || ask.reason != static_cast<uint8_t>(slot.drop)))
    return false;
  if ((ask.matches & (kMatchRoute | kMatchType)) == 0) return true;
  if (view.sealed) return false;
  const auto& packet = *reinterpret_cast<const PacketHeader*>(view.frame + kLinkOverhead);
  if ((ask.matches & kMatchRoute) != 0 && packet.route_id.get() != to_underlying(ask.route)) return false;
  return (ask.matches & kMatchType) == 0 || packet.type == ask.type;
}

class Writer {
 public:
  explicit Writer(SeenPacket& seen) : seen_(seen) {}
  void add(const uint8_t* bytes, size_t length) noexcept {
    const size_t room = seen_.bytes.size() - seen_.kept;
    std::memcpy(seen_.bytes.data() + seen_.kept, bytes, std::min(length, room));
    seen_.kept = static_cast<uint16_t>(seen_.kept + std::min(length, room));
    seen_.length = static_cast<uint16_t>(seen_.length + length);
  }

 private:
  SeenPacket& seen_;
};

/// A frame that is opened stands as scripts/open-capture has it: Ethernet header, link header, tag unless it is clear,
/// packet. What is not there yet is zeros.
void write_bytes(const Slot& slot, const View& view, SeenPacket& seen) noexcept {
  Writer out(seen);
  if (view.frame == nullptr) return;
  if (view.form == Form::wire || view.form == Form::ip) return out.add(view.frame, view.length);
  constexpr EthernetHeader kNone{};
  out.add(view.ethernet != nullptr ? view.ethernet : reinterpret_cast<const uint8_t*>(&kNone), sizeof(kNone));
  if (view.whole) {
    const bool clear = is_clear(view.frame);
    out.add(view.frame, clear ? sizeof(LinkHeader) : kLinkOverhead);
  } else {
    struct {
      LinkHeader header{};
      std::array<uint8_t, kTagBytes> tag{};
    } made;
    made.header.version_kind = version_kind(FrameKind::frame);
    made.header.hop_limit = slot.hop_limit;
    made.header.class_ecn = class_ecn_of(slot.treatment, slot.ecn);
    out.add(reinterpret_cast<const uint8_t*>(&made), sizeof(made));
  }
  out.add(view.frame + kLinkOverhead, view.length - kLinkOverhead);
  // Padding comes with the sealing.
  constexpr std::array<uint8_t, kMinSealedBytes> kPadding{};
  const size_t packet = view.length - kLinkOverhead;
  if (packet < kMinSealedBytes) out.add(kPadding.data(), kMinSealedBytes - packet);
}

PortIndex port_of(const Link* link) noexcept {
  return link == nullptr ? kNoPort : link->config.load(std::memory_order_acquire)->put.port;
}

/// Numbers a packet that matches and has no number yet; false while it has none.
bool follow(Watch& watch, Slot& slot, const View& view, LinkIndex link, PortIndex port) noexcept {
  if (slot.watched == 0 && matches(watch.ask, slot, view, link, port)) slot.watched = watch.number_packet();
  return slot.watched != 0;
}

void observe_one(Context& context, Slot& slot, Stage stage, const Link* link, PortIndex port) noexcept {
  Watch& watch = *context.watch;
  const View view = view_of(slot, stage);
  const LinkIndex index = link == nullptr ? kNoLink : link->index;
  if (!follow(watch, slot, view, index, port)) return;
  const auto points = static_cast<uint8_t>(points_of(slot, stage, view.form) & watch.ask.points);
  if (points == 0 || (!watch.whole_packets() && Watch::take(watch.records, watch.ask.count) == 0)) return;
  SeenPacket seen{.request = watch.ask.request,
                  .packet = slot.watched,
                  .at_ns = context.now_ns,
                  .points = points,
                  .stage = stage,
                  .verdict = static_cast<uint8_t>(slot.verdict),
                  .reason = slot.verdict == Verdict::drop ? static_cast<uint8_t>(slot.drop) : uint8_t{0},
                  .form = view.form,
                  .worker = static_cast<uint8_t>(context.number),
                  .link = index,
                  .port = port};
  write_bytes(slot, view, seen);
  context.wake_main = true;
  if (!watch.seen[context.number]->producer.push(seen)) watch.missed.fetch_add(1, std::memory_order_relaxed);
}

/// By what its header says: nobody looked at the frame yet.
const Link* link_of(const Context& context, const Slot& slot) noexcept {
  if (slot.mbuf->data_len < sizeof(EthernetHeader) + sizeof(LinkHeader)) return nullptr;
  const LinkHeader& header = link_header(slot.data);
  if (header.version_kind >> 4 != kFrameVersion || kind_of(header) > FrameKind::clear) return nullptr;
  return context.tables.links.find(header.link_index.get());
}

Slot slot_of(rte_mbuf* mbuf, size_t skip) noexcept {
  Slot slot{};
  slot.mbuf = mbuf;
  slot.data = rte_pktmbuf_mtod(mbuf, uint8_t*) + skip;
  slot.length = static_cast<uint16_t>(rte_pktmbuf_data_len(mbuf) - skip);
  return slot;
}

}  // namespace

void observe(Context& context, Batch& batch, Stage stage) noexcept {
  for (Slot& slot : batch) {
    // Behind `seal` the zero verdict is what settle left.
    const Verdict verdict = slot.verdict;
    if (stage == Stage::transmit) slot.verdict = Verdict::next;
    const PortIndex port = slot.link == nullptr && stage == Stage::classify ? context.polled : port_of(slot.link);
    observe_one(context, slot, stage, slot.link, port);
    slot.verdict = verdict;
  }
}

void observe_made(Context& context, Batch& batch) noexcept {
  for (Slot& slot : batch) follow(*context.watch, slot, without_frame(slot), slot.link->index, port_of(slot.link));
}

void observe_received(Context& context, PortIndex port, Slot& slot) noexcept {
  context.polled = port;
  const Verdict verdict = std::exchange(slot.verdict, Verdict::next);
  observe_one(context, slot, Stage::receive, link_of(context, slot), port);
  slot.verdict = verdict;
}

void observe_refused(Context& context, PortIndex port, rte_mbuf* frame) noexcept {
  Slot slot = slot_of(frame, sizeof(EthernetHeader));
  drop(slot, Drop::port_full);
  observe_one(context, slot, Stage::transmit, nullptr, port);
}

void observe_handshake(Context& context, PortIndex port, rte_mbuf* frame) noexcept {
  Slot slot = slot_of(frame, sizeof(EthernetHeader));
  slot.verdict = Verdict::next;
  observe_one(context, slot, Stage::transmit, nullptr, port);
}

void observe_expired(Context& context, rte_mbuf* packet) noexcept {
  Slot slot = slot_of(packet, 0);
  drop(slot, Drop::hold_expired);
  observe_one(context, slot, Stage::hold, nullptr, kNoPort);
}

}  // namespace sky::dataplane
