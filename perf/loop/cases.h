// The cases that perf/run measures. Each builds its own dataplane on memory ports, is verified once, and then gives
// one sample of its value or of its limit per call. What stands in each is written in docs/performance.md.
#pragma once

#include <memory>

#include "dataplane/base/ids.h"
#include "dataplane/base/result.h"
#include "dataplane/protocol/frame.h"
#include "perf/loop/measure.h"

namespace sky::perf {

inline constexpr unsigned kChunk = 1024;  ///< packets of one chunk: a full receive ring

/// A transit router: frames come by half of its links and leave by the others, or all by the one it has.
struct ForwardSpec {
  std::string name;
  FrameKind kind = FrameKind::frame;
  std::vector<size_t> packet_bytes;  ///< in turn
  Suite suite = Suite::aes_256_gcm;
  unsigned links = 8;
  uint32_t circuits = 1024;
  bool zipf = false;  ///< the k-th circuit carries 1/k of what the first does; else all the same
};
/// Its router and what comes to it, which two cases may share that differ in how circuits are drawn alone.
struct Transit;
/// `shared`: where the first of two leaves it, and the second takes it from.
Result<Case> forward_case(const ForwardSpec& spec, std::shared_ptr<Transit>* shared = nullptr);
/// An edge router: plain IP packets become Datagram packets, sealed end to end and for the link, and the other way.
struct EdgeSpec {
  std::string name;
  FrameKind kind = FrameKind::frame;
  std::vector<size_t> packet_bytes;  ///< of the Datagram packets, in turn
};
inline constexpr size_t ip_bytes(size_t packet_bytes) {
  return packet_bytes - sizeof(PacketHeader) - sizeof(DatagramHeader);
}
class Edge;
Result<Case> ingress_case(Edge& edge, const EdgeSpec& spec);
Result<Case> egress_case(Edge& edge, const EdgeSpec& spec);

enum class Attack : uint8_t { bad_tag, replay, garbage, unknown_link };
/// Frames that a transit router refuses; beside them the same number of good ones (bad_tag, replay), or the same frames
/// with their addresses swapped and sent back by a loop that is no router (garbage, unknown_link).
Result<Case> hostile_case(Attack attack);

/// A control plane that puts 100,000 rules and deletes them, in whole batches of the planner's size, through rings,
/// agent and tables, while the dataplane forwards.
Case install_rules_case();
/// The same of destinations, while the edge router sends packets to others of its prefixes; before, where the edge is
/// not loaded yet, all of its map in the same way.
Case install_prefixes_case(Edge& edge);

/// How one of two ways between two routers fails. cut: nothing goes there any more, and the far end says that it does
/// not hear. silent: nothing goes either way. copy: the same, while each packet goes by both ways.
enum class Fault : uint8_t { cut, silent, copy };
Case failover_case(Fault fault);

/// How long frames are in a router loaded to that share of its limit.
Result<Case> latency_case(unsigned percent);

/// Longest time between two polls, beside a main core that installs, in so many seconds.
Result<Case> loop_gap_case(double seconds);

/// Workers that feed themselves, on a core each: one or two.
Result<Case> workers_case(unsigned count);
/// One worker whose frames the other core writes.
Result<Case> two_cores_case(const ForwardSpec& spec);

}  // namespace sky::perf
