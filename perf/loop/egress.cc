#include <rte_mbuf.h>

#include <algorithm>
#include <utility>

#include "perf/loop/edge.h"
#include "perf/loop/macswap.h"
#include "perf/loop/raw_aead.h"
#include "perf/loop/refills.h"

namespace sky::perf {

using namespace sky::dataplane;
using namespace sky::test;

namespace {

class Egress {
 public:
  Egress(Edge& edge, const EdgeSpec& spec)
      : edge_(edge), kind_(spec.kind), packet_bytes_(spec.packet_bytes), packets_(kChunk), words_(kChunk) {}

  Result<> verify();
  void value(Samples& samples);
  void limit(Samples& samples);
  /// By which interfaces the library does its part of the limit best.
  std::string interfaces() const { return raw_outer_.interface() + ", " + raw_inner_.interface(); }

 private:
  /// kChunk sealed frames from targets drawn at random, into the first port's receive ring.
  void fill();
  /// The `i`th packet of the chunk into an empty buffer, sealed by neither yet.
  void write_frame(rte_mbuf* buffer, unsigned i);
  unsigned slot_of(unsigned i) const { return packets_[i].number % 2; }
  LinkPeer& link_of(unsigned i) { return edge_.link_of(kind_, packets_[i].far->destination, slot_of(i)); }
  SessionPeer& session_of(unsigned i) { return edge_.sessions(kind_)[packets_[i].far->destination]; }
  /// The work of both ends on a frame, with the node's receive keys.
  AeadOp end_to_end(rte_mbuf* buffer, unsigned i, SessionAssociated& associated);
  AeadOp link(rte_mbuf* buffer, unsigned i);
  Result<> check(const Bytes& delivered, std::vector<bool>& seen);
  /// Clocks a packet of opens and look-ups alone.
  double raw(unsigned burst, bool& authentic);

  Edge& edge_;
  FrameKind kind_;
  std::vector<size_t> packet_bytes_;
  std::mt19937_64 random_{1};
  uint32_t made_ = 0;              ///< packets so far
  std::vector<IpPacket> packets_;  ///< of this chunk
  std::vector<Be64> words_;        ///< epoch, stream and counter of each
  std::unique_ptr<MbEngine> engine_ = *MbEngine::create();
  RawPass raw_outer_{&AeadEngine::open}, raw_inner_{&AeadEngine::open};
};

void Egress::write_frame(rte_mbuf* buffer, unsigned i) {
  const size_t bytes = packets_[i].bytes;
  auto* at = reinterpret_cast<uint8_t*>(rte_pktmbuf_append(buffer, static_cast<uint16_t>(kIpAt + bytes)));
  at = std::ranges::copy(link_of(i).ethernet_towards_node(), at).out;
  std::ranges::copy(link_of(i).next_header(kind_).bytes(), at);
  at += kLinkOverhead;
  const uint32_t route = Edge::route_of(kind_, packets_[i].far->destination, slot_of(i));
  *reinterpret_cast<PacketHeader*>(at) = {to_underlying(PacketType::datagram), Be32(route),
                                          Be16(static_cast<uint16_t>(sizeof(DatagramHeader) + bytes))};
  at += sizeof(PacketHeader);
  SessionPeer& session = session_of(i);
  const unsigned epoch = session.parity << 1 | (session.step & 1);
  words_[i] = Be64(pack_stream(epoch, slot_of(i), session.counters[slot_of(i)]++));
  reinterpret_cast<DatagramHeader*>(at)->epoch_stream_counter = words_[i];
  write_ip(at + sizeof(DatagramHeader), packets_[i], false);
}

AeadOp Egress::end_to_end(rte_mbuf* buffer, unsigned i, SessionAssociated& associated) {
  const SessionPeer& session = session_of(i);
  const unsigned epoch = static_cast<unsigned>(words_[i].get() >> 62);
  associated = {Be64(session.session_id), Be64(epoch)};
  auto* ip = rte_pktmbuf_mtod_offset(buffer, uint8_t*, kIpAt);
  return RawOp{ip, packets_[i].bytes, ip - kTagBytes, reinterpret_cast<const uint8_t*>(&associated), words_[i]}.under(
      *edge_.node.tables->sessions.find(session.session)->receive.for_session(epoch));
}

AeadOp Egress::link(rte_mbuf* buffer, unsigned i) {
  auto* frame = rte_pktmbuf_mtod_offset(buffer, uint8_t*, sizeof(EthernetHeader));
  const size_t packet = packets_[i].bytes + kDatagramOverhead - kLinkOverhead;
  const size_t sealed = kind_ == FrameKind::header ? kHeaderSealed : packet;
  const Be64 word = reinterpret_cast<const LinkHeader*>(frame)->lane_counter;
  return RawOp{frame + kLinkOverhead, sealed, frame + sizeof(LinkHeader), frame, word}.under(
      *edge_.node.tables->links.find(link_of(i).link)->receive.for_link(0));
}

void Egress::fill() {
  std::array<rte_mbuf*, kBurst> frames;
  std::array<SessionAssociated, kBurst> associated;
  for (unsigned burst = 0; burst < kChunk; burst += kBurst) {
    RawOps inner, outer;
    rte_pktmbuf_alloc_bulk(edge_.node.port(0).pool(), frames.data(), kBurst);
    for (unsigned i = 0; i < kBurst; ++i) {
      packets_[burst + i] = {&edge_.draw(kind_, random_), made_, ip_bytes(packet_bytes_[made_ % packet_bytes_.size()])};
      ++made_;
      write_frame(frames[i], burst + i);
      inner.add(end_to_end(frames[i], burst + i, associated[i]));
      outer.add(link(frames[i], burst + i));
    }
    engine_->seal(inner.all());
    engine_->seal(outer.all());
    edge_.node.port(0).push(frames);
  }
}

Result<> Egress::check(const Bytes& delivered, std::vector<bool>& seen) {
  if (!is_ip(delivered)) return fail("egress: found something delivered that is no IP packet");
  const unsigned i = ip_number(delivered.data()) - (made_ - kChunk);
  Bytes wanted(i < kChunk ? packets_[i].bytes : 0);
  if (i < kChunk) write_ip(wanted.data(), packets_[i], false);
  if (delivered != wanted || seen[i]) return fail("egress: found a packet delivered that was not sent so");
  seen[i] = true;
  return {};
}

Result<> Egress::verify() {
  fill();
  edge_.node.change();
  std::vector<bool> seen(kChunk);
  for (unsigned burst = 0; burst < kChunk; burst += kBurst) {
    edge_.node.worker().turn(edge_.still_ns());
    for (const Bytes& packet : edge_.node.tun_read()) {
      if (auto as_sent = check(packet, seen); !as_sent) return as_sent;
    }
  }
  const auto arrived = std::ranges::count(seen, true);
  if (arrived == kChunk) return {};
  return fail("egress: found {} of {} packets delivered, {} dropped", arrived, kChunk, edge_.node.change().drops());
}

/// Delivery is a system call a packet, so these go without: the worker has no TUN, and drops what it would deliver.
void Egress::value(Samples& samples) {
  fill();
  edge_.node.change();
  Worker& worker = edge_.node.worker();
  drivers::Tun* const tun = std::exchange(worker.context().tun, nullptr);
  Samples bursts;
  Refills refills(edge_.node.port(0).pool());
  for (unsigned burst = 0; burst < kChunk; burst += kBurst) {
    bursts.push_back(clocks_each(kBurst, [&] { worker.turn(edge_.still_ns()); }));
    refills.take();
  }
  worker.context().tun = tun;
  const Change change = edge_.node.change();
  if (change.tun_full == kChunk && change.drops() == kChunk)
    samples.insert(samples.end(), bursts.begin(), bursts.end());
}

void Egress::limit(Samples& samples) {
  fill();
  Samples bursts;
  for (unsigned burst = 0; burst < kChunk; burst += kBurst)
    bursts.push_back(clocks_each(kBurst, [&] { macswap(edge_.node.port(0).port(), edge_.node.port(1).port()); }));
  bool authentic = true;
  for (unsigned i = 0; i < kChunk; i += kBurst) bursts[i / kBurst] += raw(i, authentic);
  if (authentic) samples.insert(samples.end(), bursts.begin(), bursts.end());
}

double Egress::raw(unsigned burst, bool& authentic) {
  std::array<rte_mbuf*, kBurst> frames;
  std::array<SessionAssociated, kBurst> associated;
  RawOps inner, outer;
  RawLookups lookups;
  for (unsigned i = 0; i < kBurst; ++i) {
    frames[i] = edge_.node.port(1).take();
    outer.add(link(frames[i], burst + i));
    inner.add(end_to_end(frames[i], burst + i, associated[i]));
    lookups.add(*packets_[burst + i].far);
  }
  const double clocks = clocks_each(kBurst, [&] {
    raw_outer_.run(outer.all());
    raw_inner_.run(inner.all());
    lookups.find(*edge_.node.tables->destinations);
  });
  for (const RawOps* each : {&inner, &outer})
    authentic &= std::ranges::all_of(each->ops, [](const AeadOp& op) { return op.authentic; });
  rte_pktmbuf_free_bulk(frames.data(), kBurst);
  return clocks;
}

}  // namespace

Result<Case> egress_case(Edge& edge, const EdgeSpec& spec) {
  auto egress = std::make_shared<Egress>(edge, spec);
  if (auto verified = egress->verify(); !verified) return std::unexpected(verified.error());
  return Case{.name = spec.name,
              .unit = kClocksPerPacket,
              .limit_is = "macswap, look-up, 2 opens",
              .chunks = 16,
              .value = [egress](Samples& samples) { egress->value(samples); },
              .limit = [egress](Samples& samples) { egress->limit(samples); },
              .worker = &edge.node.worker().context().stats,
              .limit_by = [egress] { return egress->interfaces(); }};
}

}  // namespace sky::perf
