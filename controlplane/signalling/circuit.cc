#include "controlplane/signalling/circuit.h"

#include <sodium.h>

#include <array>
#include <cstring>

namespace sky::controlplane {
namespace {

constexpr uint64_t kRoleBits = 7;

enum class CookieRole : uint8_t { ingress = 1, transit_to_egress, transit_to_ingress, egress };

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

uint64_t Circuit::cookie(Towards towards) const {
  CookieRole word = CookieRole::egress;
  if (role == CircuitRole::ingress) word = CookieRole::ingress;
  if (role == CircuitRole::transit) {
    word = towards == Towards::egress ? CookieRole::transit_to_egress : CookieRole::transit_to_ingress;
  }
  return path_hash | to_underlying(word);
}

std::optional<CookieWord> read_cookie(uint64_t cookie) {
  const uint64_t hash = cookie & ~kRoleBits;
  switch (CookieRole{static_cast<uint8_t>(cookie & kRoleBits)}) {
    case CookieRole::ingress:
      return CookieWord{hash, CircuitRole::ingress, Towards::ingress};
    case CookieRole::transit_to_egress:
      return CookieWord{hash, CircuitRole::transit, Towards::egress};
    case CookieRole::transit_to_ingress:
      return CookieWord{hash, CircuitRole::transit, Towards::ingress};
    case CookieRole::egress:
      return CookieWord{hash, CircuitRole::egress, Towards::egress};
  }
  return std::nullopt;
}

std::vector<RuleMessage> Circuit::rules(const End& end) const {
  const auto message = [&](Towards towards, const Rule& rule) {
    return RuleMessage{.rule = rule, .circuit = id, .cookie = cookie(towards)};
  };
  if (is_end()) {
    const Towards towards = role == CircuitRole::ingress ? Towards::ingress : Towards::egress;
    return {message(towards, {.route_id = leg().mine,
                              .in_link = leg().link,
                              .action = RuleAction::consume,
                              .treatment = treatment,
                              .next_link = kNoLink,
                              .alternate_link = kNoLink,
                              .twin = leg().theirs,
                              .session = end.session,
                              .stream = receive_stream,
                              .streams = end.streams,
                              .worker = end.worker})};
  }
  const auto forward = [&](Towards towards, const Leg& from, const Leg& to) {
    return message(towards, {.route_id = from.mine,
                             .in_link = from.link,
                             .action = RuleAction::forward,
                             .treatment = treatment,
                             .next_link = to.link,
                             .alternate_link = kNoLink,
                             .next_route = to.theirs,
                             .twin = to.mine,
                             .session = kNoSession});
  };
  return {forward(Towards::egress, up, down), forward(Towards::ingress, down, up)};
}

MemberMessage Circuit::member(SessionIndex session, uint16_t weight) const {
  return {.slot = slot,
          .hop_limit = hop_limit,
          .group = group.value(),
          .link = leg().link,
          .weight = weight,
          .route = leg().theirs,
          .consume = leg().mine,
          .session = session,
          .stream = send_stream,
          .mtu = mtu,
          .treatment = treatment,
          .circuit = id,
          .cookie = cookie(role == CircuitRole::ingress ? Towards::egress : Towards::ingress)};
}

bool Circuit::fits(const Setup& setup, LinkIndex from) const {
  if (role == CircuitRole::ingress || up.link != from) return false;
  if (path.empty() ? path_hash != hash_of(setup.path) : path != setup.path || hop != setup.hop) return false;
  if (role == CircuitRole::transit) return true;
  return peer == setup.path.front().address && receive_stream == setup.stream_to_egress &&
         (!group || send_stream == setup.stream_to_ingress);
}

namespace {

std::optional<Circuit> recover_end(const RuleMessage& row, const CookieWord& word,
                                   const std::optional<MemberMessage>& member) {
  const Rule& rule = row.rule;
  if (rule.action != RuleAction::consume || word.role == CircuitRole::transit) return std::nullopt;
  Circuit circuit{.id = row.circuit, .role = word.role, .state = CircuitState::up, .path_hash = word.path_hash};
  const Leg leg{.link = rule.in_link, .mine = rule.route_id, .theirs = rule.twin};
  (word.role == CircuitRole::ingress ? circuit.down : circuit.up) = leg;
  circuit.treatment = rule.treatment;
  circuit.receive_stream = rule.stream;
  if (!member) return word.role == CircuitRole::egress ? std::optional(circuit) : std::nullopt;
  if (member->consume != rule.route_id || member->link != rule.in_link || member->route != rule.twin ||
      member->slot >= kMaxMembers)
    return std::nullopt;
  circuit.hop_limit = member->hop_limit;
  circuit.mtu = member->mtu;
  circuit.send_stream = member->stream;
  circuit.group = member->group;
  circuit.slot = member->slot;
  circuit.live = member->live != 0;
  circuit.standby = member->weight == 0;
  return circuit;
}

std::optional<Circuit> recover_transit(const RuleMessage& onward, const RuleMessage& back, const CookieWord& word) {
  const Rule& there = onward.rule;
  const Rule& here = back.rule;
  const auto other = read_cookie(back.cookie);
  const bool is_pair =
      there.action == RuleAction::forward && here.action == RuleAction::forward && word.role == CircuitRole::transit &&
      word.towards == Towards::egress && other && other->role == CircuitRole::transit &&
      other->towards == Towards::ingress && other->path_hash == word.path_hash && there.twin == here.route_id &&
      here.twin == there.route_id && there.next_link == here.in_link && here.next_link == there.in_link;
  if (!is_pair) return std::nullopt;
  return Circuit{.id = onward.circuit,
                 .role = CircuitRole::transit,
                 .state = CircuitState::up,
                 .path_hash = word.path_hash,
                 .up = {.link = there.in_link, .mine = there.route_id, .theirs = here.next_route},
                 .down = {.link = here.in_link, .mine = here.route_id, .theirs = there.next_route},
                 .treatment = there.treatment};
}

}  // namespace

std::optional<Circuit> recover(const CircuitRows& rows) {
  if (rows.rules.empty() || rows.rules.size() > 2) return std::nullopt;
  const auto word = read_cookie(rows.rules[0].cookie);
  if (!word) return std::nullopt;
  if (rows.rules.size() == 1) return recover_end(rows.rules[0], *word, rows.member);
  if (word->towards == Towards::egress) return recover_transit(rows.rules[0], rows.rules[1], *word);
  const auto other = read_cookie(rows.rules[1].cookie);
  return other ? recover_transit(rows.rules[1], rows.rules[0], *other) : std::nullopt;
}

}  // namespace sky::controlplane
