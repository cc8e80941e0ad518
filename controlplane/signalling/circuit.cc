#include "controlplane/signalling/circuit.h"

#include <sodium.h>

#include <array>
#include <cstring>

namespace sky::controlplane {
namespace {

constexpr uint64_t kRoleBits = 3;
constexpr uint64_t kAlternateBit = 4;

enum class CookieRole : uint8_t { ingress, transit_to_egress, transit_to_ingress, egress };

}  // namespace

std::string_view name_of(CircuitRole role) {
  static constexpr std::array<std::string_view, 3> kNames{"ingress", "transit", "egress"};
  return kNames[to_underlying(role)];
}

std::string_view name_of(CircuitState state) {
  static constexpr std::array<std::string_view, 3> kNames{"setup", "installing", "up"};
  return kNames[to_underlying(state)];
}

uint64_t hash_of(const std::vector<PathNode>& path) {
  crypto_generichash_state state;
  crypto_generichash_init(&state, nullptr, 0, crypto_generichash_BYTES);
  for (const PathNode& node : path) crypto_generichash_update(&state, node.link.data(), node.link.size());
  std::array<uint8_t, crypto_generichash_BYTES> hash;
  crypto_generichash_final(&state, hash.data(), hash.size());
  uint64_t first;
  std::memcpy(&first, hash.data(), sizeof first);
  return first & ~uint64_t{7};
}

uint64_t Circuit::cookie(Towards towards, bool alternate) const {
  CookieRole word = CookieRole::egress;
  if (role == CircuitRole::ingress) word = CookieRole::ingress;
  if (role == CircuitRole::transit) {
    word = towards == Towards::egress ? CookieRole::transit_to_egress : CookieRole::transit_to_ingress;
  }
  return path_hash | (alternate ? kAlternateBit : 0) | to_underlying(word);
}

std::optional<CookieWord> read_cookie(uint64_t cookie) {
  const uint64_t hash = cookie & ~(kRoleBits | kAlternateBit);
  const bool alternate = (cookie & kAlternateBit) != 0;
  if (hash == 0) return std::nullopt;
  switch (CookieRole{static_cast<uint8_t>(cookie & kRoleBits)}) {
    case CookieRole::ingress:
      return CookieWord{hash, CircuitRole::ingress, Towards::ingress, alternate};
    case CookieRole::transit_to_egress:
      return CookieWord{hash, CircuitRole::transit, Towards::egress, alternate};
    case CookieRole::transit_to_ingress:
      return CookieWord{hash, CircuitRole::transit, Towards::ingress, alternate};
    case CookieRole::egress:
      return CookieWord{hash, CircuitRole::egress, Towards::egress, alternate};
  }
  return std::nullopt;
}

std::vector<RuleMessage> Circuit::rules(const End& end) const {
  std::vector<RuleMessage> made;
  const auto add = [&](Towards towards, const Way& way, const Leg& leg, const Rule& rule) {
    const bool alternate = way.link != leg.link;
    made.push_back({.rate_kbit_s = rate_kbit_s, .rule = rule, .circuit = id, .cookie = cookie(towards, alternate)});
  };
  if (is_end()) {
    const Towards towards = role == CircuitRole::ingress ? Towards::ingress : Towards::egress;
    for (const Way& way : leg().ways()) {
      add(towards, way, leg(),
          {.route_id = way.mine,
           .in_link = way.link,
           .action = RuleAction::consume,
           .treatment = treatment,
           .next_link = kNoLink,
           .alternate_link = kNoLink,
           .twin = way.theirs,
           .session = end.session,
           .stream = receive_stream,
           .streams = end.streams,
           .worker = end.worker});
    }
    if (role == CircuitRole::egress) {
      for (RuleMessage& rule : made) rule.copied = copied_word(copied);
    }
    return made;
  }
  const auto forward = [&](Towards towards, const Leg& from, const Leg& to) {
    for (const Way& way : from.ways()) {
      add(towards, way, from,
          {.route_id = way.mine,
           .in_link = way.link,
           .action = RuleAction::forward,
           .treatment = treatment,
           .next_link = to.link,
           .alternate_link = to.protects() ? to.alternate.link : kNoLink,
           .next_route = to.theirs,
           .alternate_route = to.protects() ? to.alternate.theirs : RouteId{},
           .twin = to.mine,
           .session = kNoSession});
    }
  };
  forward(Towards::egress, up, down);
  forward(Towards::ingress, down, up);
  return made;
}

MemberMessage Circuit::member(SessionIndex session, uint8_t weight) const {
  const Leg& first = leg();
  return {.slot = slot,
          .hop_limit = hop_limit,
          .group = group.value(),
          .link = first.link,
          .copied = role == CircuitRole::ingress ? copied_word(copied) : uint16_t{0},
          .route = first.theirs,
          .consume = first.mine,
          .session = session,
          .stream = send_stream,
          .mtu = mtu,
          .treatment = treatment,
          .weight = weight,
          .alternate_link = first.protects() ? first.alternate.link : kNoLink,
          .circuit = id,
          .cookie = cookie(role == CircuitRole::ingress ? Towards::egress : Towards::ingress),
          .alternate_route = first.protects() ? first.alternate.theirs : RouteId{},
          .alternate_consume = first.protects() ? first.alternate.mine : RouteId{}};
}

bool Circuit::fits(const Setup& setup, LinkIndex from) const {
  if (role == CircuitRole::ingress || up.link != from || rate_kbit_s != setup.rate_kbit_s) return false;
  if (path.empty() ? path_hash != hash_of(setup.path) : path != setup.path || hop != setup.hop) return false;
  if (role == CircuitRole::transit) return true;
  return peer == setup.path.front().address && receive_stream == setup.stream_to_egress &&
         (!group || send_stream == setup.stream_to_ingress);
}

namespace {

/// The rules of one circuit by direction and way; nullptr for those that are not there.
struct SortedRules {
  std::array<std::array<const Rule*, 2>, 2> rules{};  ///< [Towards][alternate]

  const Rule* of(Towards towards, bool alternate = false) const { return rules[to_underlying(towards)][alternate]; }
};

/// Nothing when two say they are the same, or not all are of one circuit.
std::optional<SortedRules> sort(const std::vector<RuleMessage>& rows, const CookieWord& first) {
  SortedRules sorted;
  for (const RuleMessage& row : rows) {
    const auto word = read_cookie(row.cookie);
    if (!word || word->role != first.role || word->path_hash != first.path_hash) return std::nullopt;
    const Rule*& place = sorted.rules[to_underlying(word->towards)][word->alternate];
    const RuleAction action = word->role == CircuitRole::transit ? RuleAction::forward : RuleAction::consume;
    if (place != nullptr || row.rule.action != action) return std::nullopt;
    place = &row.rule;
  }
  return sorted;
}

std::optional<Circuit> recover_end(const SortedRules& rules, const CircuitRows& rows, const CookieWord& word) {
  const Rule* rule = rules.of(word.towards);
  const Rule* alternate = rules.of(word.towards, true);
  if (rule == nullptr) return std::nullopt;
  Circuit circuit{
      .id = rows.rules[0].circuit, .role = word.role, .state = CircuitState::up, .path_hash = word.path_hash};
  Leg& leg = word.role == CircuitRole::ingress ? circuit.down : circuit.up;
  leg = {{.link = rule->in_link, .mine = rule->route_id, .theirs = rule->twin}};
  if (alternate != nullptr)
    leg.alternate = {.link = alternate->in_link, .mine = alternate->route_id, .theirs = alternate->twin};
  circuit.treatment = rule->treatment;
  circuit.rate_kbit_s = rows.rules[0].rate_kbit_s;
  circuit.receive_stream = rule->stream;
  if (word.role == CircuitRole::egress) circuit.copied = copied_streams(rows.rules[0].copied);
  const auto& member = rows.member;
  if (!member) return word.role == CircuitRole::egress ? std::optional(circuit) : std::nullopt;
  if (member->consume != rule->route_id || member->link != rule->in_link || member->route != rule->twin ||
      member->slot >= kMaxMembers)
    return std::nullopt;
  circuit.hop_limit = member->hop_limit;
  circuit.mtu = member->mtu;
  circuit.send_stream = member->stream;
  circuit.group = member->group;
  circuit.slot = member->slot;
  circuit.live = member->live != 0;
  circuit.standby = member->weight == 0;
  if (word.role == CircuitRole::ingress) {
    circuit.copied = circuit.copied_asked = copied_streams(member->copied);
    circuit.copied_granted = circuit.copied.window != 0;
  }
  return circuit;
}

/// The leg that frames come in by as these rules say, and leave by as `onward` does.
Leg leg_of(const Rule& in, const Rule* in_alternate, const Rule& onward) {
  Leg leg{{.link = in.in_link, .mine = in.route_id, .theirs = onward.next_route}};
  if (in_alternate == nullptr) return leg;
  const bool protects = onward.alternate_link == in_alternate->in_link;
  leg.alternate = {.link = in_alternate->in_link,
                   .mine = in_alternate->route_id,
                   .theirs = protects ? onward.alternate_route : RouteId{}};
  return leg;
}

std::optional<Circuit> recover_transit(const SortedRules& rules, const CircuitRows& rows, const CookieWord& word) {
  const Rule* there = rules.of(Towards::egress);
  const Rule* here = rules.of(Towards::ingress);
  const bool is_pair = there != nullptr && here != nullptr && there->twin == here->route_id &&
                       here->twin == there->route_id && there->next_link == here->in_link &&
                       here->next_link == there->in_link;
  if (!is_pair) return std::nullopt;
  return Circuit{.id = rows.rules[0].circuit,
                 .role = CircuitRole::transit,
                 .state = CircuitState::up,
                 .path_hash = word.path_hash,
                 .up = leg_of(*there, rules.of(Towards::egress, true), *here),
                 .down = leg_of(*here, rules.of(Towards::ingress, true), *there),
                 .treatment = there->treatment,
                 .rate_kbit_s = rows.rules[0].rate_kbit_s};
}

}  // namespace

std::optional<Circuit> recover(const CircuitRows& rows) {
  const auto word = rows.rules.empty() ? std::nullopt : read_cookie(rows.rules[0].cookie);
  const auto rules = word ? sort(rows.rules, *word) : std::nullopt;
  if (!rules) return std::nullopt;
  return word->role == CircuitRole::transit ? recover_transit(*rules, rows, *word) : recover_end(*rules, rows, *word);
}

}  // namespace sky::controlplane
