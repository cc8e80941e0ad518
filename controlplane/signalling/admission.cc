#include "controlplane/signalling/admission.h"

namespace sky::controlplane {

std::string misplaced(const Setup& setup, const SetupOrigin& origin) {
  const PathNode& here = setup.path[setup.hop];
  if (here.address != origin.self) return "this node is not at that hop of the path";
  if (here.link != origin.link) return "the path comes by another link";
  if (setup.path[setup.hop - 1u].address != origin.neighbour) return "the path comes from another node";
  return {};
}

Admission::Admission(size_t links, const AdmissionLimits& limits)
    : limits_(limits),
      neighbours_(links, Neighbour{.setups = Ration(limits.setups), .signals = Ration(limits.signals)}) {}

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

void Admission::add(LinkIndex from) {
  ++circuits_;
  if (to_underlying(from) < neighbours_.size()) ++neighbours_[to_underlying(from)].circuits;
}

void Admission::remove(LinkIndex from) {
  --circuits_;
  if (to_underlying(from) < neighbours_.size()) --neighbours_[to_underlying(from)].circuits;
}

}  // namespace sky::controlplane
