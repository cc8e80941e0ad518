#include <rte_mbuf.h>

#include <algorithm>
#include <cstring>
#include <random>

#include "perf/loop/cases.h"
#include "perf/loop/neighbours.h"
#include "perf/loop/raw_aead.h"

namespace sky::perf {

using namespace sky::dataplane;
using namespace sky::test;

namespace {

constexpr unsigned kLinks = 4;
constexpr unsigned kDestinations = 16;  // each a prefix, a session, a group with two members
constexpr unsigned kFlows = 16;         // to each
constexpr size_t kIpHeader = 40;
constexpr size_t kNumberAt = kIpHeader + 8;  // where a UDP payload begins
constexpr size_t kIpAt = sizeof(EthernetHeader) + kDatagramOverhead;

class Ingress {
 public:
  explicit Ingress(size_t packet_bytes);

  Result<> verify();
  void value(Samples& samples);
  void limit(Samples& samples);

 private:
  void add_destination(uint16_t index);
  Bytes ip_of(uint32_t number, unsigned destination, unsigned flow) const;
  /// kChunk plain packets of flows drawn at random, where a read from the TUN would put them.
  void fill();
  /// The burst into the batch, as the TUN's poll does, then through all stages. Returns the stages' clocks per packet.
  double process(unsigned burst);
  /// Opens a frame as its receivers would: which packet of this chunk it carries.
  Result<unsigned> opened(const Bytes& frame);

  size_t ip_bytes_;
  Node node_{kNode};
  std::mt19937 random_{1};
  std::vector<LinkPeer> links_;
  std::vector<SessionPeer> sessions_;
  uint32_t made_ = 0;  ///< packets so far
  Batch batch_;
  std::vector<rte_mbuf*> buffers_;
  std::vector<Bytes> plain_;            ///< what lies in them
  std::vector<unsigned> destinations_;  ///< theirs
  std::unique_ptr<MbEngine> engine_ = *MbEngine::create();
};

Ingress::Ingress(size_t packet_bytes)
    : ip_bytes_(packet_bytes - sizeof(PacketHeader) - sizeof(DatagramHeader)),
      buffers_(kChunk),
      plain_(kChunk),
      destinations_(kChunk) {
  for (uint16_t i = 1; i <= kLinks; ++i) links_.push_back(add_neighbour(node_, i, i % 2));
  for (uint16_t i = 0; i < kDestinations; ++i) add_destination(i);
  settle_down(node_);
}

void Ingress::add_destination(uint16_t index) {
  sessions_.emplace_back(index, 1'000 + index);
  std::vector<InstallMessage> installs = session_installs(sessions_.back(), index);
  installs.push_back(message(group_put(index, index)));
  for (uint8_t slot = 0; slot < 2; ++slot) {
    const uint16_t link = links_[(index + slot) % kLinks].link;
    const uint32_t route = index * 2u + slot + 1;
    installs.push_back(message(consume_put(route, link, index, slot)));
    installs.push_back(message(member_put(index, slot, link, route, route, index, slot)));
  }
  installs.push_back(message(destination_put(fmt::format("fd00:{}::", index), 32, GroupIndex{index})));
  node_.install(installs);
}

Bytes Ingress::ip_of(uint32_t number, unsigned destination, unsigned flow) const {
  Bytes ip = ipv6({.source = "fd01::1",
                   .destination = fmt::format("fd00:{}::1", destination),
                   .payload = ip_bytes_ - kIpHeader,
                   .source_port = static_cast<uint16_t>(flow)});
  std::memcpy(&ip[kNumberAt], &number, sizeof(number));
  return ip;
}

void Ingress::fill() {
  for (unsigned i = 0; i < kChunk; ++i) {
    destinations_[i] = random_() % kDestinations;
    plain_[i] = ip_of(made_++, destinations_[i], random_() % kFlows);
    buffers_[i] = rte_pktmbuf_alloc(node_.port(0).pool());
    std::ranges::copy(plain_[i], rte_pktmbuf_mtod_offset(buffers_[i], uint8_t*, kIpAt));
  }
}

double Ingress::process(unsigned burst) {
  for (unsigned i = burst; i < burst + kBurst; ++i) {
    Slot& slot = batch_.add();
    slot = {};
    slot.mbuf = buffers_[i];
    slot.data = rte_pktmbuf_mtod_offset(buffers_[i], uint8_t*, kIpAt);
    slot.length = static_cast<uint16_t>(ip_bytes_);
  }
  node_.worker().context().count(Counter::injected_tun, kBurst);
  return clocks_each(kBurst, [&] {
    node_.worker().process_plain(batch_);
    node_.worker().flush();
  });
}

Result<unsigned> Ingress::opened(const Bytes& frame) {
  for (LinkPeer& link : links_) {
    const auto outer = link.open(frame);
    if (!outer) continue;
    const unsigned destination = (outer->route() - 1) / 2 % kDestinations;
    const auto inner = sessions_[destination].open(outer->payload());
    if (!inner || inner->inner.size() != ip_bytes_) break;
    uint32_t number;
    std::memcpy(&number, &inner->inner[kNumberAt], sizeof(number));
    const unsigned i = number - (made_ - kChunk);
    if (i >= kChunk || inner->inner != plain_[i] || destination != destinations_[i]) break;
    return i;
  }
  return fail("ingress: found a frame that its receivers cannot open to what was sent");
}

Result<> Ingress::verify() {
  fill();
  for (unsigned burst = 0; burst < kChunk; burst += kBurst) process(burst);
  std::vector<bool> seen(kChunk);
  for (unsigned port : {0u, 1u}) {
    for (const Bytes& frame : node_.port(port).pop_all()) {
      const auto i = opened(frame);
      if (!i) return std::unexpected(i.error());
      seen[*i] = true;
    }
  }
  const auto arrived = std::ranges::count(seen, true);
  if (arrived == kChunk) return {};
  return fail("ingress: found {} of {} packets sent, {} dropped", arrived, kChunk, node_.total().drops());
}

void Ingress::value(Samples& samples) {
  fill();
  Samples bursts;
  for (unsigned burst = 0; burst < kChunk; burst += kBurst) bursts.push_back(process(burst));
  if (discard_all(node_) == kChunk) samples.insert(samples.end(), bursts.begin(), bursts.end());
}

void Ingress::limit(Samples& samples) {
  fill();
  for (unsigned burst = 0; burst < kChunk; burst += kBurst) {
    RawOps inner, outer;
    for (unsigned i = 0; i < kBurst; ++i) {
      const unsigned destination = destinations_[burst + i];
      const LinkPeer& link = links_[(destination + i % 2) % kLinks];
      auto* frame = rte_pktmbuf_mtod_offset(buffers_[burst + i], uint8_t*, sizeof(EthernetHeader));
      uint8_t* ip = frame + kDatagramOverhead;
      const Be64 word(burst + i);
      inner.add(RawOp{ip, ip_bytes_, ip - kTagBytes, frame, word}.under(
          *node_.tables->sessions.find(destination)->send.now()));
      outer.add(RawOp{frame + kLinkOverhead, ip_bytes_ + kDatagramOverhead - kLinkOverhead, frame + sizeof(LinkHeader),
                      frame, word}
                    .under(*node_.tables->links.find(link.link)->send.now()));
    }
    samples.push_back(clocks_each(kBurst, [&] {
      engine_->seal(inner.all());
      engine_->seal(outer.all());
    }));
  }
  rte_pktmbuf_free_bulk(buffers_.data(), kChunk);
}

}  // namespace

Result<Case> ingress_case(size_t packet_bytes) {
  auto ingress = std::make_shared<Ingress>(packet_bytes);
  if (auto verified = ingress->verify(); !verified) return std::unexpected(verified.error());
  return Case{.name = "ingress/frame-" + std::to_string(packet_bytes),
              .unit = kClocksPerPacket,
              .limit_is = "two seals alone",
              .chunks = 16,
              .value = [ingress](Samples& samples) { ingress->value(samples); },
              .limit = [ingress](Samples& samples) { ingress->limit(samples); }};
}

}  // namespace sky::perf
