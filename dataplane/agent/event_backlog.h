// Events that found no room in the control plane's ring: of each link, chain and member the newest, since what they
// tell of is a state. So none is lost for good however long the control plane sleeps, and there are never more than
// links, sessions and members. A miss is not kept: the next packet tells of it again. Main core only. Cost: a hash and
// a node each.
#pragma once

#include <cstdint>
#include <deque>
#include <unordered_map>

#include "dataplane/protocol/install.h"

namespace sky::dataplane {

class EventBacklog {
 public:
  void keep(const InstallMessage& event);
  bool empty() const { return order_.empty(); }
  /// The one whose state waits longest; only when not empty.
  const InstallMessage& front() const { return newest_.at(order_.front()); }
  void pop_front();
  void clear();

 private:
  std::unordered_map<uint64_t, InstallMessage> newest_;  ///< by what it tells of
  std::deque<uint64_t> order_;                           ///< its keys, as they first came
};

}  // namespace sky::dataplane
