#include "perf/loop/edge.h"

#include <rte_ip.h>
#include <rte_udp.h>

#include <cstring>

namespace sky::perf {

using namespace sky::dataplane;
using namespace sky::test;

namespace {

constexpr std::string_view kLocal4 = "10.0.0.1", kLocal6 = "fd01::1";

NodeConfig config() {
  NodeConfig config = kNode;
  // rte_fib6 reserves two second-level tables for each of these, where the map has one and a quarter for a prefix.
  config.map = {.prefixes = 1 << 20, .groups = config.capacities.groups, .prefixes6 = 400'000};
  config.capacities.destinations = config.map->prefixes + config.map->prefixes6;
  return config;
}

/// Of each family one, in which a packet's own bytes are then changed.
const Bytes& ip_template(Family family, size_t bytes) {
  static std::array<std::vector<Bytes>, 2> known;  // by their lengths
  std::vector<Bytes>& its = known[family == Family::ipv6];
  if (its.size() <= bytes) its.resize(bytes + 1);
  Bytes& packet = its[bytes];
  if (packet.empty()) {
    packet = family == Family::ipv6
                 ? ipv6({.source = kLocal6, .destination = kLocal6, .payload = bytes - sizeof(rte_ipv6_hdr)})
                 : ipv4({.source = kLocal4, .destination = kLocal4, .payload = bytes - sizeof(rte_ipv4_hdr)});
  }
  return packet;
}

size_t ip_header(Family family) {
  return family == Family::ipv6 ? sizeof(rte_ipv6_hdr) : sizeof(rte_ipv4_hdr);
}

}  // namespace

Edge::Edge() : node(config()) {
  for (const FrameKind kind : {FrameKind::frame, FrameKind::header}) {
    const auto first = static_cast<uint16_t>(1 + to_underlying(kind) * kEdgeLinks);
    std::ranges::move(add_neighbours(node, {.first = first, .count = kEdgeLinks, .port = 0, .kind = kind}),
                      std::back_inserter(links_));
    for (unsigned i = 0; i < kEdgeDestinations; ++i) add_destination(kind, i);
  }
  node.install(std::vector{message(destination_put(kLocal4, 32, kLocalGroup)),
                           message(destination_put(kLocal6, 128, kLocalGroup))});
  static_cast<void>(load_some(untimed(), true));  // throws where one is refused
  settle_down(node);
  still_ns_ = node.now_ns();
  find_targets(kFirstStep);
}

Edge::Install Edge::untimed() {
  return [this](const std::vector<InstallMessage>& batch) {
    node.install(batch);
    return Result<>{};
  };
}

uint64_t Edge::eal_bytes() {
  return DestinationMap::memory_bytes(*config().map);
}

void Edge::add_destination(FrameKind kind, unsigned destination) {
  const unsigned index = to_underlying(kind) * kEdgeDestinations + destination;
  const uint8_t treatment = make_treatment(to_underlying(Queue::other), kind);
  sessions_.emplace_back(index, 1'000 + index);
  std::vector<InstallMessage> installs = session_installs(sessions_.back(), index);
  installs.push_back(message(group_put(index, index)));
  for (uint8_t slot = 0; slot < 2; ++slot) {
    const uint16_t link = link_of(kind, destination, slot).link;
    const uint32_t route = route_of(kind, destination, slot);
    installs.push_back(message(consume_put(route, link, index, slot, 1, 0x77, treatment)));
    MemberMessage member = member_put(index, slot, link, route, route, index, slot);
    member.treatment = treatment;
    installs.push_back(message(member));
  }
  node.install(installs);
}

DestinationMessage Edge::put_of(size_t number, GroupIndex group) const {
  const DestinationKey& key = prefixes.all()[number];
  return {.family = key.family, .length = key.length, .group = group, .prefix = key.prefix};
}

Result<> Edge::load_some(const Install& install, bool first) {
  std::vector<InstallMessage> batch;
  for (size_t i = 0; i < prefixes.all().size(); ++i) {
    if ((i % kFirstStep == 0) != first) continue;
    batch.push_back(message(put_of(i, group_of(i))));
    if (batch.size() < kLoadBatch) continue;
    if (auto installed = install(batch); !installed) return installed;
    batch.clear();
  }
  return batch.empty() ? Result<>{} : install(batch);
}

Result<> Edge::load(const Install& install) {
  return load_some(install, false);
}

void Edge::spread_targets() {
  loaded_ = true;
  find_targets(1);
}

void Edge::find_targets(size_t step) {
  for (std::vector<Target>& each : targets_) each.clear();
  std::mt19937_64 random(1);
  while (targets_[0].size() < kTargets || targets_[1].size() < kTargets) {
    const DestinationKey& prefix = prefixes.all()[random() % prefixes.all().size() / step * step];
    const Ipv6Address address = Prefixes::inside(prefix, random);
    const size_t longest = *prefixes.longest(prefix.family, address);
    if (is_restless(longest)) continue;
    const uint32_t group = to_underlying(group_of(longest));
    targets_[group / kEdgeDestinations].push_back({prefix.family, address, group % kEdgeDestinations});
  }
}

const Target& Edge::draw(FrameKind kind, std::mt19937_64& random) const {
  return targets_[to_underlying(kind)][random() % kTargets];
}

void write_ip(uint8_t* at, const IpPacket& packet, bool outwards) {
  const Bytes& bytes = ip_template(packet.far->family, packet.bytes);
  std::ranges::copy(bytes, at);
  const size_t header = ip_header(packet.far->family);
  const size_t address = packet.far->family == Family::ipv6 ? 16 : 4;
  std::memcpy(at + header - (outwards ? 1 : 2) * address, packet.far->address.data(), address);
  at[header] = static_cast<uint8_t>(packet.number % kEdgeFlows);  // of the source port
  std::memcpy(at + header + sizeof(rte_udp_hdr), &packet.number, sizeof(packet.number));
}

uint32_t ip_number(const uint8_t* packet) {
  uint32_t number;
  const size_t header = ip_header(packet[0] >> 4 == 6 ? Family::ipv6 : Family::ipv4);
  std::memcpy(&number, packet + header + sizeof(rte_udp_hdr), sizeof(number));
  return number;
}

void RawLookups::add(const Target& target) {
  if (target.family == Family::ipv6) {
    std::ranges::copy(target.address, six_[n6_++]);
    return;
  }
  Be32 address;
  std::memcpy(&address, target.address.data(), sizeof(address));
  four_[n4_++] = address.get();
}

void RawLookups::find(const DestinationMap& map) {
  std::array<uint64_t, kBurst> hops;
  if (n6_ != 0) rte_fib6_lookup_bulk(map.shown6(), six_, hops.data(), static_cast<int>(n6_));
  if (n4_ != 0) rte_fib_lookup_bulk(map.shown4(), four_.data(), hops.data(), static_cast<int>(n4_));
}

}  // namespace sky::perf
