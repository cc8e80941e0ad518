#include <rte_mbuf.h>

#include <cstring>
#include <random>

#include "perf/loop/cases.h"
#include "perf/loop/neighbours.h"
#include "perf/loop/raw_aead.h"

namespace sky::perf {

using namespace sky::dataplane;
using namespace sky::test;

namespace {

constexpr unsigned kLinks = 4;  // in, and as many out
constexpr unsigned kCircuits = 1024;

struct Circuit {
  unsigned in;   ///< of in_
  unsigned out;  ///< of out_
  uint32_t route;
  uint32_t next_route;
};

class Forward {
 public:
  explicit Forward(size_t packet_bytes);

  Result<> verify();
  void value(Samples& samples);
  void limit(Samples& samples);

 private:
  /// kChunk fresh frames into the port's receive ring, of circuits drawn at random.
  void fill();
  /// The packet of the `number`th frame of all.
  Bytes packet_of(uint32_t number, uint32_t route) const;
  Result<> check(const Bytes& frame, uint32_t number, const Circuit& circuit);

  size_t packet_bytes_;
  Node node_{kNode};
  std::mt19937 random_{1};
  std::vector<LinkPeer> in_, out_;
  std::vector<Circuit> circuits_;
  uint32_t sealed_ = 0;                     ///< frames so far
  std::vector<const Circuit*> travelling_;  ///< circuits of this chunk's frames
  std::unique_ptr<MbEngine> engine_ = *MbEngine::create();
};

Forward::Forward(size_t packet_bytes) : packet_bytes_(packet_bytes), travelling_(kChunk) {
  for (uint16_t i = 1; i <= kLinks; ++i) {
    in_.push_back(add_neighbour(node_, i, 0));
    out_.push_back(add_neighbour(node_, kLinks + i, 1));
  }
  std::vector<InstallMessage> installs;
  for (uint32_t i = 0; i < kCircuits; ++i) {
    // An odd multiplier: the low bits, which index the table, are all different, and as scattered as random ones.
    const Circuit circuit{.in = i % kLinks,
                          .out = i / kLinks % kLinks,
                          .route = (i + 1) * 2'654'435'761u,
                          .next_route = (i + 1) * 40'503u};
    installs.push_back(
        message(forward_put(circuit.route, in_[circuit.in].link, out_[circuit.out].link, circuit.next_route)));
    circuits_.push_back(circuit);
  }
  node_.install(installs);
  settle_down(node_);
}

Bytes Forward::packet_of(uint32_t number, uint32_t route) const {
  Bytes payload = pattern(packet_bytes_ - sizeof(PacketHeader));
  std::memcpy(payload.data(), &number, sizeof(number));
  return packet(to_underlying(PacketType::datagram), route, payload);
}

void Forward::fill() {
  for (const Circuit*& circuit : travelling_) {
    circuit = &circuits_[random_() % kCircuits];
    node_.port(0).push(in_[circuit->in].seal(packet_of(sealed_++, circuit->route)));
  }
}

Result<> Forward::check(const Bytes& frame, uint32_t number, const Circuit& circuit) {
  const auto opened = out_[circuit.out].open(frame);
  if (!opened) return fail("forward: found frame {} not authentic under the key of the link it leaves by", number);
  if (opened->inside == packet_of(number, circuit.next_route)) return {};
  return fail("forward: found packet {} changed, wanted another route ID alone", number);
}

Result<> Forward::verify() {
  const uint32_t first = sealed_;
  fill();
  for (unsigned burst = 0; burst < kChunk; burst += kBurst) node_.worker().turn(node_.now_ns());
  const std::vector<Bytes> sent = node_.port(1).pop_all();
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
  fill();
  std::array<rte_mbuf*, kBurst> frames;
  RawOps opens, seals;
  Samples bursts;
  bool authentic = true;
  for (unsigned burst = 0; burst < kChunk; burst += kBurst) {
    node_.port(0).port().rx_burst(0, frames.data(), kBurst);
    for (unsigned i = 0; i < kBurst; ++i) {
      const Circuit& circuit = *travelling_[burst + i];
      const auto& links = node_.tables->links;
      auto* frame = rte_pktmbuf_mtod_offset(frames[i], uint8_t*, sizeof(EthernetHeader));
      const Be64 word = reinterpret_cast<const LinkHeader*>(frame)->lane_counter;
      const RawOp part{frame + kLinkOverhead, packet_bytes_, frame + sizeof(LinkHeader), frame, word};
      opens[i] = part.under(*links.find(in_[circuit.in].link)->receive.for_link(0));
      seals[i] = part.under(*links.find(out_[circuit.out].link)->send.now());
    }
    bursts.push_back(clocks_each(kBurst, [&] {
      engine_->open(opens);
      engine_->seal(seals);
    }));
    for (const AeadOp& op : opens) authentic &= op.authentic;
    rte_pktmbuf_free_bulk(frames.data(), kBurst);
  }
  if (authentic) samples.insert(samples.end(), bursts.begin(), bursts.end());
}

}  // namespace

Result<Case> forward_case(size_t packet_bytes) {
  auto forward = std::make_shared<Forward>(packet_bytes);
  if (auto verified = forward->verify(); !verified) return std::unexpected(verified.error());
  return Case{.name = "forward/frame-" + std::to_string(packet_bytes),
              .unit = kClocksPerPacket,
              .limit_is = "open and seal alone",
              .chunks = 16,
              .value = [forward](Samples& samples) { forward->value(samples); },
              .limit = [forward](Samples& samples) { forward->limit(samples); }};
}

}  // namespace sky::perf
