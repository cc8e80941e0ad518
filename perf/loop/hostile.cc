#include <algorithm>
#include <random>

#include "perf/loop/cases.h"
#include "perf/loop/macswap.h"
#include "perf/loop/neighbours.h"
#include "perf/loop/refills.h"

namespace sky::perf {

using namespace sky::dataplane;
using namespace sky::test;

namespace {

constexpr unsigned kLinks = 4;  // in, and as many out
constexpr size_t kPacketBytes = 64;

class Hostile {
 public:
  explicit Hostile(Attack attack);

  Result<> verify();
  void value(Samples& samples);
  void forward(Samples& samples);
  void macswap(Samples& samples);

 private:
  Bytes good_frame();
  Bytes garbage();
  Bytes bad_frame();
  /// kChunk fresh frames into the first port's receive ring.
  void fill(Bytes (Hostile::*make)());
  /// Drops by their reasons, of one chunk of the attack.
  Change attacked(Samples& samples);
  bool as_wanted(const Change& change) const;

  Attack attack_;
  Node node_{kNode};
  std::mt19937 random_{1};
  std::vector<LinkPeer> in_, out_;
  std::vector<Bytes> seen_;  ///< good frames that were let in already
};

Hostile::Hostile(Attack attack) : attack_(attack) {
  std::vector<InstallMessage> installs;
  for (uint16_t i = 1; i <= kLinks; ++i) {
    in_.push_back(add_neighbour(node_, i, 0));
    out_.push_back(add_neighbour(node_, kLinks + i, 1));
    installs.push_back(message(forward_put(i, i, kLinks + i, 100u + i)));
  }
  node_.install(installs);
  settle_down(node_);
  while (seen_.size() < kChunk) seen_.push_back(good_frame());
  for (const Bytes& frame : seen_) node_.port(0).push(frame);
  for (unsigned burst = 0; burst < kChunk; burst += kBurst) node_.worker().turn(node_.now_ns());
}

Bytes Hostile::good_frame() {
  LinkPeer& from = in_[random_() % kLinks];
  return from.seal(
      packet(to_underlying(PacketType::datagram), from.link, pattern(kPacketBytes - sizeof(PacketHeader))));
}

/// Noise behind a MAC address; half of it is of the right EtherType and version.
Bytes Hostile::garbage() {
  Bytes frame(60 + random_() % 60);
  for (uint8_t& byte : frame) byte = static_cast<uint8_t>(random_());
  std::ranges::copy(in_[0].ethernet_towards_node(), frame.begin());
  if (random_() % 2 == 0) {
    frame[12] ^= 0xff;
  } else {
    frame[14] = static_cast<uint8_t>(0x10 | random_() % 3);
  }
  return frame;
}

Bytes Hostile::bad_frame() {
  if (attack_ == Attack::garbage) return garbage();
  if (attack_ == Attack::replay) return seen_[random_() % seen_.size()];
  Bytes frame = good_frame();
  constexpr size_t kIndex = sizeof(EthernetHeader) + offsetof(LinkHeader, link_index);
  if (attack_ == Attack::bad_tag) {
    frame.back() ^= 1;
  } else if (random_() % 2 == 0) {
    frame[kIndex] ^= 0x80;
  } else {
    frame[kIndex + 3] ^= 0x40;  // within the table, where no link stands
  }
  return frame;
}

void Hostile::fill(Bytes (Hostile::*make)()) {
  for (unsigned i = 0; i < kChunk; ++i) node_.port(0).push((this->*make)());
}

Change Hostile::attacked(Samples& samples) {
  fill(&Hostile::bad_frame);
  node_.change();
  Refills refills(node_.port(0).pool());
  for (unsigned burst = 0; burst < kChunk; burst += kBurst) {
    samples.push_back(clocks_each(kBurst, [&] { node_.worker().turn(node_.now_ns()); }));
    refills.take();
  }
  return node_.change();
}

bool Hostile::as_wanted(const Change& change) const {
  constexpr int64_t kAll = kChunk;
  if (change.received != kAll || change.drops() != kAll) return false;
  switch (attack_) {
    case Attack::bad_tag:
      return change.bad_tag == kAll;
    case Attack::replay:
      return change.replayed == kAll;
    case Attack::garbage:
      return change.not_skywire > kAll / 3 && change.bad_tag == 0;
    case Attack::unknown_link:
      return change.unknown_link == kAll;
  }
  return false;
}

Result<> Hostile::verify() {
  Samples unused;
  if (discard_all(node_) != kChunk) return fail("hostile: found good frames dropped");
  if (!as_wanted(attacked(unused)) || discard_all(node_) != 0)
    return fail("hostile: found frames dropped for other reasons, {} of all", node_.total().drops());
  forward(unused);
  if (unused.empty()) return fail("hostile: found good frames dropped after the others");
  return {};
}

void Hostile::value(Samples& samples) {
  Samples bursts;
  if (as_wanted(attacked(bursts))) samples.insert(samples.end(), bursts.begin(), bursts.end());
}

/// The same node and links with frames that pass.
void Hostile::forward(Samples& samples) {
  fill(&Hostile::good_frame);
  Samples bursts;
  for (unsigned burst = 0; burst < kChunk; burst += kBurst)
    bursts.push_back(clocks_each(kBurst, [&] { node_.worker().turn(node_.now_ns()); }));
  if (discard_all(node_) == kChunk) samples.insert(samples.end(), bursts.begin(), bursts.end());
}

/// The same frames and ports without a router: the addresses are swapped, the frame goes back.
void Hostile::macswap(Samples& samples) {
  fill(&Hostile::bad_frame);
  drivers::Port& port = node_.port(0).port();
  Samples bursts;
  for (unsigned burst = 0; burst < kChunk; burst += kBurst)
    bursts.push_back(clocks_each(kBurst, [&] { perf::macswap(port, port); }));
  if (discard_all(node_) == kChunk) samples.insert(samples.end(), bursts.begin(), bursts.end());
}

}  // namespace

Result<Case> hostile_case(Attack attack) {
  auto hostile = std::make_shared<Hostile>(attack);
  if (auto verified = hostile->verify(); !verified) return std::unexpected(verified.error());
  const bool crypto = attack == Attack::bad_tag || attack == Attack::replay;
  constexpr const char* kNames[] = {"badtag", "replay", "garbage", "unknown"};
  return Case{
      .name = std::string("hostile/") + kNames[to_underlying(attack)],
      .unit = kClocksPerPacket,
      .limit_is = crypto ? "good frames" : kMacswap,
      .chunks = 16,
      .value = [hostile](Samples& samples) { hostile->value(samples); },
      .limit = [hostile, crypto](Samples& samples) { crypto ? hostile->forward(samples) : hostile->macswap(samples); }};
}

}  // namespace sky::perf
