#include "controlplane/cli/pcapng.h"

#include <algorithm>

#include "controlplane/cli/packets.h"

namespace sky::controlplane {
namespace {

constexpr uint32_t kSection = 0x0A0D0D0A, kInterface = 1, kPacket = 6;
constexpr uint32_t kByteOrder = 0x1A2B3C4D;
constexpr uint16_t kEthernet = 1, kRawIp = 101, kUser0 = 147;
constexpr uint16_t kOptionEnd = 0, kComment = 1, kName = 2, kFlags = 2, kResolution = 9;
constexpr uint32_t kInbound = 1, kOutbound = 2;

void put16(std::string& out, uint16_t value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof(value));
}
void put32(std::string& out, uint32_t value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

void pad(std::string& out) {
  out.append((4 - out.size() % 4) % 4, 0);
}

void option(std::string& out, uint16_t code, std::string_view value) {
  put16(out, code);
  put16(out, static_cast<uint16_t>(value.size()));
  out.append(value);
  pad(out);
}

std::string block(uint32_t type, const std::string& body) {
  std::string out;
  const auto length = static_cast<uint32_t>(body.size() + 12);
  put32(out, type);
  put32(out, length);
  out += body;
  put32(out, length);
  return out;
}

/// What the dissector wants in front of an opened frame: format 1, bit 0 where what is sealed end to end is open too.
std::string opened_prefix(bool inside) {
  return {1, inside ? '\1' : '\0'};
}

}  // namespace

std::string Pcapng::begin() {
  std::string body;
  put32(body, kByteOrder);
  put16(body, 1);
  put16(body, 0);
  body.append(8, '\xff');  // of unknown length
  return block(kSection, body);
}

uint32_t Pcapng::interface_of(const std::string& name, uint16_t link_type, std::string& out) {
  const auto known = std::ranges::find(interfaces_, std::pair(name, link_type));
  if (known != interfaces_.end()) return static_cast<uint32_t>(known - interfaces_.begin());
  std::string body;
  put16(body, link_type);
  put16(body, 0);
  put32(body, 0);  // of any length
  option(body, kName, name);
  option(body, kResolution, "\x09");
  option(body, kOptionEnd, "");
  out += block(kInterface, body);
  interfaces_.emplace_back(name, link_type);
  return static_cast<uint32_t>(interfaces_.size() - 1);
}

std::string Pcapng::add(const Json& record) {
  const std::string form = record.at("form").get<std::string>();
  const bool is_opened = form.starts_with("opened");
  const std::string prefix = is_opened ? opened_prefix(form == "opened_inside") : "";
  const std::string bytes = prefix + bytes_of(record);
  const auto length = static_cast<uint32_t>(record.at("length").get<uint16_t>() + prefix.size());
  const auto time_ns = record.at("time_ns").get<uint64_t>();
  std::string name = record.at("port").is_string() ? record.at("port").get<std::string>() : "tun";
  if (is_opened) name += " opened";

  std::string out, body;
  put32(body, interface_of(name, is_opened ? kUser0 : form == "ip" ? kRawIp : kEthernet, out));
  put32(body, static_cast<uint32_t>(time_ns >> 32));
  put32(body, static_cast<uint32_t>(time_ns));
  put32(body, static_cast<uint32_t>(bytes.size()));
  put32(body, std::max(length, static_cast<uint32_t>(bytes.size())));
  body += bytes;
  pad(body);
  option(body, kComment, comment_of(record));
  const std::string stage = record.at("stage").get<std::string>();
  const uint32_t direction = stage == "receive" ? kInbound : stage == "transmit" ? kOutbound : 0;
  option(body, kFlags, {reinterpret_cast<const char*>(&direction), sizeof(direction)});
  option(body, kOptionEnd, "");
  return out + block(kPacket, body);
}

}  // namespace sky::controlplane
