// Groups, the part that decides on copies: how long the far end's windows must be, and when a pair is used.
#include <algorithm>
#include <bit>
#include <ranges>
#include <set>

#include "controlplane/core/groups.h"

namespace sky::controlplane {
namespace {

/// What the dataplane sends twice at once (CopyBudget).
constexpr uint64_t kBurst_ns = kMillisecondNs;
constexpr uint64_t kLeastBurst = 64;

uint64_t gap(uint64_t one, uint64_t other) {
  return std::max(one, other) - std::min(one, other);
}

}  // namespace

uint32_t Groups::copy_rate_of(NodeIndex node) const {
  const CopyConfig& copy = context_.config.circuits.copy;
  const std::string& name = context_.network.topology().at(node).name;
  return std::ranges::find(copy.to, name, &MarkedName::name) == copy.to.end() ? 0 : copy.rate;
}

/// The two own circuits of least rank that live.
std::array<const Circuit*, 2> Groups::copy_pair(const Group& group) const {
  std::array<const Circuit*, 2> pair{};
  for (const CircuitId& id : group.own | std::views::values) {
    const Circuit* circuit = circuits_.find(id);
    if (circuit == nullptr || !circuit->live || circuit->state != CircuitState::up) continue;
    if (pair[0] == nullptr || circuit->rank < pair[0]->rank) {
      pair[1] = std::exchange(pair[0], circuit);
    } else if (pair[1] == nullptr || circuit->rank < pair[1]->rank) {
      pair[1] = circuit;
    }
  }
  return pair;
}

/// From what was measured; before that, from the topology. The way back may take all of a difference or none: twice its
/// half is what both ways together say.
Groups::CopyNeed Groups::copy_need(const Group& group) const {
  CopyNeed need;
  const auto [one, other] = copy_pair(group);
  if (one != nullptr && other != nullptr && one->rtt_us != 0 && other->rtt_us != 0) {
    need.apart_ns = gap(one->rtt_us, other->rtt_us) * kMicrosecondNs / 2;
  } else if (const auto& best = best_paths(group); best.size() >= 2) {
    const auto delay_ns = [&](const Path& path) {
      uint64_t sum = 0;
      for (const Hop& hop : path) sum += context_.network.topology().at(hop.link).delay_ns;
      return sum;
    };
    need.apart_ns = gap(delay_ns(best[0]), delay_ns(best[1]));
  }
  const uint64_t rate = group.copy_rate;
  need.counters = 2 * rate * (need.apart_ns / kMicrosecondNs) / (kSecondNs / kMicrosecondNs) +
                  std::max(rate * kBurst_ns / kSecondNs, kLeastBurst);
  const auto log2 = static_cast<uint8_t>(std::bit_width(need.counters - 1));
  if (log2 <= kMostCopyWindow) need.window = std::max(log2, kLeastCopyWindow);
  return need;
}

/// Asks for streams with longer windows where those there are became too short; what is used goes on until all have
/// them.
void Groups::fit_copies(Group& group) {
  const uint8_t window = group.copy_rate == 0 ? uint8_t{0} : copy_need(group).window;
  for (const CircuitId& id : group.own | std::views::values) circuits_.ask_copied(id, window);
  if (window != 0) use_copies(group);
}

void Groups::use_copies(Group& group) {
  const auto [one, other] = copy_pair(group);
  if (one == nullptr || other == nullptr) return;
  for (const Circuit* circuit : {one, other}) {
    if (!circuit->copied_granted) return;
  }
  if (one->copied_asked != other->copied_asked) return;
  const bool fresh = one->copied != one->copied_asked;
  for (const CircuitId& id : group.own | std::views::values) circuits_.use_copied(id);
  if (!fresh) return;
  const std::vector<std::string> shared = shared_by(*one, *other);
  context_.log(shared.empty() ? LogLevel::info : LogLevel::warning, "packets to {} go twice, with a window of {}{}{}",
               context_.network.name_of(group.end), uint64_t{1} << one->copied.window,
               shared.empty() ? "" : "; both ways share ", fmt::join(shared, ", "));
}

/// Links and nodes between the ends that both have.
std::vector<std::string> Groups::shared_by(const Circuit& one, const Circuit& other) const {
  std::vector<std::string> shared;
  const Network& network = context_.network;
  for (size_t i = 1; i < one.path.size(); ++i) {
    const PathNode& hop = one.path[i];
    if (std::ranges::find(other.path, hop.link, &PathNode::link) != other.path.end())
      shared.push_back(network.name_of(hop.link));
    if (i + 1 < one.path.size() && std::ranges::find(other.path, hop.address, &PathNode::address) != other.path.end())
      shared.push_back(network.name_of(hop.address));
  }
  return shared;
}

void Groups::show_copies(const Group& group, GroupSnapshot& row) const {
  const CopyNeed need = copy_need(group);
  const auto [one, other] = copy_pair(group);
  if (need.window == 0) {
    row.copies =
        fmt::format("refused: {} apart at {} a second take a window of {}, at most {}",
                    format_duration_ns(need.apart_ns), group.copy_rate, need.counters, uint64_t{1} << kMostCopyWindow);
  } else if (one == nullptr || other == nullptr) {
    row.copies = "alone: no second circuit";
  } else if (one->copied.window == 0 || one->copied != other->copied) {
    const bool asked = one->asking.now || other->asking.now;
    row.copies = asked ? "alone: being set up" : "alone: the far end keeps no windows for it";
  } else {
    row.copies = "twice";
    row.copy_window = uint64_t{1} << one->copied.window;
    row.copies_share = shared_by(*one, *other);
    if (!row.copies_share.empty()) row.copies += fmt::format(", both ways share {}", fmt::join(row.copies_share, ", "));
  }
}

}  // namespace sky::controlplane
