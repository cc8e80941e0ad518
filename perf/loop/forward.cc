#include <rte_mbuf.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <optional>
#include <random>

#include "perf/loop/cases.h"
#include "perf/loop/macswap.h"
#include "perf/loop/neighbours.h"
#include "perf/loop/raw_aead.h"

namespace sky::perf {

using namespace sky::dataplane;
using namespace sky::test;

namespace {

struct Circuit {
  unsigned in;   ///< of in_
  unsigned out;  ///< of out_
  uint32_t route;
  uint32_t next_route;
};

class Forward {
 public:
  explicit Forward(const ForwardSpec& spec);

  Result<> verify();
  void value(Samples& samples);
  void limit(Samples& samples);
  const WorkerStats& worker_stats() { return node_.worker().context().stats; }

 private:
  const Circuit& draw();
  /// kChunk fresh frames into the port's receive ring, of circuits drawn at random.
  void fill();
  /// Up to the seal; what is left to be done, where there is a seal.
  std::optional<AeadOp> write_frame(uint8_t* frame, const Circuit& circuit);
  /// The packet of the `number`th frame of all, and its size.
  size_t bytes_of(uint32_t number) const { return packet_bytes_[number % packet_bytes_.size()]; }
  Bytes packet_of(uint32_t number, uint32_t route) const;
  size_t frame_bytes(uint32_t number) const {
    return sizeof(EthernetHeader) + bytes_of(number) + (kind_ == FrameKind::clear ? sizeof(LinkHeader) : kLinkOverhead);
  }
  Result<> check(const Bytes& frame, uint32_t number, const Circuit& circuit);
  /// Clocks a packet that open and seal alone take of the burst that macswap sent; `first`: number of the chunk's
  /// first.
  double raw_aead(uint32_t first, unsigned burst, bool& authentic);

  LinkPeer& out_of(const Circuit& circuit) { return out_.empty() ? in_[0] : out_[circuit.out]; }
  MemoryPort& out_port() { return node_.port(out_.empty() ? 0 : 1); }
  /// What each of the two AEAD passes has of that frame.
  size_t sealed_of(uint32_t number) const { return kind_ == FrameKind::header ? kHeaderSealed : bytes_of(number); }

  FrameKind kind_;
  std::vector<size_t> packet_bytes_;
  bool zipf_;
  Node node_;
  std::mt19937 random_{1};
  std::vector<LinkPeer> in_, out_;
  std::vector<Bytes> ethernet_;  ///< of frames from in_
  Bytes pattern_ = pattern(*std::ranges::max_element(packet_bytes_));
  std::vector<Circuit> circuits_;
  uint32_t sealed_ = 0;                     ///< frames so far
  std::vector<const Circuit*> travelling_;  ///< circuits of this chunk's frames
  std::unique_ptr<MbEngine> engine_ = *MbEngine::create();
};

constexpr uint16_t kJumbo = 9216;

NodeConfig config_of(const ForwardSpec& spec) {
  NodeConfig config = kNode;
  if (*std::ranges::max_element(spec.packet_bytes) + kLinkOverhead > config.mtu) config.mtu = kJumbo;
  config.capacities.links = std::max(config.capacities.links, spec.links + 1);
  config.capacities.rules = std::max(config.capacities.rules, std::bit_ceil(spec.circuits));
  return config;
}

Forward::Forward(const ForwardSpec& spec)
    : kind_(spec.kind),
      packet_bytes_(spec.packet_bytes),
      zipf_(spec.zipf),
      node_(config_of(spec)),
      travelling_(kChunk) {
  const unsigned half = std::max(spec.links / 2, 1u);
  Neighbours wanted{
      .first = 1, .count = half, .port = 0, .kind = spec.kind, .suite = spec.suite, .mtu = node_.port(0).port().mtu()};
  in_ = add_neighbours(node_, wanted);
  wanted.first = static_cast<uint16_t>(1 + half);
  wanted.port = 1;
  if (spec.links > 1) out_ = add_neighbours(node_, wanted);
  for (const LinkPeer& peer : in_) ethernet_.push_back(peer.ethernet_towards_node());
  std::vector<InstallMessage> installs;
  for (uint32_t i = 0; i < spec.circuits; ++i) {
    // An odd multiplier: the low bits, which index the table, are all different, and as scattered as random ones.
    const Circuit circuit{.in = i % half,
                          .out = (i / half + i) % half,
                          .route = (i + 1) * 2'654'435'761u,
                          .next_route = (i + 1) * 40'503u};
    installs.push_back(message(forward_put(circuit.route, in_[circuit.in].link, out_of(circuit).link,
                                           circuit.next_route, make_treatment(to_underlying(Queue::other), kind_))));
    circuits_.push_back(circuit);
    if (installs.size() < kMaxBatch && i + 1 < spec.circuits) continue;
    node_.install(installs);
    installs.clear();
  }
  settle_down(node_);
}

Bytes Forward::packet_of(uint32_t number, uint32_t route) const {
  Bytes payload(pattern_.begin() + sizeof(PacketHeader), pattern_.begin() + static_cast<ptrdiff_t>(bytes_of(number)));
  std::memcpy(payload.data(), &number, sizeof(number));
  return packet(to_underlying(PacketType::datagram), route, payload);
}

const Circuit& Forward::draw() {
  const auto count = static_cast<double>(circuits_.size());
  const double u = std::uniform_real_distribution<>()(random_);
  const double rank = zipf_ ? std::pow(count, u) - 1 : count * u;
  return circuits_[std::min(static_cast<size_t>(rank), circuits_.size() - 1)];
}

void Forward::fill() {
  std::array<rte_mbuf*, kBurst> frames;
  for (unsigned burst = 0; burst < kChunk; burst += kBurst) {
    RawOps seals;
    rte_pktmbuf_alloc_bulk(node_.port(0).pool(), frames.data(), kBurst);
    for (unsigned i = 0; i < kBurst; ++i) {
      const Circuit& circuit = draw();
      travelling_[burst + i] = &circuit;
      auto* at = rte_pktmbuf_append(frames[i], static_cast<uint16_t>(frame_bytes(sealed_)));
      if (const auto op = write_frame(reinterpret_cast<uint8_t*>(at), circuit)) seals.add(*op);
    }
    engine_->seal(seals.all());
    node_.port(0).push(frames);
  }
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
  return RawOp{packet, sealed_of(number), data + sizeof(LinkHeader), data, word}.under(
      *node_.tables->links.find(from.link)->receive.for_link(0));
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
  for (unsigned burst = 0; burst < kChunk; burst += kBurst) node_.worker().turn(node_.now_ns());
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
  for (unsigned burst = 0; burst < kChunk; burst += kBurst)
    bursts.push_back(clocks_each(kBurst, [&] { node_.worker().turn(node_.now_ns()); }));
  if (discard_all(node_) == kChunk) samples.insert(samples.end(), bursts.begin(), bursts.end());
}

void Forward::limit(Samples& samples) {
  const uint32_t first = sealed_;
  fill();
  Samples bursts;
  for (unsigned burst = 0; burst < kChunk; burst += kBurst)
    bursts.push_back(clocks_each(kBurst, [&] { macswap(node_.port(0).port(), out_port().port()); }));
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
    const auto& links = node_.tables->links;
    auto* frame = rte_pktmbuf_mtod_offset(frames[i], uint8_t*, sizeof(EthernetHeader));
    const Be64 word = reinterpret_cast<const LinkHeader*>(frame)->lane_counter;
    const RawOp part{frame + kLinkOverhead, sealed_of(first + burst + i), frame + sizeof(LinkHeader), frame, word};
    opens.add(part.under(*links.find(in_[circuit.in].link)->receive.for_link(0)));
    seals.add(part.under(*links.find(out_of(circuit).link)->send.now()));
  }
  const double clocks = clocks_each(kBurst, [&] {
    engine_->open(opens.all());
    engine_->seal(seals.all());
  });
  for (const AeadOp& op : opens.all()) authentic &= op.authentic;
  rte_pktmbuf_free_bulk(frames.data(), kBurst);
  return clocks;
}

}  // namespace

Result<Case> forward_case(const ForwardSpec& spec) {
  auto forward = std::make_shared<Forward>(spec);
  if (auto verified = forward->verify(); !verified) return std::unexpected(verified.error());
  return Case{.name = spec.name,
              .unit = kClocksPerPacket,
              .limit_is = spec.kind == FrameKind::clear ? "macswap" : "macswap, open, seal",
              .chunks = 16,
              .value = [forward](Samples& samples) { forward->value(samples); },
              .limit = [forward](Samples& samples) { forward->limit(samples); },
              .worker = &forward->worker_stats()};
}

}  // namespace sky::perf
