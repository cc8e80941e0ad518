#include "controlplane/kernel/netlink.h"

#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>

#include <array>
#include <cstring>

namespace sky::controlplane::netlink {
namespace {

/// A message under construction: header, family header, attributes.
class Builder {
 public:
  Builder(uint16_t type, uint16_t flags) : header_(mnl_nlmsg_put_header(buffer_.data())) {
    header_->nlmsg_type = type;
    header_->nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | flags);
  }
  template <typename T>
  T& family() {
    return *static_cast<T*>(mnl_nlmsg_put_extra_header(header_, sizeof(T)));
  }
  nlmsghdr* operator*() { return header_; }
  Message take() { return {buffer_.begin(), buffer_.begin() + header_->nlmsg_len}; }

 private:
  alignas(nlmsghdr) std::array<uint8_t, 512> buffer_{};
  nlmsghdr* header_;
};

uint8_t kernel_family(Family family) {
  return family == Family::ipv4 ? AF_INET : AF_INET6;
}
uint16_t address_bytes(Family family) {
  return family == Family::ipv4 ? 4 : 16;
}

std::optional<Family> family_of(uint8_t kernel) {
  if (kernel == AF_INET) return Family::ipv4;
  if (kernel == AF_INET6) return Family::ipv6;
  return {};
}

Message address_message(uint16_t type, uint16_t flags, Interface interface, const IpAddress& address) {
  Builder message(type, flags);
  auto& body = message.family<ifaddrmsg>();
  const uint16_t bytes = address_bytes(address.family);
  body.ifa_family = kernel_family(address.family);
  body.ifa_prefixlen = static_cast<uint8_t>(bytes * 8);
  body.ifa_flags = IFA_F_PERMANENT | IFA_F_NODAD;  // nobody else is on a TUN
  body.ifa_index = interface;
  mnl_attr_put(*message, IFA_LOCAL, bytes, address.bytes.data());
  mnl_attr_put(*message, IFA_ADDRESS, bytes, address.bytes.data());
  mnl_attr_put_u32(*message, IFA_FLAGS, IFA_F_PERMANENT | IFA_F_NODAD | IFA_F_NOPREFIXROUTE);
  return message.take();
}

Message route_message(uint16_t type, uint16_t flags, Interface interface, const KernelRoute& route) {
  Builder message(type, flags);
  auto& body = message.family<rtmsg>();
  const Prefix& prefix = route.prefix;
  body.rtm_family = kernel_family(prefix.family);
  body.rtm_dst_len = prefix.length;
  body.rtm_table = RT_TABLE_MAIN;
  body.rtm_protocol = kRouteProtocol;
  body.rtm_scope = prefix.family == Family::ipv4 ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
  body.rtm_type = RTN_UNICAST;
  mnl_attr_put(*message, RTA_DST, address_bytes(prefix.family), prefix.address.data());
  mnl_attr_put_u32(*message, RTA_OIF, interface);
  mnl_attr_put_u32(*message, RTA_PRIORITY, kRouteMetric);
  if (route.source) {
    mnl_attr_put(*message, RTA_PREFSRC, address_bytes(route.source->family), route.source->bytes.data());
  }
  return message.take();
}

/// The attributes of a message behind a T, by type.
template <typename T, size_t N>
std::array<const nlattr*, N> attributes(const nlmsghdr* header) {
  std::array<const nlattr*, N> found{};
  const char* end = static_cast<const char*>(mnl_nlmsg_get_payload_tail(header));
  for (const auto* attribute = static_cast<const nlattr*>(mnl_nlmsg_get_payload_offset(header, sizeof(T)));
       mnl_attr_ok(attribute, static_cast<int>(end - reinterpret_cast<const char*>(attribute)));
       attribute = mnl_attr_next(attribute)) {
    const uint16_t type = mnl_attr_get_type(attribute);
    if (type < N) found[type] = attribute;
  }
  return found;
}

/// The header when the message is of that type and has a family header of `body` bytes.
const nlmsghdr* header_of(const Message& message, uint16_t type, size_t body) {
  if (message.size() < sizeof(nlmsghdr) + body) return nullptr;
  const auto* header = reinterpret_cast<const nlmsghdr*>(message.data());
  const bool fits = header->nlmsg_len >= sizeof(nlmsghdr) + body && header->nlmsg_len <= message.size();
  return fits && header->nlmsg_type == type ? header : nullptr;
}

bool copy_address(const nlattr* attribute, Family family, std::array<uint8_t, 16>& to) {
  if (attribute == nullptr || mnl_attr_get_payload_len(attribute) != address_bytes(family)) return false;
  std::memcpy(to.data(), mnl_attr_get_payload(attribute), address_bytes(family));
  return true;
}

}  // namespace

Message set_link(Interface interface, uint32_t mtu) {
  Builder message(RTM_NEWLINK, NLM_F_ACK);
  auto& body = message.family<ifinfomsg>();
  body.ifi_family = AF_UNSPEC;
  body.ifi_index = static_cast<int>(interface);
  body.ifi_flags = body.ifi_change = IFF_UP;
  mnl_attr_put_u32(*message, IFLA_MTU, mtu);
  nlattr* families = mnl_attr_nest_start(*message, IFLA_AF_SPEC);
  nlattr* ipv6 = mnl_attr_nest_start(*message, AF_INET6);
  mnl_attr_put_u8(*message, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
  mnl_attr_nest_end(*message, ipv6);
  mnl_attr_nest_end(*message, families);
  return message.take();
}

Message put_address(Interface interface, const IpAddress& address) {
  return address_message(RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE, interface, address);
}

Message delete_address(Interface interface, const IpAddress& address) {
  return address_message(RTM_DELADDR, NLM_F_ACK, interface, address);
}

Message put_route(Interface interface, const KernelRoute& route) {
  return route_message(RTM_NEWROUTE, NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE, interface, route);
}

Message delete_route(Interface interface, const Prefix& prefix) {
  return route_message(RTM_DELROUTE, NLM_F_ACK, interface, {prefix, {}});
}

Message dump_addresses() {
  Builder message(RTM_GETADDR, NLM_F_DUMP);
  message.family<ifaddrmsg>().ifa_family = AF_UNSPEC;
  return message.take();
}

Message dump_routes() {
  Builder message(RTM_GETROUTE, NLM_F_DUMP);
  message.family<rtmsg>().rtm_family = AF_UNSPEC;
  return message.take();
}

std::optional<IpAddress> read_address(const Message& message, Interface interface) {
  const nlmsghdr* header = header_of(message, RTM_NEWADDR, sizeof(ifaddrmsg));
  if (header == nullptr) return {};
  const auto& body = *static_cast<const ifaddrmsg*>(mnl_nlmsg_get_payload(header));
  const auto family = family_of(body.ifa_family);
  if (!family || body.ifa_index != interface || body.ifa_scope != RT_SCOPE_UNIVERSE) return {};
  const auto found = attributes<ifaddrmsg, IFA_MAX + 1>(header);
  IpAddress address{.family = *family};
  const nlattr* local = found[IFA_LOCAL] != nullptr ? found[IFA_LOCAL] : found[IFA_ADDRESS];
  if (!copy_address(local, *family, address.bytes)) return {};
  return address;
}

std::optional<Prefix> read_route(const Message& message, Interface interface) {
  const nlmsghdr* header = header_of(message, RTM_NEWROUTE, sizeof(rtmsg));
  if (header == nullptr) return {};
  const auto& body = *static_cast<const rtmsg*>(mnl_nlmsg_get_payload(header));
  const auto family = family_of(body.rtm_family);
  if (!family || body.rtm_protocol != kRouteProtocol) return {};
  const auto found = attributes<rtmsg, RTA_MAX + 1>(header);
  if (found[RTA_OIF] == nullptr || mnl_attr_get_payload_len(found[RTA_OIF]) != sizeof(uint32_t) ||
      mnl_attr_get_u32(found[RTA_OIF]) != interface) {
    return {};
  }
  Prefix prefix{.length = body.rtm_dst_len, .family = *family};
  if (prefix.length > 0 && !copy_address(found[RTA_DST], *family, prefix.address)) return {};
  return prefix;
}

}  // namespace sky::controlplane::netlink
