// Typed reading of a YAML tree: the reader of a file names each key once, with its type and where
// the value goes; what it did not name is an unknown key, with a guess at what was meant. Nothing
// stops at the first error.
//
//   Fields fields(place);
//   fields.require("port", scalar::name(), link.port);
//   fields.read("interval", scalar::duration(1 * kMillisecondNs, kSecondNs), link.interval_ns);
//
// On entry: a tree that yaml::parse accepted, which must outlive the places in it. After: every
// error is in the report, and a value that was refused leaves its target as it was.
#pragma once

#include <functional>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "dataplane/base/address.h"
#include "dataplane/base/config_error.h"
#include "dataplane/base/result.h"
#include "dataplane/base/yaml.h"

namespace sky {

/// A type of scalar: how its text converts, or what was wanted instead.
template <typename T>
struct Scalar {
  std::string wanted;
  std::function<Result<T>(std::string_view)> parse;
  bool plain = false;                  ///< numbers and booleans: quotes make them text
  std::vector<std::string> choices{};  ///< the words that a near miss is compared with
};

namespace scalar {

Scalar<std::string> name();  ///< a letter, then up to 62 letters, digits, `-`, `_`, `.`
Scalar<std::string> text(size_t most_bytes, std::string wanted);
Scalar<bool> boolean();
Scalar<uint64_t> integer(uint64_t least, uint64_t most);
Scalar<uint64_t> power_of_two(uint64_t least, uint64_t most);
Scalar<uint64_t> duration(uint64_t least_ns, uint64_t most_ns);
Scalar<uint64_t> size(uint64_t least_bytes, uint64_t most_bytes);
Scalar<uint64_t> rate(uint64_t least_bps, uint64_t most_bps);
Scalar<MacAddress> mac_address();
Scalar<IpAddress> ip_address();
Scalar<Prefix> ip_prefix();
Scalar<TcpAddress> tcp_address();
Scalar<PublicKey> public_key();

template <typename T>
Scalar<T> choice(std::initializer_list<std::pair<std::string, T>> words) {
  Scalar<T> type;
  for (const auto& [word, value] : words) {
    type.wanted += (type.wanted.empty() ? "" : " or ") + word;
    type.choices.push_back(word);
  }
  type.parse = [words = std::vector(words), wanted = type.wanted](std::string_view text) -> Result<T> {
    for (const auto& [word, value] : words) {
      if (word == text) return value;
    }
    return fail("{}", wanted);
  };
  return type;
}

}  // namespace scalar

/// A value, the dotted key that leads to it, and the report its errors go to.
class Place {
 public:
  Place(const yaml::Node& node, std::string key, Mark key_mark, Report& report)
      : node_(&node), key_(std::move(key)), key_mark_(key_mark), report_(&report) {}

  const yaml::Node& node() const { return *node_; }
  const std::string& key() const { return key_; }
  /// Of the value; nothing has no place of its own, so of its key.
  Mark mark() const { return node_->kind == yaml::Node::Kind::null ? key_mark_ : node_->mark; }
  Mark key_mark() const { return key_mark_; }
  Report& report() const { return *report_; }

  void error(std::string found, std::string wanted, std::string hint = "") const {
    report_->add(mark(), key_, std::move(found), std::move(wanted), std::move(hint));
  }

  template <typename T>
  std::optional<T> read(const Scalar<T>& type) const {
    if (node_->kind != yaml::Node::Kind::scalar) {
      error(yaml::describe(*node_), type.wanted);
    } else if (type.plain && node_->quoted) {
      error("the text " + yaml::describe(*node_), type.wanted + " without quotes");
    } else if (auto value = type.parse(node_->text)) {
      return std::move(*value);
    } else {
      error(yaml::describe(*node_), value.error().message, nearest(node_->text, type.choices));
    }
    return std::nullopt;
  }

  /// The values of a list; none and an error when it is no list.
  std::vector<Place> items() const;

  /// The entries of a map from names to values; keys that are no names are reported and left out.
  std::vector<std::pair<std::string, Place>> entries(std::string_view wanted) const;

 private:
  const yaml::Node* node_;
  std::string key_;
  Mark key_mark_;
  Report* report_;
};

/// The keys of one map. The keys that were never asked for are reported at the end of its life.
class Fields {
 public:
  explicit Fields(const Place& place);
  Fields(const Fields&) = delete;
  Fields& operator=(const Fields&) = delete;
  ~Fields();

  std::optional<Place> find(std::string_view key);

  /// Reports the key as missing when it is.
  std::optional<Place> need(std::string_view key, std::string_view wanted);

  /// The target keeps its default when the key is absent. The type's range must fit the target.
  template <typename T, typename Target>
  void read(std::string_view key, const Scalar<T>& type, Target& target) {
    if (const auto place = find(key)) assign(*place, type, target);
  }

  template <typename T, typename Target>
  void require(std::string_view key, const Scalar<T>& type, Target& target) {
    if (const auto place = need(key, type.wanted)) assign(*place, type, target);
  }

 private:
  template <typename T, typename Target>
  static void assign(const Place& place, const Scalar<T>& type, Target& target) {
    if (auto value = place.read(type)) target = static_cast<Target>(std::move(*value));
  }

  std::string dotted(std::string_view key) const;

  const Place place_;
  bool is_map_;
  std::vector<bool> asked_;
  std::vector<std::string> known_;
};

}  // namespace sky
