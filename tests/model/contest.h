// One world and two routers side by side: what comes out and every counter must be the same after each turn.
#pragma once

#include <gtest/gtest.h>

#include "tests/model/model_router.h"
#include "tests/model/world.h"
#include "tests/support/node.h"

namespace sky::test {

class Contest {
 public:
  /// `node` has nothing installed; it and `world` outlive the contest. Its ports hold two bursts and more.
  Contest(Node& node, World& world);
  void step();
  void finish();
  uint64_t frames() const { return frames_; }
  const Change& total() const { return total_; }

 private:
  void install(const std::vector<InstallMessage>& batch);
  void arrive(const std::vector<World::Arrival>& burst, const std::vector<Bytes>& plain = {});
  void compare();
  void compare_port(unsigned port, const std::vector<ModelRouter::Sent>& sent);

  World& world_;
  Node& node_;
  ModelRouter model_{World::kMtu};
  uint64_t frames_ = 0;
  Change total_;
};

}  // namespace sky::test
