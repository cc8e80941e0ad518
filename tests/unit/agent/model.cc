#include "tests/unit/agent/model.h"

#include <fmt/format.h>

#include <cstring>

namespace sky::dataplane::test {
namespace {

bool is_delete(const InstallMessage& message) {
  return message.verb >= Verb::delete_link;
}

/// What a message puts or deletes, in words.
std::string name_of(const InstallMessage& message) {
  const auto gone = message.as<DeleteMessage>();
  const auto destination = [](const DestinationMessage& put) {
    std::string text = fmt::format("destination {} {}", to_underlying(put.family), put.length);
    for (const uint8_t byte : put.prefix) text += fmt::format(" {}", byte);
    return text;
  };
  switch (message.verb) {
    case Verb::put_link:
      return fmt::format("link {}", to_underlying(message.as<LinkMessage>().link));
    case Verb::put_session:
      return fmt::format("session {}", to_underlying(message.as<SessionMessage>().session));
    case Verb::put_key_chain: {
      const auto chain = message.as<KeyChainMessage>();
      return fmt::format("chain {} {}", to_underlying(chain.direction), chain.key_id);
    }
    case Verb::put_rule:
      return fmt::format("rule {}", to_underlying(message.as<RuleMessage>().rule.route_id));
    case Verb::put_group:
      return fmt::format("group {}", to_underlying(message.as<GroupMessage>().group));
    case Verb::put_member:
      return fmt::format("member {} {}", to_underlying(message.as<MemberMessage>().group),
                         message.as<MemberMessage>().slot);
    case Verb::put_destination:
      return destination(message.as<DestinationMessage>());
    case Verb::delete_link:
      return fmt::format("link {}", gone.index);
    case Verb::delete_session:
      return fmt::format("session {}", gone.index);
    case Verb::delete_rule:
      return fmt::format("rule {}", gone.index);
    case Verb::delete_group:
      return fmt::format("group {}", gone.index);
    case Verb::delete_member:
      return fmt::format("member {} {}", gone.index, gone.slot);
    default:
      return destination(destination_of(gone));
  }
}

bool stands(const State& state, const InstallMessage& message) {
  const auto gone = message.as<DeleteMessage>();
  switch (message.verb) {
    case Verb::delete_link:
      return state.links.contains(gone.index);
    case Verb::delete_session:
      return state.sessions.contains(gone.index);
    case Verb::delete_rule:
      return state.rules.contains(gone.index);
    case Verb::delete_group:
      return state.groups.contains(gone.index);
    case Verb::delete_member:
      return state.members.contains({gone.index, gone.slot});
    default:
      return state.destinations.contains(key_of(destination_of(gone)));
  }
}

void put(State& state, const InstallMessage& message) {
  switch (message.verb) {
    case Verb::put_link:
      state.links.insert(to_underlying(message.as<LinkMessage>().link));
      break;
    case Verb::put_session:
      state.sessions.insert(to_underlying(message.as<SessionMessage>().session));
      break;
    case Verb::put_key_chain:
      state.chains.insert(key_of(message.as<KeyChainMessage>()));
      break;
    case Verb::put_rule:
      state.rules[to_underlying(message.as<RuleMessage>().rule.route_id)] = message.as<RuleMessage>().rule;
      break;
    case Verb::put_group:
      state.groups.insert(to_underlying(message.as<GroupMessage>().group));
      break;
    case Verb::put_member: {
      const auto member = message.as<MemberMessage>();
      state.members[{to_underlying(member.group), member.slot}] = member;
      break;
    }
    case Verb::put_destination:
      state.destinations[key_of(message.as<DestinationMessage>())] = message.as<DestinationMessage>().group;
      break;
    default:
      break;
  }
}

void erase(State& state, const InstallMessage& message) {
  const auto gone = message.as<DeleteMessage>();
  switch (message.verb) {
    case Verb::delete_link:
      state.links.erase(gone.index);
      break;
    case Verb::delete_session:
      state.sessions.erase(gone.index);
      break;
    case Verb::delete_rule:
      state.rules.erase(gone.index);
      break;
    case Verb::delete_group:
      state.groups.erase(gone.index);
      break;
    case Verb::delete_member:
      state.members.erase({gone.index, gone.slot});
      break;
    case Verb::delete_destination:
      state.destinations.erase(key_of(destination_of(gone)));
      break;
    default:
      break;
  }
}

/// Rule 1 of check.h, for message `i`.
InstallError first_rule(Messages messages, uint32_t i, const Model& model) {
  const InstallMessage& message = messages[i];
  const uint32_t mask = model.capacities().rules - 1;
  if (const InstallError error = check_value(message, model.capacities()); error != InstallError::none) return error;
  for (const InstallMessage& earlier : messages.first(i)) {
    if (message.verb == Verb::put_rule && earlier.verb == Verb::put_rule) {
      const uint32_t route = to_underlying(message.as<RuleMessage>().rule.route_id);
      const uint32_t other = to_underlying(earlier.as<RuleMessage>().rule.route_id);
      if (route != other && (route & mask) == (other & mask)) return InstallError::occupied;
    }
    if (name_of(earlier) != name_of(message)) continue;
    if (message.verb == Verb::put_key_chain) return InstallError::key_seen_before;
    if (is_delete(earlier) && is_delete(message)) return InstallError::not_found;
    if (is_delete(earlier) != is_delete(message)) return InstallError::bad_value;
  }
  if (message.verb == Verb::put_key_chain && model.key_seen(message.as<KeyChainMessage>())) {
    return InstallError::key_seen_before;
  }
  if (message.verb == Verb::put_rule) {
    const RouteId route = message.as<RuleMessage>().rule.route_id;
    if (model.rule(route) == nullptr && !model.slot_free(route)) return InstallError::occupied;
  }
  if (is_delete(message) && !stands(model.state, message)) return InstallError::not_found;
  return InstallError::none;
}

bool depends_on_what_is_there(const InstallMessage& message, const State& after) {
  if (message.verb == Verb::put_rule) return after.has_all(message.as<RuleMessage>().rule);
  if (message.verb == Verb::put_member) return after.has_all(message.as<MemberMessage>());
  if (message.verb == Verb::put_destination) return after.has_all(message.as<DestinationMessage>().group);
  if (message.verb == Verb::put_key_chain) {
    const auto chain = message.as<KeyChainMessage>();
    return (chain.owner == KeyOwner::link ? after.links : after.sessions).contains(chain.index);
  }
  return true;
}

/// Rule 3 of check.h: still used, or no room for the destinations put up to here.
InstallError third_rule(Messages messages, uint32_t i, const Model& model, const State& after) {
  const InstallMessage& message = messages[i];
  const uint32_t index = message.as<DeleteMessage>().index;
  if (message.verb == Verb::delete_link && after.refers({Referent::Kind::link, index})) return InstallError::still_used;
  if (message.verb == Verb::delete_session && after.refers({Referent::Kind::session, index})) {
    return InstallError::still_used;
  }
  if (message.verb == Verb::delete_group && after.refers({Referent::Kind::group, index})) {
    return InstallError::still_used;
  }
  if (message.verb != Verb::put_destination) return InstallError::none;
  State so_far = model.state;
  for (const InstallMessage& other : messages) {
    if (other.verb == Verb::delete_destination) erase(so_far, other);
  }
  // A destination put several times counts where it stands last.
  for (uint32_t j = 0; j <= i; ++j) {
    const auto again = [&](const InstallMessage& later) { return name_of(later) == name_of(messages[j]); };
    if (messages[j].verb == Verb::put_destination && std::ranges::none_of(messages.subspan(j + 1), again)) {
      put(so_far, messages[j]);
    }
  }
  return so_far.destinations.size() > model.capacities().destinations ? InstallError::table_full : InstallError::none;
}

}  // namespace

bool same(const State& left, const State& right) {
  const auto bytes = [](const auto& map) {
    std::vector<std::pair<uint64_t, InstallMessage>> all;
    for (const auto& [key, rule] : map)
      all.push_back({key, InstallMessage::of(RuleMessage{.rule = rule, .circuit = {}})});
    return all;
  };
  const auto alike = [](const auto& a, const auto& b) {
    return a.first == b.first && std::memcmp(&a.second, &b.second, sizeof(a.second)) == 0;
  };
  return left.links == right.links && left.sessions == right.sessions && left.groups == right.groups &&
         left.destinations == right.destinations && left.chains == right.chains &&
         std::ranges::equal(bytes(left.rules), bytes(right.rules), alike) &&
         std::ranges::equal(left.members, right.members, alike);
}

State naive_result(Messages messages, State state) {
  for (const InstallMessage& message : messages) put(state, message);
  for (const InstallMessage& message : messages) erase(state, message);
  return state;
}

std::optional<Refusal> naive_refusal(Messages messages, const Model& model) {
  for (uint32_t i = 0; i < messages.size(); ++i) {
    const InstallError error = first_rule(messages, i, model);
    if (error != InstallError::none) return Refusal{i, error};
  }
  const State after = naive_result(messages, model.state);
  for (uint32_t i = 0; i < messages.size(); ++i) {
    if (!depends_on_what_is_there(messages[i], after)) return Refusal{i, InstallError::missing_dependency};
  }
  for (uint32_t i = 0; i < messages.size(); ++i) {
    const InstallError error = third_rule(messages, i, model, after);
    if (error != InstallError::none) return Refusal{i, error};
  }
  return std::nullopt;
}

}  // namespace sky::dataplane::test
