#include "controlplane/kernel/kernel.h"

#include <libmnl/libmnl.h>
#include <net/if.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <set>
#include <string>

namespace sky::controlplane {

void Kernel::Close::operator()(mnl_socket* socket) const {
  mnl_socket_close(socket);
}
Kernel::Kernel(Kernel&&) noexcept = default;
Kernel::~Kernel() = default;

Result<Kernel> Kernel::open() {
  mnl_socket* socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
  if (socket == nullptr) return fail("netlink: {}", std::strerror(errno));
  Kernel kernel(socket);
  if (mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0) return fail("netlink: {}", std::strerror(errno));
  return kernel;
}

Result<> Kernel::carry_out(netlink::Message message) {
  auto* header = reinterpret_cast<nlmsghdr*>(message.data());
  header->nlmsg_seq = ++sequence_;
  if (mnl_socket_sendto(socket_.get(), header, header->nlmsg_len) < 0) return fail("{}", std::strerror(errno));
  std::array<char, 8192> buffer;
  const ssize_t length = mnl_socket_recvfrom(socket_.get(), buffer.data(), buffer.size());
  if (length < 0) return fail("{}", std::strerror(errno));
  const unsigned port = mnl_socket_get_portid(socket_.get());
  if (mnl_cb_run(buffer.data(), static_cast<size_t>(length), sequence_, port, nullptr, nullptr) < 0) {
    return fail("{}", std::strerror(errno));
  }
  return {};
}

Result<std::vector<netlink::Message>> Kernel::dump(netlink::Message request) {
  auto* header = reinterpret_cast<nlmsghdr*>(request.data());
  header->nlmsg_seq = ++sequence_;
  if (mnl_socket_sendto(socket_.get(), header, header->nlmsg_len) < 0) return fail("{}", std::strerror(errno));
  std::vector<netlink::Message> messages;
  const auto keep = [](const nlmsghdr* message, void* all) {
    const auto* bytes = reinterpret_cast<const uint8_t*>(message);
    static_cast<std::vector<netlink::Message>*>(all)->emplace_back(bytes, bytes + message->nlmsg_len);
    return MNL_CB_OK;
  };
  std::vector<char> buffer(32 << 10);
  for (int more = MNL_CB_OK; more > MNL_CB_STOP;) {
    const ssize_t length = mnl_socket_recvfrom(socket_.get(), buffer.data(), buffer.size());
    if (length < 0) return fail("{}", std::strerror(errno));
    more = mnl_cb_run(buffer.data(), static_cast<size_t>(length), sequence_, mnl_socket_get_portid(socket_.get()), keep,
                      &messages);
    if (more < 0) return fail("{}", std::strerror(errno));
  }
  return messages;
}

Result<> Kernel::apply(const KernelPlan& plan) {
  const netlink::Interface interface = if_nametoindex(plan.interface.c_str());
  if (interface == 0) return fail("kernel: no interface {}: the dataplane makes it", plan.interface);
  std::string failures;
  const auto step = [&](const std::string& what, netlink::Message message) {
    if (auto done = carry_out(std::move(message)); !done)
      failures += fmt::format("; {}: {}", what, done.error().message);
  };
  step("link up", netlink::set_link(interface, plan.mtu));

  std::set<IpAddress> old_addresses;
  std::set<Prefix> old_routes;
  const auto addresses = dump(netlink::dump_addresses()), routes = dump(netlink::dump_routes());
  if (!addresses || !routes) return fail("kernel: dump: {}", (addresses ? routes : addresses).error().message);
  for (const auto& message : *addresses) {
    if (const auto address = netlink::read_address(message, interface)) old_addresses.insert(*address);
  }
  for (const auto& message : *routes) {
    if (const auto prefix = netlink::read_route(message, interface)) old_routes.insert(*prefix);
  }
  for (const IpAddress& address : plan.addresses) {
    old_addresses.erase(address);
    step("address " + to_string(address), netlink::put_address(interface, address));
  }
  // Before the routes: with an address the kernel drops the routes that prefer it.
  for (const IpAddress& address : old_addresses) {
    step("old address " + to_string(address), netlink::delete_address(interface, address));
  }
  for (const KernelRoute& route : plan.routes) {
    old_routes.erase(route.prefix);
    step("route " + to_string(route.prefix), netlink::put_route(interface, route));
  }
  for (const Prefix& prefix : old_routes) {
    step("old route " + to_string(prefix), netlink::delete_route(interface, prefix));
  }
  if (!failures.empty()) return fail("kernel: {}{}", plan.interface, failures);
  return {};
}

}  // namespace sky::controlplane
