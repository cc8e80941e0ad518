// Whether a SETUP may become a circuit here: does its path fit the way it came, and is there room for it. What a
// neighbour may have is counted by the link it came by, which is authenticated; nothing in the message can change that.
// Refreshes are not counted against the ration of new circuits: a flood of these never keeps a neighbour from
// refreshing.
#pragma once

#include <vector>

#include "controlplane/signalling/circuit.h"
#include "dataplane/base/ration.h"

namespace sky::controlplane {

/// What this node knows of the way a SETUP came.
struct SetupOrigin {
  Ipv6Address self;
  Ipv6Address neighbour;
  LinkId link;
};

/// What is wrong with its place, for the one who sent it; empty when nothing is.
std::string misplaced(const Setup& setup, const SetupOrigin& origin);

struct AdmissionLimits {
  size_t most_circuits;                              ///< in sum
  size_t most_of_neighbour;                          ///< set up by one neighbour
  Rate setups{.per_second = 500, .burst = 1000};     ///< new ones, of one neighbour
  Rate signals{.per_second = 5000, .burst = 10000};  ///< messages of any kind, of one neighbour

  static AdmissionLimits of(uint32_t rules) {
    return {.most_circuits = rules / 2, .most_of_neighbour = std::max<size_t>(16, rules / 4)};
  }
};

class Admission {
 public:
  /// `budgets_kbit_s`: the realtime budget of each link.
  Admission(const std::vector<uint32_t>& budgets_kbit_s, const AdmissionLimits& limits);

  /// False: more messages than this neighbour's ration; drop unread.
  bool take_signal(LinkIndex from, TimeNs now);
  /// `none`, and it is counted; or why not.
  CircuitReason admit(LinkIndex from, TimeNs now);
  /// One that this node itself begins.
  bool has_room() const { return circuits_ < limits_.most_circuits; }
  /// Room in a link's realtime budget for what comes by it; false when that is spent. 0 kbit/s takes none.
  bool take_rate(LinkIndex link, uint32_t kbit_s);
  /// The same for what stands already, whether there is room or not.
  void add_rate(LinkIndex link, uint32_t kbit_s);
  void free_rate(LinkIndex link, uint32_t kbit_s);
  /// Counts one that stands already or is this node's own (`from` is kNoLink).
  void add(LinkIndex from);
  void remove(LinkIndex from);

 private:
  struct Neighbour {
    size_t circuits = 0;
    Ration setups;
    Ration signals;
    uint32_t budget_kbit_s;
    uint64_t taken_kbit_s = 0;
  };
  AdmissionLimits limits_;
  size_t circuits_ = 0;
  std::vector<Neighbour> neighbours_;  ///< by LinkIndex
};

}  // namespace sky::controlplane
