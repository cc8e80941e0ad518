#include "controlplane/cli/packets.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sodium.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>

#include "dataplane/base/address.h"
#include "dataplane/base/config_error.h"
#include "dataplane/protocol/frame.h"

namespace sky::controlplane {
namespace {

constexpr std::array<std::string_view, 5> kKinds{"frame", "header", "clear", "handshake", "hello"};
constexpr std::array<std::pair<std::string_view, PacketType>, 12> kTypes{{{"data", PacketType::data},
                                                                          {"close", PacketType::close},
                                                                          {"keepalive", PacketType::keep_alive},
                                                                          {"handshake", PacketType::handshake},
                                                                          {"ping", PacketType::ping},
                                                                          {"pong", PacketType::pong},
                                                                          {"error", PacketType::error},
                                                                          {"transportping", PacketType::transport_ping},
                                                                          {"transportpong", PacketType::transport_pong},
                                                                          {"datagram", PacketType::datagram},
                                                                          {"signal", PacketType::signal},
                                                                          {"deadroutes", PacketType::dead_routes}}};

std::string type_name(uint8_t type) {
  for (const auto& [name, value] : kTypes) {
    if (to_underlying(value) == type) return std::string(name);
  }
  return fmt::format("type {}", type);
}

/// Takes structs off the front as long as there is enough.
class Bytes {
 public:
  explicit Bytes(std::string_view rest) : rest_(rest) {}
  template <typename T>
  std::optional<T> take() {
    if (rest_.size() < sizeof(T)) return std::nullopt;
    T value;
    std::memcpy(&value, rest_.data(), sizeof(T));
    rest_.remove_prefix(sizeof(T));
    return value;
  }
  std::string_view rest() const { return rest_; }

 private:
  std::string_view rest_;
};

std::string mac_text(const MacAddress& mac) {
  return fmt::format("{:02x}", fmt::join(mac, ":"));
}

std::string link_text(const LinkHeader& header) {
  const uint64_t lane = header.lane_counter.get();
  const unsigned kind = header.version_kind & 0x0fu;
  return fmt::format("{}, link {}, epoch 0x{:02x}, lane {}, counter {}, hop limit {}, class {}, ECN {}",
                     kind < kKinds.size() ? std::string(kKinds[kind]) : fmt::format("kind {}", kind),
                     header.link_index.get(), header.epoch, lane >> 56, lane & ((uint64_t{1} << 56) - 1),
                     header.hop_limit, class_of(header.class_ecn), header.class_ecn >> 3 & 3u);
}

std::string ip_text(std::string_view packet) {
  const auto address = [&](size_t at, Family family) {
    IpAddress ip{.bytes = {}, .family = family};
    std::memcpy(ip.bytes.data(), packet.data() + at, family == Family::ipv6 ? 16 : 4);
    return to_string(ip);
  };
  const unsigned version = packet.empty() ? 0 : static_cast<uint8_t>(packet[0]) >> 4;
  if (version == 6 && packet.size() >= 40) {
    return fmt::format("IPv6, {} to {}, next header {}, {} bytes", address(8, Family::ipv6), address(24, Family::ipv6),
                       static_cast<uint8_t>(packet[6]), packet.size());
  }
  if (version == 4 && packet.size() >= 20) {
    return fmt::format("IPv4, {} to {}, protocol {}, {} bytes", address(12, Family::ipv4), address(16, Family::ipv4),
                       static_cast<uint8_t>(packet[9]), packet.size());
  }
  return fmt::format("no IP, {} bytes", packet.size());
}

void datagram_text(Bytes bytes, size_t size, bool inside, std::vector<std::string>& out) {
  const auto header = bytes.take<DatagramHeader>();
  if (!header || size < sizeof(DatagramHeader)) return;
  const uint64_t word = header->epoch_stream_counter.get();
  out.push_back(fmt::format("session epoch {}, stream {}, counter {}", word >> 62, word >> 48 & (kStreams - 1),
                            word & ((uint64_t{1} << 48) - 1)));
  if (inside) out.push_back(ip_text(bytes.rest().substr(0, size - sizeof(DatagramHeader))));
}

void packet_text(Bytes bytes, bool inside, std::vector<std::string>& out) {
  const auto header = bytes.take<PacketHeader>();
  if (!header) return;
  out.push_back(
      fmt::format("{}, route 0x{:08x}, size {}", type_name(header->type), header->route_id.get(), header->size.get()));
  if (header->type == to_underlying(PacketType::datagram) && header->route_id.get() != 0)
    datagram_text(bytes, header->size.get(), inside, out);
}

Result<uint64_t> read_number(const std::string& key, std::string_view text, uint64_t most) {
  const bool hexadecimal = text.starts_with("0x");
  const std::string_view digits = hexadecimal ? text.substr(2) : text;
  uint64_t value = 0;
  const auto read = std::from_chars(digits.begin(), digits.end(), value, hexadecimal ? 16 : 10);
  if (read.ec != std::errc() || read.ptr != digits.end() || value > most)
    return fail("--match {}: found {}, wanted a number up to {}", key, quote(text), most);
  return value;
}

std::string time_text(uint64_t time_ns) {
  constexpr uint64_t kSecond = 1'000'000'000;
  return fmt::format("{:%H:%M:%S}.{:06}", fmt::localtime(static_cast<time_t>(time_ns / kSecond)),
                     time_ns % kSecond / 1'000);
}

std::string where(const Json& record) {
  std::string text;
  for (const char* key : {"port", "link"}) {
    if (record.at(key).is_string()) text += fmt::format("{} {}, ", key, record.at(key).get<std::string>());
  }
  return text + fmt::format("worker {}", record.at("worker").get<unsigned>());
}

std::string verdict_of(const Json& record) {
  const std::string verdict = record.at("verdict").get<std::string>();
  return verdict == "drop" ? "drop: " + record.at("drop").get<std::string>() : verdict;
}

/// Whether a packet's way ends here, for this worker.
bool is_end(const Json& record) {
  const std::string verdict = record.at("verdict").get<std::string>();
  return (verdict != "next" && verdict != "egress") || record.at("stage") == "transmit";
}

std::string trace_of(const std::vector<Json>& records) {
  const Json& first = records.front();
  std::string text = fmt::format("packet {}, {}, worker {}\n", first.at("packet").get<uint64_t>(),
                                 time_text(first.at("time_ns").get<uint64_t>()), first.at("worker").get<unsigned>());
  for (const Json& record : records) {
    text += fmt::format("  {:<10} {}; {}, {} bytes\n", record.at("stage").get<std::string>(), verdict_of(record),
                        where(record), record.at("length").get<unsigned>());
    for (const std::string& header : headers_of(record)) text += fmt::format("  {:<10}   {}\n", "", header);
  }
  return text;
}

}  // namespace

std::string bytes_of(const Json& record) {
  const std::string hex = record.at("bytes").get<std::string>();
  std::string bytes(hex.size() / 2, 0);
  size_t length = 0;
  sodium_hex2bin(reinterpret_cast<uint8_t*>(bytes.data()), bytes.size(), hex.data(), hex.size(), nullptr, &length,
                 nullptr);
  bytes.resize(length);
  return bytes;
}

std::string comment_of(const Json& record) {
  return fmt::format("{} {}; {}, packet {}", record.at("stage").get<std::string>(), verdict_of(record), where(record),
                     record.at("packet").get<uint64_t>());
}

std::vector<std::string> headers_of(const Json& record) {
  const std::string form = record.at("form").get<std::string>();
  const std::string text = bytes_of(record);
  if (form == "ip") return {ip_text(text)};
  std::vector<std::string> out;
  Bytes bytes(text);
  const auto ethernet = bytes.take<EthernetHeader>();
  if (!ethernet) return out;
  if (form == "wire") {
    out.push_back(fmt::format("Ethernet, {} to {}, type 0x{:04x}", mac_text(ethernet->source),
                              mac_text(ethernet->destination), ethernet->ether_type.get()));
  }
  const auto link = bytes.take<LinkHeader>();
  if (!link || link->version_kind >> 4 != kFrameVersion) return out;
  out.push_back(link_text(*link));
  if (form == "wire" && kind_of(*link) != FrameKind::clear) return out;
  if (kind_of(*link) != FrameKind::clear) bytes.take<std::array<uint8_t, kTagBytes>>();
  packet_text(bytes, form == "opened_inside", out);
  return out;
}

Result<Json> read_matches(const std::vector<std::string>& expressions) {
  Json match = Json::object();
  for (const std::string& each : expressions) {
    const size_t sign = each.find('=');
    const std::string key = each.substr(0, sign);
    if (sign == std::string::npos) return fail("--match: found {}, wanted KEY=VALUE", quote(each));
    if (match.contains(key)) return fail("--match: found {} twice, wanted it once", key);
    const std::string value = each.substr(sign + 1);
    const auto* type = std::ranges::find(kTypes, value, &decltype(kTypes)::value_type::first);
    if (key == "type" && type != kTypes.end()) {
      match[key] = to_underlying(type->second);
    } else if (key == "type" || key == "route") {
      const auto number = read_number(key, value, key == "type" ? UINT8_MAX : UINT32_MAX);
      if (!number) return std::unexpected(number.error());
      match[key] = *number;
    } else {
      match[key] = value;
    }
  }
  return match;
}

std::string PacketTraces::add(const Json& record) {
  const auto packet = record.at("packet").get<uint64_t>();
  open_[packet].push_back(record);
  return is_end(record) ? trace_of(open_.extract(packet).mapped()) : "";
}

std::string PacketTraces::rest() {
  std::string text;
  for (const auto& [packet, records] : std::exchange(open_, {})) text += trace_of(records);
  return text;
}

}  // namespace sky::controlplane
