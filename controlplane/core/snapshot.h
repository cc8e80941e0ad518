// What the core knows, as plain data for whoever shows it: names and states in words, ages in nanoseconds, nothing to
// look up elsewhere. A copy, taken at one moment; costs a pass over all circuits and destinations.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "dataplane/base/ids.h"

namespace sky::controlplane {

struct LinkSnapshot {
  LinkIndex index{};
  std::string name;
  std::string peer;  ///< node
  std::string port;
  std::string state;         ///< handshaking (no keys yet), down, up
  uint64_t age_ns = 0;       ///< in this state
  uint64_t key_age_ns = 0;   ///< since the last handshake that is known of; 0 when none
  uint64_t key_id = 0;       ///< of the newest handshake; 0 when it was adopted
  std::string peer_mac;      ///< empty until learned
  FrameKind kind;            ///< agreed, once keys were
  Suite suite;               ///< the same
  uint16_t mtu = 0;          ///< carrier payload, bytes
  uint64_t handshakes = 0;   ///< final ones, in this control plane's life
  std::string last_refusal;  ///< fault for which a handshake message was last refused; empty when none was
};

/// A path to a node as the path source gives it, and the circuit that uses it.
struct PathSnapshot {
  std::string to;
  unsigned rank = 0;               ///< 0 is the best
  std::vector<std::string> nodes;  ///< from this node to `to`
  std::vector<std::string> links;  ///< between them
  uint64_t delay_ns = 0;           ///< sum of what the topology tells, one way
  std::string circuit;             ///< empty when there is none
};

struct CircuitSnapshot {
  std::string circuit;  ///< ID in hexadecimal
  std::string role;     ///< ingress, transit, egress
  std::string state;    ///< setup, installing, up
  std::string from;     ///< ingress node; empty when it was adopted and not refreshed yet
  std::string to;
  std::vector<std::string> nodes;  ///< of the whole path; empty when it was adopted and not refreshed yet
  std::vector<std::string> links;
  std::string upstream_link;         ///< empty at the ingress
  std::string downstream_link;       ///< empty at the egress
  std::string upstream_alternate;    ///< the parallel link taken while that one is down; empty: none
  std::string downstream_alternate;  ///< the same
  uint64_t age_ns = 0;               ///< since it was made or adopted
  uint64_t refreshed_ns = 0;         ///< since it was last set up or refreshed
  uint64_t expires_in_ns = 0;
  uint16_t mtu = 0;  ///< IP packet, bytes

  // At an end of the circuit.
  bool member = false;  ///< it takes traffic: group and slot are set
  GroupIndex group{};
  uint8_t slot = 0;
  bool live = false;
  uint16_t weight = 0;  ///< 0: standby
  uint32_t rtt_us = 0;  ///< of the last state change; MemberStats knows it better
  SessionIndex session = kNoSession;
  uint16_t send_stream = 0;
  uint16_t receive_stream = 0;
  // The rules that stand here; 0 where none does.
  RouteId route_from_upstream{};
  RouteId route_from_downstream{};
};

struct MemberSnapshot {
  uint8_t slot = 0;
  std::string circuit;
  bool own = false;  ///< this node is its ingress
  bool live = false;
  uint16_t weight = 0;
  uint16_t mtu = 0;
  uint32_t rtt_us = 0;
  std::vector<std::string> nodes;
};

struct GroupSnapshot {
  GroupIndex index{};
  std::string node;
  std::string domain;
  uint32_t as_number = 0;
  std::string address;                      ///< Skywire address of the end node
  std::string state;                        ///< idle, waiting, up, dead
  bool kept = false;                        ///< named in circuits.keep
  uint32_t copy_rate = 0;                   ///< packets a second that go twice (circuits.copy); 0: mode pin
  std::string copies{};                     ///< mode copy: twice, or why not
  uint64_t copy_window = 0;                 ///< counters, while they do
  std::vector<std::string> copies_share{};  ///< links and nodes that both ways have, ends excepted
  uint64_t used_ns = 0;                     ///< since traffic was last seen; 0 when never
  std::vector<MemberSnapshot> members;
};

struct SessionSnapshot {
  SessionIndex index{};
  std::string peer;
  std::string state;  ///< handshaking, answered (the peer did not confirm yet), up
  uint64_t session_id = 0;
  uint64_t key_id = 0;
  uint64_t key_age_ns = 0;
  uint64_t handshakes = 0;
  unsigned circuits = 0;
  std::string last_refusal;
};

struct DestinationSnapshot {
  std::string prefix;
  bool local = false;
  GroupIndex group{};
  std::string node;  ///< end node; this node when local
  std::string domain;
  std::string state;  ///< local, or the group's
};

struct InstallSnapshot {
  bool attached = false;
  bool in_flight = false;
  uint64_t boot_id = 0;
  uint64_t generation = 0;
  size_t rows = 0;     ///< wanted
  size_t pending = 0;  ///< rows that differ from what stands
  size_t refused = 0;  ///< rows that this dataplane does not take
  size_t orphans = 0;  ///< rows found that nobody owns; deleted after a refresh period
};

struct Snapshot {
  std::string node;
  std::string domain;
  uint32_t as_number = 0;
  std::string address;
  uint64_t uptime_ns = 0;
  uint64_t topology_version = 0;
  std::vector<std::pair<std::string, uint64_t>> handshakes_refused;  ///< by reason
  uint64_t session_handshakes = 0;  ///< final ones of all sessions, in this control plane's life
  InstallSnapshot install;
  std::vector<LinkSnapshot> links;
  std::vector<PathSnapshot> paths;
  std::vector<CircuitSnapshot> circuits;
  std::vector<GroupSnapshot> groups;
  std::vector<SessionSnapshot> sessions;
  std::vector<DestinationSnapshot> destinations;
};

}  // namespace sky::controlplane
