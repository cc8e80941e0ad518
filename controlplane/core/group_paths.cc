// Groups, the part that decides which circuits a group should have.
#include <algorithm>

#include "controlplane/core/groups.h"

namespace sky::controlplane {
namespace {

constexpr uint64_t kFirstPause_ns = kSecondNs;
constexpr unsigned kMostDoublings = 6;
constexpr unsigned kAlternateRank = kMostPaths;  ///< ranks from here on: not among the best k

}  // namespace

void Groups::on_miss(GroupIndex index) {
  Group* group = get(index);
  if (group == nullptr) return;
  group->used_ns = context_.now;
  want(*group);
}

void Groups::on_traffic(const TrafficSeen& seen) {
  Group* group = get(seen.group);
  if (group == nullptr || seen.slot >= kMaxMembers) return;
  group->used_ns = context_.now;
  if (group->slots[seen.slot]) {
    sessions_.on_traffic(group->end);
    circuits_.set_rtt(*group->slots[seen.slot], seen.rtt_us);
    want_copies(*group);
    if (group->copy_rate != 0) fit_copies(*group);
  }
  if (!group->own.empty()) schedule(*group);
}

void Groups::want(const Ipv6Address& end) {
  Group* group = get(end);
  if (group == nullptr) return;
  group->used_ns = context_.now;
  if (!has_live(*group)) want(*group);
}

void Groups::want(Group& group) {
  if (!group.wanted) group.failed.clear();
  group.wanted = true;
  deadlines_.set(group.index, context_.now);
}

void Groups::want_copies(Group& group) {
  if (group.copy_rate == 0 || group.wanted) return;
  group.used_ns = context_.now;
  want(group);
}

/// What failed for want of a link may work now.
void Groups::on_link_up() {
  for (auto& [index, group] : groups_) {
    if (!group.wanted) continue;
    for (auto& [path, backoff] : group.failed) backoff.until = context_.now;
    deadlines_.set(index, context_.now);
  }
}

void Groups::is_up(const Circuit& circuit) {
  Group* group = get(circuit.peer);
  if (group == nullptr) return;
  group->failed.erase(circuit.path_hash);
  deadlines_.set(group->index, context_.now);
}

void Groups::failed(const Circuit& circuit, CircuitReason) {
  Group* group = get(circuit.peer);
  if (group == nullptr) return;
  if (circuit.role == CircuitRole::ingress) {
    group->own.erase(circuit.path_hash);
    Group::Backoff& backoff = group->failed[circuit.path_hash];
    backoff.until = context_.now + (kFirstPause_ns << std::min(backoff.failures, kMostDoublings));
    ++backoff.failures;
    if (group->own.empty() && !has_live(*group)) set_unreachable(*group, true);
  } else if (group->used_ns != 0 && context_.now - group->used_ns < context_.config.circuits.idle_ns) {
    group->wanted = true;  // its traffic went back over the other side's circuit: now it needs one of its own
  }
  deadlines_.set(group->index, context_.now);
}

void Groups::is_stuck(const Circuit& circuit) {
  Group* group = get(circuit.peer);
  if (group == nullptr) return;
  if (!has_live(*group)) set_unreachable(*group, true);
  deadlines_.set(group->index, context_.now);
}

void Groups::set_unreachable(Group& group, bool unreachable) {
  if (group.unreachable == unreachable) return;
  group.unreachable = unreachable;
  changed_ = true;
}

const std::vector<Path>& Groups::paths(const Group& group, unsigned k) const {
  const auto [found, fresh] = paths_.try_emplace({group.end, k});
  const auto node = fresh ? context_.network.find_node(group.end) : std::nullopt;
  if (node) found->second = context_.paths->paths(context_.network.self(), *node, k);
  return found->second;
}

/// False when it must wait: a pause, a link that is down, no room.
bool Groups::start(Group& group, const Path& path, unsigned rank) {
  if (group.own.size() >= kMaxMembers) return false;
  const std::vector<PathNode> nodes = context_.network.wire_path(path);
  const uint64_t hash = hash_of(nodes);
  const auto backoff = group.failed.find(hash);
  if (backoff != group.failed.end() && backoff->second.until > context_.now) return false;
  const auto first = context_.network.own_link(nodes[1].link);
  if (!first || !links_.usable(*first)) return false;
  const Circuit* circuit = circuits_.start(path, rank, group.copy_rate == 0 ? uint8_t{0} : copy_need(group).window);
  if (circuit == nullptr) {
    Group::Backoff& pause = group.failed[hash];
    pause.until = context_.now + (kFirstPause_ns << std::min(pause.failures, kMostDoublings));
    ++pause.failures;
    return false;
  }
  group.own.emplace(hash, circuit->id);
  return true;
}

const std::vector<Path>& Groups::best_paths(const Group& group) const {
  const unsigned k = context_.config.circuits.paths;
  return paths(group, group.copy_rate == 0 ? k : std::max(k, 2u));
}

void Groups::reconcile(Group& group) {
  const std::vector<Path>& best = best_paths(group);
  std::vector<uint64_t> wanted;
  unsigned missing = 0;
  bool all_up = !best.empty();
  for (unsigned rank = 0; rank < best.size(); ++rank) {
    const uint64_t hash = hash_of(context_.network.wire_path(best[rank]));
    wanted.push_back(hash);
    const auto own = group.own.find(hash);
    const Circuit* circuit = own == group.own.end() ? nullptr : circuits_.find(own->second);
    if (circuit != nullptr) {
      circuits_.set_rank(circuit->id, rank);
      const bool up = circuit->state == CircuitState::up;
      all_up = all_up && up && circuit->live;
      if (up && !circuit->live && circuit->asking.repairs != 0) ++missing;
    } else {
      all_up = false;
      if (!start(group, best[rank], rank)) ++missing;
    }
  }
  if (missing != 0) start_alternates(group, missing);
  if (group.own.empty() && !has_live(group)) set_unreachable(group, true);
  if (all_up) close_replaced(group, wanted);
  fit_copies(group);
}

/// Paths beyond the best, while some of these cannot be had.
void Groups::start_alternates(Group& group, unsigned missing) {
  const auto in_place = std::ranges::count_if(group.own, [&](const auto& own) {
    const Circuit* circuit = circuits_.find(own.second);
    return circuit != nullptr && circuit->rank >= kAlternateRank && (circuit->live || circuit->asking.repairs == 0);
  });
  if (static_cast<size_t>(in_place) >= missing) return;
  unsigned left = missing - static_cast<unsigned>(in_place);
  unsigned rank = kAlternateRank;
  for (const Path& path : paths(group, kMostPaths)) {
    if (left == 0) return;
    if (!group.own.contains(hash_of(context_.network.wire_path(path))) && start(group, path, rank++)) --left;
  }
}

void Groups::close_replaced(Group& group, const std::vector<uint64_t>& wanted) {
  for (const auto& [path, id] : std::map(group.own)) {
    if (std::ranges::find(wanted, path) != wanted.end()) continue;
    circuits_.close(id, CircuitReason::replaced);
    group.own.erase(path);
  }
}

void Groups::close_idle(Group& group) {
  group.wanted = false;
  group.failed.clear();
  for (const auto& [path, id] : std::map(group.own)) circuits_.close(id, CircuitReason::idle);
  group.own.clear();
}

void Groups::schedule(const Group& group) {
  if (!group.wanted) return deadlines_.erase(group.index);
  TimeNs next = kNever;
  for (const auto& [path, backoff] : group.failed) {
    if (backoff.until > context_.now) next = std::min(next, backoff.until);
  }
  if (!group.kept && !group.unreachable) next = std::min(next, group.used_ns + context_.config.circuits.idle_ns);
  deadlines_.set(group.index, next);
}

void Groups::tick() {
  for (const GroupIndex index : deadlines_.take_due(context_.now)) {
    Group* group = get(index);
    if (group == nullptr || !group->wanted) continue;
    if (!group->kept && !group->unreachable && group->used_ns + context_.config.circuits.idle_ns <= context_.now) {
      close_idle(*group);
    } else {
      reconcile(*group);
    }
    schedule(*group);
  }
}

}  // namespace sky::controlplane
