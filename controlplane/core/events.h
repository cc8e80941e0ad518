// What goes into the core and what comes out: plain data, no descriptors, no clocks.
// The daemon turns descriptors into events and actions into writes; a simulator does the same with queues.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "dataplane/base/log.h"
#include "dataplane/protocol/control_packet.h"
#include "dataplane/protocol/install.h"

namespace sky::controlplane {

using TimeNs = uint64_t;  ///< CLOCK_MONOTONIC
inline constexpr TimeNs kNever = UINT64_MAX;

/// The dataplane answered an attach request; `rows` is everything that stands there, as the puts that made it
/// (InstallMessage::verb put_link, put_session, put_rule, put_group, put_member, put_destination).
struct Attached {
  uint64_t boot_id;
  uint64_t fence;
  Suites suites = to_underlying(Suite::aes_256_gcm);  ///< that it seals with
  std::vector<InstallMessage> rows;
};
/// Its socket closed or its rings broke.
struct Detached {};
struct Acked {
  uint64_t generation;
  InstallError error;
  uint32_t index;
};
/// A message of the event ring: link_state to circuit_damaged of the contract.
struct DataplaneEvent {
  InstallMessage message;
};
struct PacketIn {
  ControlPacket packet;
};
/// `next_deadline()` has come.
struct Tick {};
/// A group member carried packets since it was last asked after (the daemon reads MemberStats::packets about every
/// tenth of circuits.idle, at most every 10 s): the circuit is not idle, its session's keys were used.
struct TrafficSeen {
  GroupIndex group;
  uint8_t slot;
  uint32_t rtt_us = 0;  ///< of its last answered probe; 0: not known
};
/// A user asks; answered by exactly one Answer with the same token, within 5 s.
struct PingRequest {
  uint64_t token;
  std::string node;
};
struct TraceRequest {
  uint64_t token;
  std::string node;
};

using Event =
    std::variant<Attached, Detached, Acked, DataplaneEvent, PacketIn, Tick, TrafficSeen, PingRequest, TraceRequest>;

/// One batch, without begin and commit: the daemon adds them with the attachment's boot ID and fence. One is on its way
/// at a time: the next comes after its Acked. May hold key chains: whoever writes it out wipes it.
struct Install {
  uint64_t generation;
  std::vector<InstallMessage> messages;
};
struct Send {
  ControlPacket packet;
};
struct TraceHop {
  std::string node;
  std::string link;       ///< into that node; empty for the first
  int64_t delay_ns = -1;  ///< round trip from the ingress; -1 when it did not answer
};
struct TracedCircuit {
  std::string circuit;
  std::vector<TraceHop> hops;
};
struct Answer {
  uint64_t token;
  std::string error;                    ///< empty when it worked
  std::vector<TracedCircuit> circuits;  ///< ping: one hop each, the far end
};
struct Log {
  LogLevel level;
  std::string text;
};

using Action = std::variant<Install, Send, Answer, Log>;

}  // namespace sky::controlplane
