// When each of many things wants to be looked at again. Cost: O(log n) a change.
#pragma once

#include <map>
#include <set>
#include <utility>
#include <vector>

#include "controlplane/core/events.h"

namespace sky::controlplane {

template <typename Key>
class Deadlines {
 public:
  /// Replaces what was set before; kNever: not at all.
  void set(const Key& key, TimeNs at) {
    const auto [found, fresh] = at_.try_emplace(key, at);
    if (!fresh) {
      if (found->second == at) return;
      order_.erase({found->second, key});
      found->second = at;
    }
    if (at == kNever) {
      at_.erase(found);
    } else {
      order_.emplace(at, key);
    }
  }
  void erase(const Key& key) { set(key, kNever); }
  TimeNs next() const { return order_.empty() ? kNever : order_.begin()->first; }
  /// Those whose time has come, earliest first; each is unset.
  std::vector<Key> take_due(TimeNs now) {
    std::vector<Key> due;
    while (next() <= now && !order_.empty()) {
      due.push_back(order_.begin()->second);
      erase(due.back());
    }
    return due;
  }

 private:
  std::map<Key, TimeNs> at_;
  std::set<std::pair<TimeNs, Key>> order_;
};

}  // namespace sky::controlplane
