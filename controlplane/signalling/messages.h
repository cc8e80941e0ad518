// The messages by which neighbours set circuits up (packet type 64, route ID 0): values in memory and bytes on the
// wire. decode_signal() checks everything that can be checked without knowing this node: sizes to the byte, ranges,
// reserved bits, that no node stands twice in a path. After it a message is well formed and still a stranger's word.
// Cost: one allocation for a path, one for a blob. Source: docs/protocol.md, "Signalling".
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "dataplane/base/ids.h"
#include "dataplane/base/result.h"
#include "dataplane/protocol/frame.h"
#include "dataplane/protocol/install.h"

namespace sky::controlplane {

using Bytes = std::vector<uint8_t>;
using LinkId = std::array<uint8_t, 8>;  ///< first 8 bytes of BLAKE2b-256 of the link's name; zero: none

inline constexpr size_t kMostPathNodes = 32;
inline constexpr size_t kMostBlobBytes = 400;  ///< a session handshake message
inline constexpr size_t kMostReasonText = 160;
inline constexpr uint8_t kLeastHopLimit = 40;
inline constexpr uint8_t kMostHopLimit = 64;
inline constexpr uint32_t kMostLife_s = 7 * 24 * 3600;
inline constexpr uint16_t kLeastMtu = 576;
inline constexpr uint32_t kLeastRate_kbit_s = 64, kMostRate_kbit_s = 1'000'000'000;
/// A circuit owns so many neighbouring streams each way, one for each worker that may seal on it.
inline constexpr uint16_t kStreamsPerCircuit = kMaxLanes;

using SetupProof = std::array<uint8_t, 16>;

LinkId link_id(std::string_view link_name);

struct PathNode {
  Ipv6Address address{};  ///< Skywire address
  LinkId link{};          ///< into this node; zero for the ingress
  bool operator==(const PathNode&) const = default;
};

enum class SignalType : uint8_t { setup = 1, setup_reply, setup_refused, close, trace, trace_reply };

/// A second way over one hop: a parallel link of the same two nodes, and the sender's route ID for frames from there.
struct AlternateWay {
  LinkId link{};  ///< zero: none
  RouteId route{};
  bool operator==(const AlternateWay&) const = default;
};

struct Setup {
  bool refresh = false;  ///< the ingress knows this circuit as up
  bool standby = false;  ///< the ingress sends on it only when its others are dead: the egress does likewise
  uint8_t attempt = 0;
  uint8_t hop = 0;  ///< the receiver's place in the path, 1 to n - 1
  CircuitId circuit{};
  uint32_t life_s = 0;
  uint8_t treatment = 0;
  uint16_t mtu = 0;        ///< so far: largest IP packet, bytes
  RouteId return_route{};  ///< the sender's, for frames from the receiver
  AlternateWay alternate{};
  uint16_t stream_to_egress = 0;
  uint16_t stream_to_ingress = 0;
  uint8_t hop_limit = 0;
  uint32_t rate_kbit_s = 0;  ///< of a circuit in the realtime queue, each way; else 0
  CopiedStreams copied{};
  SetupProof proof{};          ///< the ingress's, for the egress: proven_bytes() under their shared key
  std::vector<PathNode> path;  ///< from ingress to egress
  Bytes blob;                  ///< a message of the session handshake, or nothing
  bool operator==(const Setup&) const = default;
};

/// What the ingress vouches for: all of it but what hops change on the way, and whether it is a refresh.
Bytes proven_bytes(Setup setup);

struct SetupReply {
  uint8_t hop = 0;  ///< the replier's
  CircuitId circuit{};
  RouteId forward_route{};    ///< the sender's, for frames from the receiver
  RouteId alternate_route{};  ///< the same by the alternate link that the SETUP named; 0: not that way
  uint16_t mtu = 0;
  uint8_t copy_window = 0;  ///< as the SETUP has it where the egress keeps such a window, else 0
  Bytes blob;
  bool operator==(const SetupReply&) const = default;
};

/// Why a circuit is refused or ended; on the wire.
enum class CircuitReason : uint8_t {
  none = 0,
  malformed,     ///< the path does not fit where the message came from
  not_here,      ///< names another node or an unknown next one
  full,          ///< this node's cap, or the table
  quota,         ///< the neighbour's share
  too_fast,      ///< more a second than its ration
  link_down,     ///< the next link
  conflict,      ///< the circuit is known otherwise
  unknown_peer,  ///< the ingress is no node of the topology
  need_session,  ///< no keys with the ingress: say who you are
  session_busy,  ///< the other direction's handshake counts: ask again
  bad_session,   ///< the handshake was refused
  idle,          ///< close: nobody used it
  replaced,      ///< close: another took its place
  expired,       ///< close: not refreshed in time
  shutdown,      ///< close: an operator's wish
  not_proven,    ///< the ingress named does not vouch for this SETUP
  damaged,       ///< close: too many of its Datagrams do not open
  no_bandwidth,  ///< the realtime budget of a link is spent
  count,
};
std::string_view name_of(CircuitReason reason);

struct SetupRefused {
  CircuitReason reason{};
  uint8_t hop = 0;  ///< the refuser's
  CircuitId circuit{};
  std::string text;
  bool operator==(const SetupRefused&) const = default;
};

enum class Towards : uint8_t { egress = 0, ingress = 1 };

struct Close {
  CircuitReason reason{};
  Towards towards{};
  CircuitId circuit{};
  bool operator==(const Close&) const = default;
};

/// Passed on to the end it goes towards; every node also answers where it came from.
struct Trace {
  Towards towards{};
  uint8_t hop = 0;  ///< the receiver's
  CircuitId circuit{};
  uint32_t probe = 0;
  bool operator==(const Trace&) const = default;
};

struct TraceReply {
  Towards towards{};  ///< as in the trace it answers
  uint8_t hop = 0;    ///< who answers
  CircuitId circuit{};
  uint32_t probe = 0;
  Ipv6Address address{};
  bool operator==(const TraceReply&) const = default;
};

using Signal = std::variant<Setup, SetupReply, SetupRefused, Close, Trace, TraceReply>;

/// At most kMaxSignalBytes, given what decode_signal() accepts.
Bytes encode_signal(const Signal& signal);
Result<Signal> decode_signal(std::span<const uint8_t> bytes);

/// In hexadecimal, as users see it.
std::string circuit_text(const CircuitId& circuit);

}  // namespace sky::controlplane
