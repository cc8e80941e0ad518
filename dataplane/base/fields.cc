#include "dataplane/base/fields.h"

#include <algorithm>
#include <bit>

#include "dataplane/base/key_text.h"
#include "dataplane/base/units.h"

namespace sky {
namespace {

constexpr size_t kMostNameBytes = 63;

/// ASCII alone: names must not depend on a locale.
bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool is_name(std::string_view text) {
  const auto inner = [](char c) { return is_letter(c) || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.'; };
  return !text.empty() && text.size() <= kMostNameBytes && is_letter(text[0]) && std::ranges::all_of(text, inner);
}

template <typename Parse>
Scalar<uint64_t> ranged(std::string wanted, Parse parse, uint64_t least, uint64_t most, bool plain) {
  const auto in_range = [=](std::string_view text) -> Result<uint64_t> {
    const Result<uint64_t> value = parse(text);
    if (!value || *value < least || *value > most) return fail("{}", wanted);
    return value;
  };
  return {wanted, in_range, plain, {}};
}

}  // namespace

namespace scalar {

Scalar<std::string> name() {
  const std::string wanted = "a name (a letter, then letters, digits, - _ .)";
  return {wanted, [wanted](std::string_view text) -> Result<std::string> {
            if (!is_name(text)) return fail("{}", wanted);
            return std::string(text);
          }};
}

Scalar<std::string> text(size_t most_bytes, std::string wanted) {
  return {wanted, [=](std::string_view text) -> Result<std::string> {
            const bool printable = std::ranges::none_of(text, [](unsigned char c) { return c < 0x20 || c == 0x7f; });
            if (text.empty() || !printable) return fail("{}", wanted);
            if (text.size() > most_bytes) return fail("{} of at most {} bytes", wanted, most_bytes);
            return std::string(text);
          }};
}

Scalar<bool> boolean() {
  auto type = choice<bool>({{"true", true}, {"false", false}});
  type.plain = true;
  return type;
}

Scalar<uint64_t> integer(uint64_t least, uint64_t most) {
  const auto wanted = least == most ? fmt::format("{}", least) : fmt::format("an integer from {} to {}", least, most);
  return ranged(wanted, parse_integer, least, most, true);
}

Scalar<uint64_t> power_of_two(uint64_t least, uint64_t most) {
  const auto wanted = fmt::format("a power of two from {} to {}", least, most);
  const auto parse = [](std::string_view text) -> Result<uint64_t> {
    const auto value = parse_integer(text);
    if (value && !std::has_single_bit(*value)) return fail("a power of two");
    return value;
  };
  return ranged(wanted, parse, least, most, true);
}

Scalar<uint64_t> duration(uint64_t least_ns, uint64_t most_ns) {
  const auto wanted =
      fmt::format("a duration from {} to {}", format_duration_ns(least_ns), format_duration_ns(most_ns));
  return ranged(wanted, parse_duration_ns, least_ns, most_ns, false);
}

Scalar<uint64_t> size(uint64_t least_bytes, uint64_t most_bytes) {
  const auto wanted =
      fmt::format("a size from {} to {}", format_size_bytes(least_bytes), format_size_bytes(most_bytes));
  return ranged(wanted, parse_size_bytes, least_bytes, most_bytes, false);
}

Scalar<uint64_t> rate(uint64_t least_bps, uint64_t most_bps) {
  const auto wanted =
      fmt::format("a rate in bits a second from {} to {}", format_rate_bps(least_bps), format_rate_bps(most_bps));
  return ranged(wanted, parse_rate_bps, least_bps, most_bps, false);
}

Scalar<MacAddress> mac_address() {
  return {"a MAC address such as 02:00:00:00:00:01", parse_mac};
}
Scalar<IpAddress> ip_address() {
  return {"an IPv6 or IPv4 address", parse_address};
}
Scalar<Prefix> ip_prefix() {
  return {"an IPv6 or IPv4 prefix", parse_prefix};
}
Scalar<TcpAddress> tcp_address() {
  return {"an address and a port such as [::1]:9477", parse_tcp_address};
}
Scalar<PublicKey> public_key() {
  return {"an Ed25519 public key in base64", parse_public_key};
}

}  // namespace scalar

std::vector<Place> Place::items() const {
  if (node_->kind != yaml::Node::Kind::list) {
    error(yaml::describe(*node_), "a list");
    return {};
  }
  std::vector<Place> places;
  for (size_t i = 0; i < node_->entries.size(); ++i) {
    const yaml::Entry& entry = node_->entries[i];
    places.emplace_back(entry.value, fmt::format("{}[{}]", key_, i), entry.mark, *report_);
  }
  return places;
}

std::vector<std::pair<std::string, Place>> Place::entries(std::string_view wanted) const {
  if (node_->kind != yaml::Node::Kind::map) {
    error(yaml::describe(*node_), std::string(wanted));
    return {};
  }
  std::vector<std::pair<std::string, Place>> places;
  for (const yaml::Entry& entry : node_->entries) {
    if (!is_name(entry.key)) {
      report_->add(entry.mark, key_, quote(entry.key), scalar::name().wanted);
      continue;
    }
    places.emplace_back(entry.key, Place(entry.value, key_ + '.' + entry.key, entry.mark, *report_));
  }
  return places;
}

Fields::Fields(const Place& place)
    : place_(place), is_map_(place.node().kind == yaml::Node::Kind::map), asked_(place.node().entries.size()) {
  if (!is_map_) place_.error(yaml::describe(place_.node()), "a map");
}

Fields::~Fields() {
  if (!is_map_) return;
  const auto wanted = fmt::format("one of {}", fmt::join(known_, ", "));
  for (size_t i = 0; i < asked_.size() && !place_.report().full(); ++i) {
    if (asked_[i]) continue;
    const yaml::Entry& entry = place_.node().entries[i];
    place_.report().add(entry.mark, dotted(entry.key), "an unknown key", wanted, nearest(entry.key, known_));
  }
}

std::string Fields::dotted(std::string_view key) const {
  return place_.key().empty() ? std::string(key) : fmt::format("{}.{}", place_.key(), key);
}

std::optional<Place> Fields::find(std::string_view key) {
  known_.emplace_back(key);
  if (!is_map_) return std::nullopt;
  const auto& entries = place_.node().entries;
  const auto entry = std::ranges::find(entries, key, &yaml::Entry::key);
  if (entry == entries.end()) return std::nullopt;
  asked_[static_cast<size_t>(entry - entries.begin())] = true;
  return Place(entry->value, dotted(key), entry->mark, place_.report());
}

std::optional<Place> Fields::need(std::string_view key, std::string_view wanted) {
  auto place = find(key);
  if (!place && is_map_) {
    place_.report().add(place_.key_mark(), dotted(key), "nothing", std::string(wanted));
  }
  return place;
}

}  // namespace sky
