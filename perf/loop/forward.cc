#include "perf/loop/forward.h"

#include <rte_mbuf.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "perf/loop/macswap.h"
#include "perf/loop/route_ids.h"

namespace sky::perf {

using namespace sky::dataplane;
using namespace sky::test;

namespace {

constexpr uint16_t kJumbo = 9216;

}  // namespace

NodeConfig config_of(const ForwardSpec& spec) {
  NodeConfig config = kNode;
  if (*std::ranges::max_element(spec.packet_bytes) + kLinkOverhead > config.mtu) config.mtu = kJumbo;
  config.capacities.links = std::max(config.capacities.links, spec.links + 1);
  config.capacities.rules = std::max(config.capacities.rules, std::bit_ceil(spec.circuits));
  return config;
}

Forward::Forward(const ForwardSpec& spec, Node& node, const Lane& lane)
    : kind_(spec.kind),
      packet_bytes_(spec.packet_bytes),
      zipf_(spec.zipf),
      node_(node),
      lane_(lane),
      pattern_(pattern(most_bytes())),
      travelling_(kChunk) {
  const unsigned half = std::max(spec.links / 2, 1u);
  Neighbours wanted{.first = lane.first_link,
                    .count = half,
                    .port = lane.in_port,
                    .kind = spec.kind,
                    .suite = spec.suite,
                    .mtu = in_port().port().mtu()};
  in_ = add_neighbours(node_, wanted);
  wanted.first = static_cast<uint16_t>(lane.first_link + half);
  wanted.port = lane.out_port;
  if (spec.links > 1) out_ = add_neighbours(node_, wanted);
  for (const LinkPeer& peer : in_) ethernet_.push_back(peer.ethernet_towards_node());
  take_keys();
  install(spec);
  settle_down(node_);
}

void Forward::take_keys() {
  const auto& links = node_.tables->links;
  copies_ = std::vector<KeySlot>(in_.size());
  for (size_t i = 0; i < in_.size(); ++i) {
    const KeySlot& slot = *links.find(in_[i].link)->receive.for_link(0);
    copies_[i].key = slot.key;
    copies_[i].salt = slot.salt;
    copies_[i].suite = slot.suite;
    opens_.emplace_back(slot);
  }
  for (const LinkPeer& peer : out_.empty() ? in_ : out_) seals_.emplace_back(*links.find(peer.link)->send.now());
}

void Forward::install(const ForwardSpec& spec) {
  const auto half = static_cast<uint32_t>(in_.size());
  std::vector<InstallMessage> installs;
  const auto routes = route_ids(lane_.first_rule, spec.circuits, config_of(spec).capacities.rules);
  for (uint32_t i = 0; i < spec.circuits; ++i) {
    const Circuit circuit{
        .in = i % half, .out = (i / half + i) % half, .route = routes[i], .next_route = (i + 1) * 40'503u};
    installs.push_back(message(forward_put(circuit.route, in_[circuit.in].link, out_of(circuit).link,
                                           circuit.next_route, make_treatment(to_underlying(Queue::other), kind_))));
    circuits_.push_back(circuit);
    if (installs.size() < kMaxBatch && i + 1 < spec.circuits) continue;
    node_.install(installs);
    installs.clear();
  }
}

size_t Forward::most_bytes() const {
  return *std::ranges::max_element(packet_bytes_);
}

Bytes Forward::packet_of(uint32_t number, uint32_t route) const {
  Bytes payload(pattern_.begin() + sizeof(PacketHeader), pattern_.begin() + static_cast<ptrdiff_t>(bytes_of(number)));
  std::memcpy(payload.data(), &number, sizeof(number));
  return packet(to_underlying(PacketType::datagram), route, payload);
}

const Forward::Circuit& Forward::draw() {
  const auto count = static_cast<double>(circuits_.size());
  const double u = std::uniform_real_distribution<>()(random_);
  const double rank = zipf_ ? std::pow(count, u) - 1 : count * u;
  // What a circuit carries has nothing to do with where its rule stands: a prime scatters them, each in one place.
  return circuits_[static_cast<size_t>(rank) * 2'654'435'761u % circuits_.size()];
}

void Forward::fill() {
  std::array<rte_mbuf*, kBurst> frames;
  for (unsigned burst = 0; burst < kChunk; burst += kBurst) {
    rte_pktmbuf_alloc_bulk(in_port().pool(), frames.data(), kBurst);
    make(frames, burst);
    in_port().push(frames);
  }
}

void Forward::make(std::span<rte_mbuf* const> buffers, unsigned at) {
  RawOps seals;
  for (rte_mbuf* buffer : buffers) {
    const Circuit& circuit = draw();
    travelling_[at++] = &circuit;
    auto* frame = rte_pktmbuf_append(buffer, static_cast<uint16_t>(frame_bytes(bytes_of(sealed_))));
    if (const auto op = write_frame(reinterpret_cast<uint8_t*>(frame), circuit)) seals.add(*op);
  }
  engine_->seal(seals.all());
}

std::optional<AeadOp> Forward::write_frame(uint8_t* frame, const Circuit& circuit) {
  LinkPeer& from = in_[circuit.in];
  const uint32_t number = sealed_++;
  std::ranges::copy(ethernet_[circuit.in], frame);
  const Bytes header = from.next_header(kind_).bytes();
  uint8_t* const data = std::ranges::copy(header, frame + sizeof(EthernetHeader)).out - header.size();
  uint8_t* const packet = data + (kind_ == FrameKind::clear ? header.size() : kLinkOverhead);
  const size_t bytes = bytes_of(number);
  std::memcpy(packet, pattern_.data(), bytes);
  *reinterpret_cast<PacketHeader*>(packet) = {to_underlying(PacketType::datagram), Be32(circuit.route),
                                              Be16(static_cast<uint16_t>(bytes - sizeof(PacketHeader)))};
  std::memcpy(packet + sizeof(PacketHeader), &number, sizeof(number));
  if (kind_ == FrameKind::clear) return std::nullopt;
  const Be64 word = reinterpret_cast<const LinkHeader*>(data)->lane_counter;
  return RawOp{packet, sealed_of(number), data + sizeof(LinkHeader), data, word}.under(copies_[circuit.in]);
}

Result<> Forward::check(const Bytes& frame, uint32_t number, const Circuit& circuit) {
  const auto opened = out_of(circuit).open(frame);
  if (!opened) return fail("forward: found frame {} not authentic under the key of the link it leaves by", number);
  if (opened->inside == packet_of(number, circuit.next_route)) return {};
  return fail("forward: found packet {} changed, wanted another route ID alone", number);
}

Result<> Forward::verify() {
  const uint32_t first = sealed_;
  fill();
  for (unsigned burst = 0; burst < kChunk; burst += kBurst) turn();
  const std::vector<Bytes> sent = out_port().pop_all();
  if (sent.size() != kChunk)
    return fail("forward: found {} of {} frames forwarded, {} dropped", sent.size(), kChunk, node_.total().drops());
  for (unsigned i = 0; i < kChunk; ++i) {
    if (auto same = check(sent[i], first + i, *travelling_[i]); !same) return same;
  }
  return {};
}

void Forward::value(Samples& samples) {
  fill();
  Samples bursts;
  for (unsigned burst = 0; burst < kChunk; burst += kBurst) bursts.push_back(clocks_each(kBurst, [&] { turn(); }));
  if (out_port().discard() == kChunk) samples.insert(samples.end(), bursts.begin(), bursts.end());
}

void Forward::limit(Samples& samples) {
  const uint32_t first = sealed_;
  fill();
  Samples bursts;
  for (unsigned burst = 0; burst < kChunk; burst += kBurst)
    bursts.push_back(clocks_each(kBurst, [&] { macswap(in_port().port(), out_port().port()); }));
  bool authentic = true;
  for (unsigned i = 0; i < kChunk; i += kBurst) bursts[i / kBurst] += raw_aead(first, i, authentic);
  if (authentic) samples.insert(samples.end(), bursts.begin(), bursts.end());
}

double Forward::raw_aead(uint32_t first, unsigned burst, bool& authentic) {
  std::array<rte_mbuf*, kBurst> frames;
  RawOps opens, seals;
  for (unsigned i = 0; i < kBurst; ++i) {
    frames[i] = out_port().take();
    if (kind_ == FrameKind::clear) continue;
    const Circuit& circuit = *travelling_[burst + i];
    auto* frame = rte_pktmbuf_mtod_offset(frames[i], uint8_t*, sizeof(EthernetHeader));
    const Be64 word = reinterpret_cast<const LinkHeader*>(frame)->lane_counter;
    const RawOp part{frame + kLinkOverhead, sealed_of(first + burst + i), frame + sizeof(LinkHeader), frame, word};
    opens.add(part.under(opens_[circuit.in]));
    seals.add(part.under(seals_[circuit.out]));
  }
  const double clocks = clocks_each(kBurst, [&] {
    raw_open_.run(opens.all());
    raw_seal_.run(seals.all());
  });
  for (const AeadOp& op : opens.all()) authentic &= op.authentic;
  rte_pktmbuf_free_bulk(frames.data(), kBurst);
  return clocks;
}

void Forward::ping() {
  for (LinkPeer& peer : in_) in_port().push(peer.ping(true, 1'000'000));
  for (LinkPeer& peer : out_) out_port().push(peer.ping(true, 1'000'000));
}

struct Transit {
  Node node;
  Forward forward;
  explicit Transit(const ForwardSpec& spec) : node(config_of(spec)), forward(spec, node) {}
};

Result<Case> forward_case(const ForwardSpec& spec, std::shared_ptr<Transit>* shared) {
  std::shared_ptr<Transit> own = shared == nullptr ? nullptr : std::exchange(*shared, nullptr);
  if (own == nullptr) {
    own = std::make_shared<Transit>(spec);
    if (shared != nullptr) *shared = own;
  }
  const std::shared_ptr<Forward> forward(own, &own->forward);
  forward->draw_by(spec.zipf);
  if (auto verified = forward->verify(); !verified) return std::unexpected(verified.error());
  Case forwards{.name = spec.name,
                .unit = kClocksPerPacket,
                .limit_is = spec.kind == FrameKind::clear ? kMacswap : "macswap, open, seal",
                .chunks = 16,
                .value = [forward](Samples& samples) { forward->value(samples); },
                .limit = [forward](Samples& samples) { forward->limit(samples); },
                .worker = &forward->worker().context().stats};
  if (spec.kind != FrameKind::clear) forwards.limit_by = [forward] { return forward->interfaces(); };
  return forwards;
}

}  // namespace sky::perf
