// TCP on this machine, for tests of what listens there.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <stdexcept>

#include "controlplane/install/descriptor.h"
#include "dataplane/base/address.h"

namespace sky::test {

inline sockaddr_in6 socket_address(const TcpAddress& endpoint) {
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_port = htons(endpoint.port);
  std::ranges::copy(endpoint.address.bytes, address.sin6_addr.s6_addr);
  return address;
}

/// [::1] and a port at which nobody listened a moment ago.
inline TcpAddress free_tcp_address() {
  const controlplane::Descriptor probe(socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
  TcpAddress endpoint{.address = parse_address("::1").value(), .port = 0};
  sockaddr_in6 address = socket_address(endpoint);
  socklen_t length = sizeof(address);
  if (bind(probe.get(), reinterpret_cast<sockaddr*>(&address), length) != 0 ||
      getsockname(probe.get(), reinterpret_cast<sockaddr*>(&address), &length) != 0)
    throw std::runtime_error("no port is free at ::1");
  endpoint.port = ntohs(address.sin6_port);
  return endpoint;
}

/// A connection to an IPv6 endpoint; empty where nobody listens.
inline controlplane::Descriptor dial(const TcpAddress& endpoint) {
  const sockaddr_in6 address = socket_address(endpoint);
  controlplane::Descriptor client(socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (connect(client.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) return {};
  return client;
}

}  // namespace sky::test
