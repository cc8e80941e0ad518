#include "perf/loop/ingress.h"

#include <rte_mbuf.h>

#include <algorithm>

#include "perf/loop/macswap.h"

namespace sky::perf {

using namespace sky::dataplane;
using namespace sky::test;

Ingress::Ingress(Edge& edge, const EdgeSpec& spec)
    : edge_(edge), kind_(spec.kind), packet_bytes_(spec.packet_bytes), buffers_(kChunk), packets_(kChunk) {}

void Ingress::fill(unsigned burst) {
  rte_pktmbuf_alloc_bulk(edge_.node.port(0).pool(), &buffers_[burst], kBurst);
  for (unsigned i = burst; i < burst + kBurst; ++i) {
    packets_[i] = {&edge_.draw(kind_, random_), made_, ip_bytes(packet_bytes_[made_ % packet_bytes_.size()])};
    ++made_;
    write_ip(rte_pktmbuf_mtod_offset(buffers_[i], uint8_t*, kIpAt), packets_[i], true);
  }
}

void Ingress::fill() {
  for (unsigned burst = 0; burst < kChunk; burst += kBurst) fill(burst);
}

uint64_t Ingress::turn(unsigned burst) {
  Worker& worker = edge_.node.worker();
  rte_mempool* const pool = edge_.node.port(0).pool();
  // Of the buffers that the worker takes for its reads; the packets lie in others, where they could be written before.
  std::array<rte_mbuf*, kBurst> taken;
  const uint64_t clocks = clocks_of([&] {
    for (unsigned i = 0; i < kBurst; ++i) {
      taken[i] = rte_pktmbuf_alloc(pool);
      Slot& slot = batch_.add();
      slot = {};
      slot.mbuf = buffers_[burst + i];
      slot.data = rte_pktmbuf_mtod_offset(slot.mbuf, uint8_t*, kIpAt);
      slot.length = static_cast<uint16_t>(packets_[burst + i].bytes);
    }
    worker.context().count(Counter::injected_tun, kBurst);
    worker.process_plain(batch_);
    worker.turn(edge_.still_ns());
  });
  rte_pktmbuf_free_bulk(taken.data(), kBurst);
  return clocks;
}

Result<unsigned> Ingress::opened(const Bytes& frame) {
  for (LinkPeer& link : edge_.links(kind_)) {
    const auto outer = link.open(frame);
    if (!outer) continue;
    const unsigned destination = (outer->route() - 1) / 2 % kEdgeDestinations;
    const auto inner = edge_.sessions(kind_)[destination].open(outer->payload());
    if (!inner || inner->inner.size() < sizeof(rte_ipv6_hdr)) break;
    const unsigned i = ip_number(inner->inner.data()) - (made_ - kChunk);
    if (i >= kChunk || destination != packets_[i].far->destination) break;
    Bytes wanted(packets_[i].bytes);
    write_ip(wanted.data(), packets_[i], true);
    if (inner->inner != wanted) break;
    return i;
  }
  return fail("ingress: found a frame that its receivers cannot open to what was sent");
}

Result<> Ingress::verify() {
  fill();
  for (unsigned burst = 0; burst < kChunk; burst += kBurst) turn(burst);
  std::vector<bool> seen(kChunk);
  for (unsigned port : {0u, 1u}) {
    for (const Bytes& frame : edge_.node.port(port).pop_all()) {
      const auto i = opened(frame);
      if (!i) return std::unexpected(i.error());
      seen[*i] = true;
    }
  }
  const auto arrived = std::ranges::count(seen, true);
  if (arrived == kChunk) return {};
  return fail("ingress: found {} of {} packets sent, {} dropped", arrived, kChunk, edge_.node.total().drops());
}

void Ingress::value(Samples& samples) {
  fill();
  Samples bursts;
  for (unsigned burst = 0; burst < kChunk; burst += kBurst) bursts.push_back(static_cast<double>(turn(burst)) / kBurst);
  if (discard_all(edge_.node) == kChunk) samples.insert(samples.end(), bursts.begin(), bursts.end());
}

std::optional<uint64_t> Ingress::pass_one() {
  fill(0);
  const uint64_t clocks = turn(0);
  return discard_all(edge_.node) == kBurst ? std::optional(clocks) : std::nullopt;
}

void Ingress::limit(Samples& samples) {
  fill();
  for (unsigned i = 0; i < kChunk; ++i)
    rte_pktmbuf_append(buffers_[i], static_cast<uint16_t>(kIpAt + packets_[i].bytes));
  edge_.node.port(0).push(buffers_);
  Samples bursts;
  for (unsigned burst = 0; burst < kChunk; burst += kBurst)
    bursts.push_back(clocks_each(kBurst, [&] { macswap(edge_.node.port(0).port(), edge_.node.port(1).port()); }));
  for (unsigned i = 0; i < kChunk; i += kBurst) bursts[i / kBurst] += raw(i);
  samples.insert(samples.end(), bursts.begin(), bursts.end());
}

double Ingress::raw(unsigned burst) {
  std::array<rte_mbuf*, kBurst> frames;
  RawOps inner, outer;
  RawLookups lookups;
  const Tables& tables = *edge_.node.tables;
  for (unsigned i = 0; i < kBurst; ++i) {
    frames[i] = edge_.node.port(1).take();
    const auto& [far, number, bytes] = packets_[burst + i];
    const LinkPeer& link = edge_.link_of(kind_, far->destination, i % 2);
    const SessionPeer& session = edge_.sessions(kind_)[far->destination];
    auto* frame = rte_pktmbuf_mtod_offset(frames[i], uint8_t*, sizeof(EthernetHeader));
    uint8_t* ip = frame + kDatagramOverhead;
    const Be64 word(number);
    const size_t sealed = kind_ == FrameKind::header ? kHeaderSealed : bytes + kDatagramOverhead - kLinkOverhead;
    inner.add(RawOp{ip, bytes, ip - kTagBytes, frame, word}.under(*tables.sessions.find(session.session)->send.now()));
    outer.add(RawOp{frame + kLinkOverhead, sealed, frame + sizeof(LinkHeader), frame, word}.under(
        *tables.links.find(link.link)->send.now()));
    lookups.add(*far);
  }
  const double clocks = clocks_each(kBurst, [&] {
    lookups.find(*tables.destinations);
    raw_inner_.run(inner.all());
    raw_outer_.run(outer.all());
  });
  rte_pktmbuf_free_bulk(frames.data(), kBurst);
  return clocks;
}

Result<Case> ingress_case(Edge& edge, const EdgeSpec& spec) {
  auto ingress = std::make_shared<Ingress>(edge, spec);
  if (auto verified = ingress->verify(); !verified) return std::unexpected(verified.error());
  return Case{.name = spec.name,
              .unit = kClocksPerPacket,
              .limit_is = "macswap, look-up, 2 seals",
              .chunks = 16,
              .value = [ingress](Samples& samples) { ingress->value(samples); },
              .limit = [ingress](Samples& samples) { ingress->limit(samples); },
              .worker = &edge.node.worker().context().stats,
              .limit_by = [ingress] { return ingress->interfaces(); }};
}

}  // namespace sky::perf
