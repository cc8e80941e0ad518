// The messages of the contract between the two processes: 64 bytes each, native byte order (both
// ends are on one machine), every field validated by the reader after it was copied out of the ring
// (docs/protocol.md, "Contract").
//
// Down (install ring): begin, puts and deletes, commit; or dump; or watch. Up (ack ring): ack, dump rows in
// the form of the put that would make them, dump_end. Up (event ring): link_state, chain_confirmed,
// member_state, miss, circuit_damaged. A batch is checked whole and refused whole, or applied in dependency order
// and acked with its generation.
#pragma once

#include <array>
#include <cstdint>
#include <type_traits>

#include "dataplane/base/ids.h"

namespace sky {

enum class Verb : uint8_t {
  none = 0,
  begin = 1,
  commit = 2,
  dump = 3,
  watch = 4,
  put_link = 16,
  put_key_chain,
  put_session,
  put_rule,
  put_group,
  put_member,
  put_destination,
  delete_link = 32,
  delete_session,
  delete_rule,
  delete_group,
  delete_member,
  delete_destination,
  ack = 64,
  dump_end,
  link_state = 80,
  chain_confirmed,
  member_state,
  miss,
  circuit_damaged,
};

enum class Table : uint8_t { links = 1, sessions, rules, groups, members, destinations };

enum class InstallError : uint8_t {
  none = 0,
  unknown_verb,
  no_batch,        ///< a put outside begin ... commit
  batch_too_long,  ///< over kMaxBatch messages
  count_mismatch,  ///< commit counts otherwise than the dataplane
  wrong_boot_id,
  wrong_fence,
  bad_index,           ///< outside the table
  bad_value,           ///< a field outside its range
  missing_dependency,  ///< names a link, session or group that neither stands nor comes in this
                       ///< batch
  still_used,          ///< deletes what something that stays refers to
  key_seen_before,     ///< a chain is installed once in its life
  occupied,            ///< the route table slot holds another route ID
  not_found,
  table_full,
};

inline constexpr uint32_t kMaxBatch = 65536;

struct BeginMessage {
  Verb verb = Verb::begin;
  uint8_t pad[7]{};
  uint64_t generation{};  ///< rises with each batch of an attachment
  uint64_t boot_id{};     ///< of the segment this batch was made for
  uint64_t fence{};       ///< of this attachment
  uint8_t rest[32]{};
};

struct CommitMessage {
  Verb verb = Verb::commit;
  uint8_t pad[3]{};
  uint32_t count{};  ///< messages between begin and commit
  uint64_t generation{};
  uint8_t rest[48]{};
};

/// Asks for rows of a table from index `from` on; answered by rows and one dump_end.
struct DumpMessage {
  Verb verb = Verb::dump;
  Table table{};
  uint8_t pad[2]{};
  uint32_t from{};
  uint32_t most{};  ///< rows at most
  uint8_t rest[52]{};
};

/// Asks for copies of packets (protocol/watch.h) in place of what was asked for before. Answered by records and one
/// last record, unless another watch comes before this one began.
struct WatchMessage {
  Verb verb = Verb::watch;
  uint8_t points{};    ///< kWatch...
  uint8_t matches{};   ///< kMatch...: which of the fields below must agree
  uint8_t type{};      ///< packet type
  uint32_t request{};  ///< comes back in each record
  uint32_t count{};    ///< records, or packets with kWatchStages; 0: no more of what was asked for before
  RouteId route{};
  LinkIndex link{};
  PortIndex port{};
  uint8_t reason{};  ///< Drop
  uint8_t rest[43]{};
};

struct AckMessage {
  Verb verb = Verb::ack;
  InstallError error{};
  uint8_t pad[2]{};
  uint32_t index{};  ///< of the refused message within its batch
  uint64_t generation{};
  uint8_t rest[48]{};
};

struct DumpEndMessage {
  Verb verb = Verb::dump_end;
  Table table{};
  uint8_t pad[2]{};
  uint32_t rows{};
  uint32_t next{};  ///< `from` for the next dump; 0 when the table is at its end
  uint8_t rest[52]{};
};

struct LinkMessage {
  Verb verb = Verb::put_link;
  uint8_t up{};           ///< dump: 1 when live
  LinkIndex link{};       ///< also the receive index the peer writes into its headers
  uint32_t peer_index{};  ///< what we write into ours
  PortIndex port{};
  MacAddress peer_mac{};
  uint16_t ether_type{};
  uint8_t least_kind{};        ///< FrameKind: what is taken
  uint8_t multiplier{};        ///< liveness: detection after so many intervals, 2..10
  uint32_t interval_us{};      ///< liveness: 1,000..1,000,000
  uint32_t hold_ms{};          ///< up after this long without a fault, doubling to 60 s
  uint16_t mtu{};              ///< carrier payload bytes
  uint8_t rx_parity{};         ///< dump: parity of the newest receive chain
  uint8_t tx_parity{};         ///< dump: of the current send chain
  uint8_t keyed{};             ///< dump: bit 0 has a receive key, bit 1 a send key
  uint8_t kind{};              ///< FrameKind: what is sent, the stronger of both ends' least; a circuit may demand more
  uint8_t lanes = 1;           ///< that the peer seals on
  Suite suite{};               ///< dump: of the current send chain
  uint32_t realtime_kbit_s{};  ///< budget of what comes by it for realtime queues; 0: none
  uint64_t cookie{};           ///< the owner's word, kept and dumped
  uint32_t rate_kbit_s{};      ///< all that is taken of the neighbour but route ID 0; 0: no limit
  uint8_t rest[12]{};
};

enum class KeyOwner : uint8_t { link = 0, session = 1 };
enum class Direction : uint8_t { receive = 0, send = 1 };

/// One direction's chain secret. Wiped from the slot as it is taken.
struct KeyChainMessage {
  Verb verb = Verb::put_key_chain;
  KeyOwner owner{};
  Direction direction{};
  uint8_t parity{};         ///< 0 or 1, the other one than the chain it follows
  uint32_t index{};         ///< link or session
  uint64_t key_id{};        ///< names this chain once and for all; the same for both directions of a handshake
  uint8_t wait_for_peer{};  ///< send chain: current only after an authentic frame under the receive
                            ///< chain of `key_id`
  Suite suite = Suite::aes_256_gcm;
  uint8_t pad[6]{};
  std::array<uint8_t, 32> secret{};
  uint8_t rest[8]{};
};

struct SessionMessage {
  Verb verb = Verb::put_session;
  uint8_t rx_parity{};  ///< dump
  uint8_t tx_parity{};  ///< dump
  uint8_t keyed{};      ///< dump: bit 0 receive, bit 1 send
  SessionIndex session{};
  uint64_t session_id{};  ///< part of the associated data, agreed in the handshake
  uint32_t domain{};      ///< AS number of the peer: inner sources must lie in destinations of that domain
  uint32_t pad{};
  uint64_t cookie{};
  Ipv6Address peer{};  ///< Skywire address
  uint8_t rest[16]{};
};

enum class RuleAction : uint8_t { none = 0, forward = 1, consume = 2 };

/// What a node does with a route ID.
struct alignas(8) Rule {
  RouteId route_id{};   ///< the whole ID; its low bits are the index
  LinkIndex in_link{};  ///< the one link it may arrive on
  RuleAction action{};
  uint8_t treatment{};    ///< see frame.h
  LinkIndex next_link{};  ///< forward; for consume kNoLink
  LinkIndex alternate_link{};
  RouteId next_route{};  ///< as the next node allocated it
  RouteId alternate_route{};
  RouteId twin{};          ///< forward: the opposite direction's rule here. consume: what to send back to
                           ///< the far end
  SessionIndex session{};  ///< consume
  uint16_t stream{};       ///< consume: first allowed stream
  uint8_t streams{};       ///< consume: how many
  uint8_t worker{};        ///< consume: who opens them; others hand them on to it
};
static_assert(sizeof(Rule) == 32 && std::is_trivially_copyable_v<Rule>);

/// Streams that circuits of one ingress share, towards the egress, one for each worker that may seal: each packet comes
/// on them once by every circuit that it was sent over.
struct CopiedStreams {
  uint16_t stream = 0;  ///< the first, a multiple of kMaxLanes
  uint8_t window = 0;   ///< log2 of counters that the egress keeps in mind, 13 to 20; 0: none are copied
  bool operator==(const CopiedStreams&) const = default;
};
/// As messages have it: the stream, and in its low four bits the window less 12; 0: none.
constexpr uint16_t copied_word(const CopiedStreams& copied) {
  return copied.window == 0 ? 0 : static_cast<uint16_t>(copied.stream | (copied.window - 12));
}
constexpr CopiedStreams copied_streams(uint16_t word) {
  if (word == 0) return {};
  return {.stream = static_cast<uint16_t>(word & ~15), .window = static_cast<uint8_t>((word & 15) + 12)};
}
inline constexpr uint8_t kLeastCopyWindow = 13;  ///< log2 of counters: what every other stream has
inline constexpr uint8_t kMostCopyWindow = 20;
inline constexpr uint32_t kMostCopyRate = 100'000'000;  ///< packets a second

/// A consume rule's `twin` is the far end's route on `in_link`: an answer goes out there. Its circuit may share as many
/// copied streams as it has own ones with others of its session, all opened by the same worker.
struct RuleMessage {
  Verb verb = Verb::put_rule;
  uint8_t pad{};
  uint16_t copied{};       ///< consume: copied_word
  uint32_t rate_kbit_s{};  ///< of a circuit in the realtime queue, and of no other: the rest goes on in the last queue
  Rule rule{};
  CircuitId circuit{};
  uint64_t cookie{};
};

enum class GroupMode : uint8_t { pin = 0, copy = 1 };

struct GroupMessage {
  Verb verb = Verb::put_group;
  GroupMode mode{};
  UntilUp until_up{};
  uint8_t probe_multiplier{};
  GroupIndex group{};
  uint32_t probe_interval_us{};
  uint32_t domain{};  ///< AS number of the destination
  uint64_t cookie{};
  Ipv6Address end{};     ///< Skywire address of the (first) end node, reported in a miss
  uint32_t copy_rate{};  ///< mode copy: packets a second at most that go twice
  uint8_t rest[20]{};
};

inline constexpr unsigned kMaxMembers = 8;

struct MemberMessage {
  Verb verb = Verb::put_member;
  uint8_t slot{};       ///< 0..7 within the group
  uint8_t live{};       ///< dump; a put never sets it
  uint8_t hop_limit{};  ///< 40..64, fixed per circuit
  GroupIndex group{};
  LinkIndex link{};   ///< first hop
  uint16_t copied{};  ///< copied_word: in mode copy, of two members that have the same each gets a copy. The window is
                      ///< the far end's, kept for a control plane that returns
  RouteId route{};    ///< as the first hop allocated it
  RouteId consume{};  ///< this node's own rule that ends the opposite direction
  SessionIndex session{};
  uint16_t stream{};  ///< first stream; worker w seals on stream + w
  uint16_t mtu{};     ///< largest IP packet this circuit carries
  uint8_t treatment{};
  uint8_t weight{};                    ///< 0: standby, taken when no member with a weight is live
  LinkIndex alternate_link = kNoLink;  ///< a parallel one to the same node, taken while `link` is down; kNoLink: none
  CircuitId circuit{};
  uint64_t cookie{};
  RouteId alternate_route{};
  RouteId alternate_consume{};
};

/// Whether the circuit's opposite direction ends at that rule.
inline bool ends_at(const MemberMessage& member, RouteId consume) {
  return member.consume == consume || (member.alternate_link != kNoLink && member.alternate_consume == consume);
}

inline constexpr GroupIndex kLocalGroup{0xfffffffe};  ///< deliver to this node's TUN

struct DestinationMessage {
  Verb verb = Verb::put_destination;
  Family family{};
  uint8_t length{};  ///< bits of prefix: 0..32 or 0..128
  uint8_t pad{};
  GroupIndex group{};
  Ipv6Address prefix{};  ///< IPv4 in the first four bytes
  uint64_t cookie{};
  uint8_t rest[32]{};
};

/// Every delete: the key of what goes. Rules: `index` = route ID; members: `index` = group, `slot`.
struct DeleteMessage {
  Verb verb{};
  uint8_t slot{};
  Family family{};
  uint8_t length{};
  uint32_t index{};
  Ipv6Address prefix{};
  uint8_t rest[40]{};
};

struct LinkStateEvent {
  Verb verb = Verb::link_state;
  uint8_t up{};
  LinkIndex link{};
  uint8_t pad[4]{};
  uint64_t at_ns{};  ///< CLOCK_MONOTONIC
  uint8_t rest[48]{};
};

/// The first authentic frame under a receive chain: the peer holds the keys.
struct ChainConfirmedEvent {
  Verb verb = Verb::chain_confirmed;
  KeyOwner owner{};
  uint8_t pad[2]{};
  uint32_t index{};
  uint64_t key_id{};
  uint8_t rest[48]{};
};

struct MemberStateEvent {
  Verb verb = Verb::member_state;
  uint8_t slot{};
  uint8_t live{};
  uint8_t pad{};
  GroupIndex group{};
  uint32_t rtt_us{};  ///< of the last answered probe; 0 when none
  uint8_t rest[52]{};
};

/// A packet found no live member in its group.
struct MissEvent {
  Verb verb = Verb::miss;
  uint8_t pad[3]{};
  GroupIndex group{};
  uint8_t rest[56]{};
};

/// Over kMostDamaged Datagrams of a circuit that ends here did not open within a second: bits of what a hop leaves open
/// (kind `header`) are changed on its way.
struct CircuitDamagedEvent {
  Verb verb = Verb::circuit_damaged;
  uint8_t pad[3]{};
  RouteId route{};  ///< the consume rule
  uint8_t rest[56]{};
};

/// What a ring carries: the verb tells which of the above the 64 bytes are. Copy out first, then
/// look.
struct alignas(8) InstallMessage {
  Verb verb{};
  std::array<uint8_t, 63> body{};

  template <typename T>
  static InstallMessage of(const T& message) {
    static_assert(sizeof(T) == 64 && std::is_trivially_copyable_v<T>);
    return __builtin_bit_cast(InstallMessage, message);
  }
  /// Reads the 64 bytes as T; the caller has looked at `verb`.
  template <typename T>
  T as() const {
    static_assert(sizeof(T) == 64 && std::is_trivially_copyable_v<T>);
    return __builtin_bit_cast(T, *this);
  }
};
static_assert(sizeof(InstallMessage) == 64);

}  // namespace sky
