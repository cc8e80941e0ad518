#include "controlplane/signalling/messages.h"

#include <sodium.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <span>

#include "dataplane/base/endian.h"

namespace sky::controlplane {
namespace {

constexpr uint8_t kRefreshFlag = 1;
constexpr uint8_t kStandbyFlag = 2;

struct SetupWire {
  uint8_t message, flags, attempt, hop;
  CircuitId circuit;
  Be32 life_s;
  uint8_t queue_class, protect;
  Be16 mtu;
  Be32 return_route;
  Be16 stream_to_egress, stream_to_ingress;
  uint8_t hop_limit, nodes;
  SetupProof proof;
  LinkId alternate_link;
  Be32 alternate_route, rate_kbit_s;
  Be16 copy_stream;
  uint8_t copy_window;
};
struct ReplyWire {
  uint8_t message, flags, hop, copy_window;
  CircuitId circuit;
  Be32 forward_route, alternate_route;
  Be16 mtu;
};
/// Of refused, close, trace and trace_reply.
struct ShortWire {
  uint8_t message, first, second, reserved;
  CircuitId circuit;
};
struct TraceReplyTail {
  Be32 probe;
  Ipv6Address address;
};
static_assert(sizeof(SetupWire) == 73 && sizeof(ReplyWire) == 30 && sizeof(ShortWire) == 20);
static_assert(sizeof(PathNode) == 24 && sizeof(TraceReplyTail) == 20);
static_assert(sizeof(SetupWire) + kMostPathNodes * sizeof(PathNode) + 2 + kMostBlobBytes <= kMaxSignalBytes);

class Writer {
 public:
  template <typename T>
  Writer& add(const T& value) {
    static_assert(std::is_trivially_copyable_v<T> && alignof(T) == 1);
    const auto* at = reinterpret_cast<const uint8_t*>(&value);
    bytes_.insert(bytes_.end(), at, at + sizeof value);
    return *this;
  }
  Writer& add_blob(const Bytes& blob) {
    add(Be16(static_cast<uint16_t>(blob.size())));
    bytes_.insert(bytes_.end(), blob.begin(), blob.end());
    return *this;
  }
  Bytes take() { return std::move(bytes_); }

 private:
  Bytes bytes_;
};

/// Takes from the front; once something is missing, everything is.
class Reader {
 public:
  explicit Reader(std::span<const uint8_t> bytes) : rest_(bytes) {}

  template <typename T>
  std::optional<T> take() {
    static_assert(std::is_trivially_copyable_v<T> && alignof(T) == 1);
    if (rest_.size() < sizeof(T)) {
      rest_ = {};
      return std::nullopt;
    }
    T value;
    std::memcpy(&value, rest_.data(), sizeof value);
    rest_ = rest_.subspan(sizeof value);
    return value;
  }
  std::span<const uint8_t> take_all() { return std::exchange(rest_, {}); }
  /// Length and bytes, to the end of the message.
  std::optional<Bytes> take_blob() {
    const auto size = take<Be16>();
    if (!size || size->get() > kMostBlobBytes || rest_.size() != size->get()) return std::nullopt;
    const auto all = take_all();
    return Bytes(all.begin(), all.end());
  }
  bool at_end() const { return rest_.empty(); }

 private:
  std::span<const uint8_t> rest_;
};

Bytes write(const Setup& setup) {
  Writer out;
  out.add(
      SetupWire{.message = to_underlying(SignalType::setup),
                .flags = static_cast<uint8_t>((setup.refresh ? kRefreshFlag : 0) | (setup.standby ? kStandbyFlag : 0)),
                .attempt = setup.attempt,
                .hop = setup.hop,
                .circuit = setup.circuit,
                .life_s = Be32(setup.life_s),
                .queue_class = static_cast<uint8_t>(setup.treatment & (kTreatmentClass | kTreatmentQueue)),
                .protect = to_underlying(least_kind_of(setup.treatment)),
                .mtu = Be16(setup.mtu),
                .return_route = Be32(to_underlying(setup.return_route)),
                .stream_to_egress = Be16(setup.stream_to_egress),
                .stream_to_ingress = Be16(setup.stream_to_ingress),
                .hop_limit = setup.hop_limit,
                .nodes = static_cast<uint8_t>(setup.path.size()),
                .proof = setup.proof,
                .alternate_link = setup.alternate.link,
                .alternate_route = Be32(to_underlying(setup.alternate.route)),
                .rate_kbit_s = Be32(setup.rate_kbit_s),
                .copy_stream = Be16(setup.copied.stream),
                .copy_window = setup.copied.window});
  for (const PathNode& node : setup.path) out.add(node);
  return out.add_blob(setup.blob).take();
}

Bytes write(const SetupReply& reply) {
  const ReplyWire head{.message = to_underlying(SignalType::setup_reply),
                       .flags = 0,
                       .hop = reply.hop,
                       .copy_window = reply.copy_window,
                       .circuit = reply.circuit,
                       .forward_route = Be32(to_underlying(reply.forward_route)),
                       .alternate_route = Be32(to_underlying(reply.alternate_route)),
                       .mtu = Be16(reply.mtu)};
  return Writer().add(head).add_blob(reply.blob).take();
}

ShortWire short_wire(SignalType type, uint8_t first, uint8_t second, const CircuitId& circuit) {
  return {.message = to_underlying(type), .first = first, .second = second, .reserved = 0, .circuit = circuit};
}

Bytes write(const SetupRefused& refused) {
  Bytes bytes =
      Writer()
          .add(short_wire(SignalType::setup_refused, to_underlying(refused.reason), refused.hop, refused.circuit))
          .take();
  const size_t length = std::min(refused.text.size(), kMostReasonText);
  bytes.insert(bytes.end(), refused.text.begin(), refused.text.begin() + static_cast<ptrdiff_t>(length));
  return bytes;
}

Bytes write(const Close& close) {
  return Writer()
      .add(short_wire(SignalType::close, to_underlying(close.reason), to_underlying(close.towards), close.circuit))
      .take();
}

Bytes write(const Trace& trace) {
  return Writer()
      .add(short_wire(SignalType::trace, to_underlying(trace.towards), trace.hop, trace.circuit))
      .add(Be32(trace.probe))
      .take();
}

Bytes write(const TraceReply& reply) {
  return Writer()
      .add(short_wire(SignalType::trace_reply, to_underlying(reply.towards), reply.hop, reply.circuit))
      .add(TraceReplyTail{Be32(reply.probe), reply.address})
      .take();
}

bool is_good_stream(uint16_t stream) {
  return stream < kStreams && stream % kStreamsPerCircuit == 0;
}

bool is_good_window(uint8_t window) {
  return window == 0 || (window >= kLeastCopyWindow && window <= kMostCopyWindow);
}

Result<> check_path(const Setup& setup) {
  const auto& path = setup.path;
  if (setup.hop == 0 || setup.hop >= path.size()) {
    return fail("setup: found hop {}, wanted 1 to {}", setup.hop, path.size() - 1);
  }
  if (path.front().link != LinkId{}) return fail("setup: found a link into the ingress, wanted none");
  for (size_t i = 0; i < path.size(); ++i) {
    if (i != 0 && path[i].link == LinkId{}) return fail("setup: found no link into node {} of the path", i);
    for (size_t j = 0; j < i; ++j) {
      if (path[i].address == path[j].address) return fail("setup: found one node at {} and {} of the path", j, i);
    }
  }
  return {};
}

Result<> check(const Setup& setup) {
  if (setup.life_s == 0 || setup.life_s > kMostLife_s) {
    return fail("setup: found a life of {} s, wanted 1 to {}", setup.life_s, kMostLife_s);
  }
  if (setup.mtu < kLeastMtu) return fail("setup: found an MTU of {}, wanted at least {}", setup.mtu, kLeastMtu);
  if (setup.return_route == kControlRoute) return fail("setup: found return route 0");
  const bool realtime = (setup.treatment & kTreatmentQueue) == to_underlying(Queue::realtime);
  if (realtime ? setup.rate_kbit_s < kLeastRate_kbit_s || setup.rate_kbit_s > kMostRate_kbit_s
               : setup.rate_kbit_s != 0) {
    return fail("setup: found a rate of {} kbit/s, wanted {} to {} in queue 1, 0 in queue 2", setup.rate_kbit_s,
                kLeastRate_kbit_s, kMostRate_kbit_s);
  }
  if ((setup.alternate.link == LinkId{}) != (setup.alternate.route == kControlRoute)) {
    return fail("setup: found half an alternate, wanted link and route or neither");
  }
  if (!is_good_stream(setup.stream_to_egress) || !is_good_stream(setup.stream_to_ingress)) {
    return fail("setup: found streams {} and {}, wanted multiples of {} below {}", setup.stream_to_egress,
                setup.stream_to_ingress, kStreamsPerCircuit, kStreams);
  }
  const CopiedStreams& copied = setup.copied;
  if (!is_good_window(copied.window) || (copied.window == 0 ? copied.stream != 0 : !is_good_stream(copied.stream))) {
    return fail("setup: found copied stream {} with window {}, wanted a multiple of {} below {} with {} to {}",
                copied.stream, copied.window, kStreamsPerCircuit, kStreams, kLeastCopyWindow, kMostCopyWindow);
  }
  if (setup.hop_limit < kLeastHopLimit || setup.hop_limit > kMostHopLimit) {
    return fail("setup: found hop limit {}, wanted {} to {}", setup.hop_limit, kLeastHopLimit, kMostHopLimit);
  }
  return check_path(setup);
}

Result<Signal> read_setup(Reader in) {
  const auto head = in.take<SetupWire>();
  if (!head) return fail("setup: found less than {} bytes", sizeof(SetupWire));
  if (head->protect > to_underlying(FrameKind::clear)) {
    return fail("setup: found protect {}, wanted 0, 1 or 2", head->protect);
  }
  const unsigned queue = head->queue_class & kTreatmentQueue;
  if (queue == 3 || queue == 0 || (head->queue_class & ~(kTreatmentClass | kTreatmentQueue)) != 0) {
    return fail("setup: found queue and class {:#x}, wanted a queue of 1 or 2", head->queue_class);
  }
  if ((head->flags & ~(kRefreshFlag | kStandbyFlag)) != 0) return fail("setup: found unknown flags {:#x}", head->flags);
  if (head->nodes < 2 || head->nodes > kMostPathNodes) {
    return fail("setup: found a path of {} nodes, wanted 2 to {}", head->nodes, kMostPathNodes);
  }
  Setup setup{.refresh = (head->flags & kRefreshFlag) != 0,
              .standby = (head->flags & kStandbyFlag) != 0,
              .attempt = head->attempt,
              .hop = head->hop,
              .circuit = head->circuit,
              .life_s = head->life_s.get(),
              .treatment = make_treatment(head->queue_class, FrameKind{head->protect}),
              .mtu = head->mtu.get(),
              .return_route = RouteId{head->return_route.get()},
              .alternate = {.link = head->alternate_link, .route = RouteId{head->alternate_route.get()}},
              .stream_to_egress = head->stream_to_egress.get(),
              .stream_to_ingress = head->stream_to_ingress.get(),
              .hop_limit = head->hop_limit,
              .rate_kbit_s = head->rate_kbit_s.get(),
              .copied = {.stream = head->copy_stream.get(), .window = head->copy_window},
              .proof = head->proof,
              .path = {},
              .blob = {}};
  for (unsigned i = 0; i < head->nodes; ++i) {
    const auto node = in.take<PathNode>();
    if (!node) return fail("setup: found {} nodes of the path, wanted {}", i, head->nodes);
    setup.path.push_back(*node);
  }
  auto blob = in.take_blob();
  if (!blob)
    return fail("setup: found a session blob that is not as long as it says, or over {} bytes", kMostBlobBytes);
  setup.blob = std::move(*blob);
  if (auto checked = check(setup); !checked) return std::unexpected(checked.error());
  return setup;
}

Result<Signal> read_reply(Reader in) {
  const auto head = in.take<ReplyWire>();
  if (!head) return fail("setup_reply: found less than {} bytes", sizeof(ReplyWire));
  if (head->flags != 0) return fail("setup_reply: found unknown flags {:#x}", head->flags);
  if (!is_good_window(head->copy_window)) return fail("setup_reply: found a window of {}", head->copy_window);
  auto blob = in.take_blob();
  if (!blob) return fail("setup_reply: found a session blob that is not as long as it says, or too long");
  if (head->forward_route.get() == 0) return fail("setup_reply: found forward route 0");
  if (head->hop == 0 || head->hop >= kMostPathNodes) return fail("setup_reply: found hop {}", head->hop);
  if (head->mtu.get() < kLeastMtu) return fail("setup_reply: found an MTU of {}", head->mtu.get());
  return SetupReply{.hop = head->hop,
                    .circuit = head->circuit,
                    .forward_route = RouteId{head->forward_route.get()},
                    .alternate_route = RouteId{head->alternate_route.get()},
                    .mtu = head->mtu.get(),
                    .copy_window = head->copy_window,
                    .blob = std::move(*blob)};
}

Result<Signal> read_refused(const ShortWire& head, Reader in) {
  if (head.first == 0 || head.first >= to_underlying(CircuitReason::count)) {
    return fail("setup_refused: found reason {}", head.first);
  }
  const auto text = in.take_all();
  if (text.size() > kMostReasonText) return fail("setup_refused: found a text of {} bytes", text.size());
  if (!std::ranges::all_of(text, [](uint8_t byte) { return byte >= 0x20 && byte < 0x7f; })) {
    return fail("setup_refused: found a text that is not printable");
  }
  return SetupRefused{.reason = CircuitReason{head.first},
                      .hop = head.second,
                      .circuit = head.circuit,
                      .text = std::string(text.begin(), text.end())};
}

Result<Signal> read_close(const ShortWire& head, const Reader& in) {
  if (!in.at_end()) return fail("close: found bytes behind its end");
  if (head.first == 0 || head.first >= to_underlying(CircuitReason::count))
    return fail("close: found reason {}", head.first);
  if (head.second > 1) return fail("close: found direction {}", head.second);
  return Close{.reason = CircuitReason{head.first}, .towards = Towards{head.second}, .circuit = head.circuit};
}

Result<Signal> read_trace(const ShortWire& head, Reader in) {
  if (head.first > 1 || head.second >= kMostPathNodes)
    return fail("trace: found direction {}, hop {}", head.first, head.second);
  if (head.message == to_underlying(SignalType::trace)) {
    const auto probe = in.take<Be32>();
    if (!probe || !in.at_end()) return fail("trace: found another length than {} bytes", sizeof head + sizeof(Be32));
    return Trace{.towards = Towards{head.first}, .hop = head.second, .circuit = head.circuit, .probe = probe->get()};
  }
  const auto tail = in.take<TraceReplyTail>();
  if (!tail || !in.at_end()) return fail("trace_reply: found another length than {} bytes", sizeof head + sizeof *tail);
  return TraceReply{.towards = Towards{head.first},
                    .hop = head.second,
                    .circuit = head.circuit,
                    .probe = tail->probe.get(),
                    .address = tail->address};
}

}  // namespace

LinkId link_id(std::string_view link_name) {
  std::array<uint8_t, crypto_generichash_BYTES> hash;
  crypto_generichash(hash.data(), hash.size(), reinterpret_cast<const uint8_t*>(link_name.data()), link_name.size(),
                     nullptr, 0);
  LinkId id;
  std::copy_n(hash.begin(), id.size(), id.begin());
  return id;
}

std::string_view name_of(CircuitReason reason) {
  static constexpr std::array<std::string_view, to_underlying(CircuitReason::count)> kNames{
      "none",     "malformed",    "not here",     "full",         "quota",       "too fast", "link down",
      "conflict", "unknown peer", "need session", "session busy", "bad session", "idle",     "replaced",
      "expired",  "shutdown",     "not proven",   "damaged",      "no bandwidth"};
  return reason < CircuitReason::count ? kNames[to_underlying(reason)] : "unknown reason";
}

Bytes proven_bytes(Setup setup) {
  setup.refresh = false;
  setup.attempt = setup.hop = 0;
  setup.mtu = 0;
  setup.return_route = {};
  setup.alternate = {};
  setup.proof = {};
  return write(setup);
}

Bytes encode_signal(const Signal& signal) {
  return std::visit([](const auto& each) { return write(each); }, signal);
}

Result<Signal> decode_signal(std::span<const uint8_t> bytes) {
  if (bytes.empty()) return fail("signal: found nothing, wanted a message");
  Reader in(bytes);
  const SignalType type{bytes.front()};
  if (type == SignalType::setup) return read_setup(in);
  if (type == SignalType::setup_reply) return read_reply(in);
  const auto head = in.take<ShortWire>();
  if (!head) return fail("signal: found {} bytes, wanted at least {}", bytes.size(), sizeof(ShortWire));
  if (head->reserved != 0) return fail("signal: found a reserved byte in use");
  switch (type) {
    case SignalType::setup_refused:
      return read_refused(*head, in);
    case SignalType::close:
      return read_close(*head, in);
    case SignalType::trace:
    case SignalType::trace_reply:
      return read_trace(*head, in);
    default:
      return fail("signal: found message {}, wanted 1 to 6", bytes.front());
  }
}

std::string circuit_text(const CircuitId& circuit) {
  std::string text;
  for (const uint8_t byte : circuit) text += fmt::format("{:02x}", byte);
  return text;
}

}  // namespace sky::controlplane
