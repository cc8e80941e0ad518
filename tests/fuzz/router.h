// One node for all inputs of a process, since DPDK's ports and pools are dear to make: after each input everything that
// was installed is deleted and time goes on until nothing of it is left.
#pragma once

#include "tests/fuzz/input.h"
#include "tests/support/node.h"

namespace sky::fuzz {

/// Every tag holds and nothing is encrypted: what lies behind a tag is reached without a key.
class StubEngine final : public dataplane::AeadEngine {
 public:
  void expand(Suite, std::span<const uint8_t, dataplane::kAeadKeyBytes>, dataplane::AeadKey&) const noexcept override {}
  void seal(std::span<dataplane::AeadOp> ops) noexcept override { hold(ops); }
  void open(std::span<dataplane::AeadOp> ops) noexcept override { hold(ops); }

 private:
  static void hold(std::span<dataplane::AeadOp> ops) {
    for (dataplane::AeadOp& op : ops) op.authentic = true;
  }
};

class Router {
 public:
  explicit Router(test::NodeConfig config = {});
  test::Node& operator*() { return *node_; }
  test::Node* operator->() { return node_.get(); }

  /// A key ID that no input had.
  uint64_t next_key() { return next_key_++; }
  /// What came out and what happened since is thrown away.
  void drain();
  /// Deletes all rows; expects that this works, that each packet is accounted for and every buffer at home.
  void clear();

 private:
  std::unique_ptr<test::Node> node_;
  uint64_t next_key_ = 1;
};

}  // namespace sky::fuzz
