#include "controlplane/kernel/tun_keeper.h"

#include <algorithm>
#include <utility>

#include "dataplane/base/log.h"

namespace sky::controlplane {

void TunKeeper::fit(std::optional<uint32_t> circuit_mtu) {
  const uint32_t mtu = circuit_mtu ? interface_mtu(std::min(*circuit_mtu, port_mtu_)) : port_mtu_;
  if (mtu == plan_.mtu) return;
  log_info("{}: MTU {} (was {})", plan_.interface, mtu, plan_.mtu);
  plan_.mtu = mtu;
  apply();
}

void TunKeeper::retry() {
  if (!error_.empty()) apply();
}

void TunKeeper::apply() {
  Result<> applied;
  if (!kernel_) {
    auto opened = Kernel::open();
    if (opened) {
      kernel_.emplace(std::move(*opened));
    } else {
      applied = std::unexpected(opened.error());
    }
  }
  if (kernel_) applied = kernel_->apply(plan_);
  if (!applied) kernel_.reset();  // answers that nobody read may still come by its socket
  const std::string error = applied ? "" : applied.error().message;
  if (error == error_) return;
  error_ = error;
  error_.empty() ? log_info("{}: the kernel has all addresses and routes", plan_.interface) : log_error("{}", error_);
}

}  // namespace sky::controlplane
