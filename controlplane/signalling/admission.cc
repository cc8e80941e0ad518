#include "controlplane/signalling/admission.h"

namespace sky::controlplane {

std::string misplaced(const Setup& setup, const SetupOrigin& origin) {
  const PathNode& here = setup.path[setup.hop];
  if (here.address != origin.self) return "this node is not at that hop of the path";
  if (here.link != origin.link) return "the path comes by another link";
  if (setup.path[setup.hop - 1u].address != origin.neighbour) return "the path comes from another node";
  return {};
}

Admission::Admission(const std::vector<uint32_t>& budgets_kbit_s, const AdmissionLimits& limits) : limits_(limits) {
  for (const uint32_t budget : budgets_kbit_s)
    neighbours_.push_back(
        {.setups = Ration(limits.setups), .signals = Ration(limits.signals), .budget_kbit_s = budget});
}

bool Admission::take_signal(LinkIndex from, TimeNs now) {
  return neighbours_[to_underlying(from)].signals.take(now);
}

CircuitReason Admission::admit(LinkIndex from, TimeNs now) {
  Neighbour& neighbour = neighbours_[to_underlying(from)];
  if (!has_room()) return CircuitReason::full;
  if (neighbour.circuits >= limits_.most_of_neighbour) return CircuitReason::quota;
  if (!neighbour.setups.take(now)) return CircuitReason::too_fast;
  add(from);
  return CircuitReason::none;
}

bool Admission::take_rate(LinkIndex link, uint32_t kbit_s) {
  if (kbit_s == 0) return true;
  Neighbour& neighbour = neighbours_[to_underlying(link)];
  if (neighbour.taken_kbit_s + kbit_s > neighbour.budget_kbit_s) return false;
  neighbour.taken_kbit_s += kbit_s;
  return true;
}

void Admission::add_rate(LinkIndex link, uint32_t kbit_s) {
  if (to_underlying(link) < neighbours_.size()) neighbours_[to_underlying(link)].taken_kbit_s += kbit_s;
}

void Admission::free_rate(LinkIndex link, uint32_t kbit_s) {
  if (to_underlying(link) < neighbours_.size()) neighbours_[to_underlying(link)].taken_kbit_s -= kbit_s;
}

void Admission::add(LinkIndex from) {
  ++circuits_;
  if (to_underlying(from) < neighbours_.size()) ++neighbours_[to_underlying(from)].circuits;
}

void Admission::remove(LinkIndex from) {
  --circuits_;
  if (to_underlying(from) < neighbours_.size()) --neighbours_[to_underlying(from)].circuits;
}

}  // namespace sky::controlplane
