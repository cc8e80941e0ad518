// A circuit as one node knows it: two legs, towards the ingress and towards the egress, each a link, the route ID that
// this node gave out for frames from there, and the one it was given for frames to there. From it follow the rules,
// the member and the messages; nothing here sends or installs.
//
//   ingress  asking --reply--> installing --ack--> up            (asks again: refresh, repair)
//   transit  asking (SETUP passed on) --reply--> installing --ack, reply passed back--> up
//   egress   installing --ack, reply--> up
//
// Every state ends by Close, by a refusal, or when its life is over. Source: docs/protocol.md, "Signalling".
#pragma once

#include <optional>

#include "controlplane/core/events.h"
#include "controlplane/signalling/messages.h"

namespace sky::controlplane {

enum class CircuitRole : uint8_t { ingress, transit, egress };
enum class CircuitState : uint8_t { asking, installing, up };
std::string_view name_of(CircuitRole role);
std::string_view name_of(CircuitState state);

/// Names a path: a hash of its links in order. The low three bits are zero, free for a role.
uint64_t hash_of(const std::vector<PathNode>& path);

/// One link, with the route IDs of both its ends.
struct Way {
  LinkIndex link = kNoLink;
  RouteId mine{};    ///< given out here
  RouteId theirs{};  ///< given out by the neighbour; of an alternate 0 while it has none
  bool operator==(const Way&) const = default;
};

/// One hop of a circuit, with a parallel link to the same neighbour where there is one.
struct Leg : Way {
  Way alternate{};

  bool has_alternate() const { return alternate.link != kNoLink; }
  /// Both ends gave a route ID out for it: packets may take it.
  bool protects() const { return has_alternate() && alternate.theirs != kControlRoute; }
  bool goes_by(LinkIndex other) const { return link == other || (has_alternate() && alternate.link == other); }
  /// Each of which frames may come by.
  std::vector<Way> ways() const {
    return has_alternate() ? std::vector<Way>{*this, alternate} : std::vector<Way>{*this};
  }
  bool operator==(const Leg&) const = default;
};

/// What an ingress keeps of its asking for a circuit.
struct Asking {
  bool now = false;      ///< a SETUP is out
  unsigned attempt = 0;  ///< of it
  TimeNs at = kNever;    ///< the next one: retry, or refresh
  TimeNs repair_at = kNever;
  unsigned repairs = 0;  ///< in vain since it was last live
};

struct Circuit {
  CircuitId id{};
  CircuitRole role{};
  CircuitState state{};
  std::vector<PathNode> path{};  ///< empty: adopted, and not refreshed since
  uint64_t path_hash = 0;
  uint8_t hop = 0;  ///< this node's place in the path
  Leg up{};         ///< towards the ingress
  Leg down{};       ///< towards the egress
  uint8_t treatment = 0;
  uint32_t rate_kbit_s = 0;  ///< in the realtime queue, each way
  uint8_t hop_limit = kMostHopLimit;
  uint16_t mtu = 0;
  bool standby = false;
  bool ruled = false;  ///< rules were put: their route IDs rest when these are gone
  uint32_t life_s = 0;
  TimeNs made_ns = 0;
  TimeNs refreshed_ns = 0;
  TimeNs expires_ns = kNever;

  bool reply_due = false;  ///< a SETUP came and waits for its answer
  Bytes blob{};            ///< transit: of the reply that is passed back. Egress: what the reply answers

  // At an end.
  Ipv6Address peer{};  ///< the other end
  uint16_t send_stream = 0;
  uint16_t receive_stream = 0;
  CopiedStreams copied{};             ///< that go over it; transit: what the egress answered
  std::optional<GroupIndex> group{};  ///< it is a member there, in `slot`
  uint8_t slot = 0;
  bool live = false;
  uint32_t rtt_us = 0;

  // At the ingress.
  CopiedStreams copied_asked{};  ///< what its SETUP names
  bool copied_granted = false;   ///< and the egress keeps windows for: they can be used
  unsigned rank = 0;             ///< among the paths to its group's node; 0 is the best
  Asking asking{};

  bool is_end() const { return role != CircuitRole::transit; }
  /// At an end: the leg that leads to the other one.
  const Leg& leg() const { return role == CircuitRole::ingress ? down : up; }
  /// The owner's word beside a rule: names path, role, direction and way to a control plane that returns.
  uint64_t cookie(Towards towards, bool alternate = false) const;

  /// At an end: the far end's streams, and which worker opens them.
  struct End {
    SessionIndex session = kNoSession;
    uint8_t streams = 0;
    uint8_t worker = 0;
  };
  std::vector<RuleMessage> rules(const End& end) const;
  MemberMessage member(SessionIndex session, uint8_t weight) const;

  /// Whether a SETUP whose path comes by that link speaks of this circuit as it is known here.
  bool fits(const Setup& setup, LinkIndex from) const;
};

/// What a cookie says.
struct CookieWord {
  uint64_t path_hash;
  CircuitRole role;
  Towards towards;
  bool alternate;  ///< the rule is bound to a leg's alternate link
};
std::optional<CookieWord> read_cookie(uint64_t cookie);

/// The rows of one circuit as a dump has them, made into the circuit; nothing when they are not one whole circuit.
/// `peer` and `path` are the caller's to find.
struct CircuitRows {
  std::vector<RuleMessage> rules;
  std::optional<MemberMessage> member;
};
std::optional<Circuit> recover(const CircuitRows& rows);

}  // namespace sky::controlplane
