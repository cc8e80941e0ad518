// Nodes of a small network as they are once it works: links up, keys made, circuits between a1 and d1. It is simulated
// once per process; each input then takes one of the nodes from there.
#pragma once

#include "controlplane/core/core.h"
#include "controlplane/signalling/messages.h"
#include "tests/fuzz/forge.h"
#include "tests/sim/simulation.h"

namespace sky::fuzz {

inline const cp::Prologue kLink{.scope = cp::Prologue::Scope::link, .header = {0x13, 0, 0, 0}, .carrier = 1};
inline const cp::Prologue kSession{.scope = cp::Prologue::Scope::session, .header = {}, .carrier = 0};

class Neighbourhood {
 public:
  Neighbourhood();

  struct Place {
    std::string name;
    RouterConfig config;
    std::vector<InstallMessage> rows;  ///< what stands in its dataplane
    std::vector<std::string> peers;    ///< by LinkIndex
  };
  const Place& place(unsigned number) const { return places_[number % places_.size()]; }
  cp::Core core(const Place& place, cp::Random& random) const;
  sim::Dataplane dataplane(const Place& place) const;
  uint64_t now_ns() const { return now_ns_; }

  cp::Identity identity(const std::string& node) const;
  Ipv6Address address(const std::string& node) const { return skywire_address(identity(node).key); }
  const std::vector<std::string>& nodes() const { return names_; }
  /// Paths in use there, and others that lead somewhere.
  const std::vector<std::vector<std::string>>& paths() const { return paths_; }
  cp::LinkId link_between(const std::string& one, const std::string& other) const;

 private:
  cp::Topology topology_;
  std::shared_ptr<cp::TopologySource> source_;
  std::shared_ptr<cp::PathSource> disjoint_;
  std::vector<std::string> names_;
  std::vector<std::vector<std::string>> paths_;
  std::vector<Place> places_;
  uint64_t now_ns_ = 0;
};

}  // namespace sky::fuzz
