// Keeps the kernel in agreement with a plan over the life of several TUNs: applies it when the dataplane may have made
// a new one, when circuits carry less or more than before, and again while the kernel refuses. Remembers the refusal
// for whoever asks after this node's health.
#pragma once

#include <optional>
#include <string>

#include "controlplane/kernel/kernel.h"

namespace sky::controlplane {

class TunKeeper {
 public:
  explicit TunKeeper(KernelPlan plan) : plan_(std::move(plan)), port_mtu_(plan_.mtu) {}

  /// Whatever stands may be gone.
  void renew() { apply(); }
  /// The least MTU of the circuits in use; none: what the ports carry.
  void fit(std::optional<uint32_t> circuit_mtu);
  /// Tries again when the last time failed.
  void retry();

  const std::string& error() const { return error_; }

 private:
  void apply();

  KernelPlan plan_;
  uint32_t port_mtu_;
  std::optional<Kernel> kernel_;
  std::string error_;
};

}  // namespace sky::controlplane
