#include "controlplane/paths/flow.h"

#include <array>
#include <compare>
#include <deque>
#include <optional>
#include <utility>

namespace sky::controlplane {
namespace {

using std::to_underlying;

/// Costs compare in this order; a residual step back has the negated cost.
struct Cost {
  int64_t overlap = 0;
  int64_t hops = 0;
  int64_t delay_ns = 0;
  auto operator<=>(const Cost&) const = default;
  Cost operator+(const Cost& other) const {
    return {overlap + other.overlap, hops + other.hops, delay_ns + other.delay_ns};
  }
  Cost operator-() const { return {-overlap, -hops, -delay_ns}; }
};

class Flow {
 public:
  Flow(const Graph& graph, const std::vector<std::vector<Hop>>& neighbours, NodeIndex from, NodeIndex to,
       const std::vector<bool>& avoid)
      : graph_(graph),
        neighbours_(neighbours),
        avoid_(avoid),
        from_(to_underlying(from)),
        to_(to_underlying(to)),
        on_link_(graph.links.size()),
        through_(graph.nodes.size()),
        labels_(2 * graph.nodes.size()) {}

  /// Sends one more unit the cheapest way; false when there is none.
  bool augment() {
    search();
    uint32_t at = entry(to_);
    if (!labels_[at].cost) return false;
    while (at != exit(from_)) {
      const Label& label = labels_[at];
      change(label.before, at, label.link);
      at = label.before;
    }
    return true;
  }

  /// Takes one unit out of the flow, along the lowest link indices.
  Path take_path() {
    Path path;
    for (uint32_t node = from_; node != to_;) {
      for (const Hop& hop : neighbours_[node]) {
        int& units = on_link_[to_underlying(hop.link)][direction(hop, node)];
        if (units == 0) continue;
        --units;
        path.push_back(hop);
        node = to_underlying(hop.node);
        break;
      }
    }
    return path;
  }

 private:
  static constexpr uint32_t kInside = 0xffffffff;  ///< a step between a node's entry and exit

  struct Label {
    std::optional<Cost> cost;
    uint32_t before = 0;
    uint32_t link = kInside;
    bool queued = false;
  };

  static uint32_t entry(uint32_t node) { return 2 * node; }
  static uint32_t exit(uint32_t node) { return 2 * node + 1; }
  static bool is_exit(uint32_t vertex) { return vertex & 1; }

  size_t direction(const Hop& hop, uint32_t tail) const {
    return to_underlying(graph_.links[to_underlying(hop.link)].a) == tail ? 0 : 1;
  }

  /// What the unit after `used` others pays on a link.
  Cost link_cost(uint32_t link, int used) const {
    return {used > 0, 1, static_cast<int64_t>(graph_.links[link].delay_ns)};
  }

  void relax(uint32_t before, uint32_t vertex, uint32_t link, const Cost& step) {
    const Cost cost = *labels_[before].cost + step;
    Label& label = labels_[vertex];
    if (label.cost && *label.cost <= cost) return;
    label.cost = cost;
    label.before = before;
    label.link = link;
    if (!std::exchange(label.queued, true)) queue_.push_back(vertex);
  }

  void search() {
    for (Label& label : labels_) label = {};
    labels_[exit(from_)].cost = Cost{};
    queue_.push_back(exit(from_));
    while (!queue_.empty()) {
      const uint32_t vertex = queue_.front();
      queue_.pop_front();
      labels_[vertex].queued = false;
      is_exit(vertex) ? leave(vertex / 2) : enter(vertex / 2);
    }
  }

  /// From a node's exit: out over its links, or back inside against the flow.
  void leave(uint32_t node) {
    for (const Hop& hop : neighbours_[node]) {
      const uint32_t link = to_underlying(hop.link);
      if (avoid_[link]) continue;
      relax(exit(node), entry(to_underlying(hop.node)), link, link_cost(link, on_link_[link][direction(hop, node)]));
    }
    if (through_[node] > 0) relax(exit(node), entry(node), kInside, -node_cost(through_[node] - 1));
  }

  /// From a node's entry: through it where it may carry others' traffic, or back along a link
  /// against the flow.
  void enter(uint32_t node) {
    if (node != from_ && node != to_ && graph_.nodes[node].transit) {
      relax(entry(node), exit(node), kInside, node_cost(through_[node]));
    }
    for (const Hop& hop : neighbours_[node]) {
      const uint32_t link = to_underlying(hop.link);
      const int units = on_link_[link][1 - direction(hop, node)];
      if (units == 0) continue;
      relax(entry(node), exit(to_underlying(hop.node)), link, -link_cost(link, units - 1));
    }
  }

  static Cost node_cost(int used) { return {used > 0, 0, 0}; }

  void change(uint32_t before, uint32_t vertex, uint32_t link) {
    const bool forward = is_exit(before) != (link == kInside);
    if (link == kInside) {
      through_[vertex / 2] += forward ? 1 : -1;
      return;
    }
    const uint32_t tail = (forward ? before : vertex) / 2;
    on_link_[link][to_underlying(graph_.links[link].a) == tail ? 0 : 1] += forward ? 1 : -1;
  }

  const Graph& graph_;
  const std::vector<std::vector<Hop>>& neighbours_;
  const std::vector<bool>& avoid_;
  uint32_t from_, to_;
  std::vector<std::array<int, 2>> on_link_;  ///< units from a to b, from b to a
  std::vector<int> through_;
  std::vector<Label> labels_;
  std::deque<uint32_t> queue_;
};

}  // namespace

std::vector<Path> least_overlap(const Graph& graph, const std::vector<std::vector<Hop>>& neighbours, NodeIndex from,
                                NodeIndex to, unsigned k, const std::vector<bool>& avoid) {
  Flow flow(graph, neighbours, from, to, avoid);
  unsigned units = 0;
  while (units < k && flow.augment()) ++units;
  std::vector<Path> paths;
  while (units-- > 0) paths.push_back(flow.take_path());
  return paths;
}

}  // namespace sky::controlplane
