// Carries a plan out in the kernel's tables. Blocking, but only as long as the kernel takes to answer itself.
// Needs CAP_NET_ADMIN.
#pragma once

#include <memory>
#include <vector>

#include "controlplane/kernel/netlink.h"
#include "controlplane/kernel/plan.h"
#include "dataplane/base/result.h"

struct mnl_socket;

namespace sky::controlplane {

class Kernel {
 public:
  static Result<Kernel> open();
  Kernel(Kernel&&) noexcept;
  ~Kernel();

  /// Makes the kernel agree with the plan, whatever stood before; the same plan twice changes nothing. All steps are
  /// tried; the error names those that failed.
  Result<> apply(const KernelPlan& plan);

 private:
  struct Close {
    void operator()(mnl_socket* socket) const;
  };
  explicit Kernel(mnl_socket* socket) : socket_(socket) {}

  Result<> carry_out(netlink::Message message);
  Result<std::vector<netlink::Message>> dump(netlink::Message request);

  std::unique_ptr<mnl_socket, Close> socket_;
  uint32_t sequence_ = 0;
};

}  // namespace sky::controlplane
