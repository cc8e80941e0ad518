// The node of ingress, egress and install/prefixes: an edge router that knows as many prefixes as the Internet has.
// Half of them lead to circuits over links of kind frame, half to such over links of kind header. One serves all cases,
// since it takes seconds to load and gigabytes to hold.
#pragma once

#include <rte_fib.h>
#include <rte_fib6.h>

#include <functional>
#include <random>
#include <span>
#include <vector>

#include "perf/loop/cases.h"
#include "perf/loop/neighbours.h"
#include "perf/loop/prefixes.h"

namespace sky::perf {

inline constexpr unsigned kEdgeLinks = 4;          ///< of each kind
inline constexpr unsigned kEdgeDestinations = 16;  ///< of each kind: a session and a group of two members
inline constexpr size_t kLoadBatch = 1'000;        ///< prefixes
inline constexpr unsigned kEdgeFlows = 16;         ///< to each address
/// Where an IP packet lies in the frame that is to carry it.
inline constexpr size_t kIpAt = sizeof(EthernetHeader) + kDatagramOverhead;

/// An address that the map leads to one of a kind's destinations.
struct Target {
  Family family;
  Ipv6Address address;
  unsigned destination;
};

/// One IP packet of a chunk.
struct IpPacket {
  const Target* far;
  uint32_t number;  ///< of all
  size_t bytes;
};

class Edge {
 public:
  using Install = std::function<Result<>(const std::vector<InstallMessage>&)>;

  /// Every 16th prefix is there, and targets among these.
  Edge();
  /// Without rings.
  Install untimed();
  /// All others, in order and in batches of kLoadBatch.
  Result<> load(const Install& install);
  /// Targets among all, once they are loaded; nobody draws meanwhile.
  void spread_targets();
  bool loaded() const { return loaded_; }
  size_t left_to_load() const { return prefixes.all().size() - (prefixes.all().size() - 1) / kFirstStep - 1; }
  /// What its destination map takes of DPDK's memory.
  static uint64_t eal_bytes();

  test::Node node;
  const Prefixes prefixes;

  /// The worker's time stands still: no timer comes due.
  uint64_t still_ns() const { return still_ns_; }
  /// The same number drawn is the same target in every run.
  const Target& draw(FrameKind kind, std::mt19937_64& random) const;
  std::span<test::LinkPeer> links(FrameKind kind) { return {&links_[to_underlying(kind) * kEdgeLinks], kEdgeLinks}; }
  std::span<test::SessionPeer> sessions(FrameKind kind) {
    return {&sessions_[to_underlying(kind) * kEdgeDestinations], kEdgeDestinations};
  }
  /// Over which the member in that slot of a destination's group goes.
  test::LinkPeer& link_of(FrameKind kind, unsigned destination, unsigned slot) {
    return links(kind)[(destination + slot) % kEdgeLinks];
  }
  /// Under which its packets arrive here and, in these cases, there.
  static uint32_t route_of(FrameKind kind, unsigned destination, unsigned slot) {
    return (to_underlying(kind) * kEdgeDestinations + destination) * 2 + slot + 1;
  }
  /// Which group the `number`th of the prefixes leads to.
  static GroupIndex group_of(size_t number) { return GroupIndex{static_cast<uint32_t>(number % kGroups)}; }
  DestinationMessage put_of(size_t number, GroupIndex group) const;
  /// Whether install/prefixes may change that prefix: no target's is.
  static bool is_restless(size_t number) { return number % 7 == 0; }

 private:
  static constexpr size_t kFirstStep = 16;
  static constexpr unsigned kKinds = 2;
  static constexpr unsigned kGroups = kKinds * kEdgeDestinations;
  static constexpr size_t kTargets = size_t{1}
                                     << 17;  ///< of each kind: more lines of the map than a core's caches have

  void add_destination(FrameKind kind, unsigned destination);
  Result<> load_some(const Install& install, bool first);
  void find_targets(size_t step);

  std::vector<test::LinkPeer> links_;
  std::vector<test::SessionPeer> sessions_;
  std::array<std::vector<Target>, kKinds> targets_;
  uint64_t still_ns_ = 0;
  bool loaded_ = false;
};

/// A whole UDP packet between a far address and a local one, as it would be delivered.
void write_ip(uint8_t* at, const IpPacket& packet, bool outwards);
/// The number of a packet that write_ip() wrote.
uint32_t ip_number(const uint8_t* packet);

/// The prefix look-ups of one burst as DPDK's libraries do them.
class RawLookups {
 public:
  void add(const Target& target);
  /// Where nothing is found is no matter: this is only timed.
  void find(const dataplane::DestinationMap& map);

 private:
  std::array<uint32_t, dataplane::kBurst> four_;
  alignas(16) uint8_t six_[dataplane::kBurst][16];
  unsigned n4_ = 0, n6_ = 0;
};

}  // namespace sky::perf
