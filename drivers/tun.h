// The TUN device through which a node's own programs send and receive plain IPv6 and IPv4. One
// packet per call, without any header in front. The device lives as long as this object; addresses,
// routes and MTU are set from outside by netlink. Cost: one system call per packet.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "dataplane/base/result.h"

namespace sky::drivers {

class Tun {
 public:
  /// `name` as in router.yaml: fails when it is taken.
  static Result<std::unique_ptr<Tun>> open(const std::string& name);
  /// A nonblocking descriptor that keeps packet boundaries, such as one end of a socket pair; closed with this object.
  static std::unique_ptr<Tun> adopt(int descriptor) { return std::unique_ptr<Tun>(new Tun(descriptor)); }
  ~Tun();
  Tun(const Tun&) = delete;
  Tun& operator=(const Tun&) = delete;

  /// The next packet's bytes, 0 when there is none. A packet longer than `out` is cut off by the
  /// kernel.
  size_t read(std::span<uint8_t> out) noexcept;
  /// False when the kernel does not take it.
  bool write(std::span<const uint8_t> packet) noexcept;
  /// To wait on; nonblocking.
  int descriptor() const { return descriptor_; }

 private:
  explicit Tun(int descriptor) : descriptor_(descriptor) {}

  int descriptor_;
};

}  // namespace sky::drivers
