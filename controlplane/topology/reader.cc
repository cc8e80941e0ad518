#include "controlplane/topology/reader.h"

#include <algorithm>
#include <bitset>
#include <map>
#include <set>
#include <tuple>

#include "dataplane/base/fields.h"
#include "dataplane/base/key_text.h"
#include "dataplane/base/units.h"
#include "dataplane/base/yaml.h"

namespace sky::controlplane {
namespace {

constexpr uint64_t kMostAsNumber = 4'294'967'294;  ///< RFC 7300

/// "Is this inside one of these prefixes", in as many lookups as there are prefix lengths.
class PrefixSet {
 public:
  /// `complete`: no prefix was refused. If one was, what lies in it must not be blamed too.
  PrefixSet(std::span<const Prefix> prefixes, bool complete)
      : prefixes_(prefixes.begin(), prefixes.end()), complete_(complete) {
    for (const Prefix& prefix : prefixes) lengths_.set(prefix.length);
  }

  bool covers(const Prefix& inner) const {
    for (uint8_t length = 0; length <= inner.length; ++length) {
      if (lengths_[length] && prefixes_.contains(network_of({inner.address, inner.family}, length))) return true;
    }
    return !complete_;
  }

 private:
  std::set<Prefix> prefixes_;
  bool complete_;
  std::bitset<129> lengths_;
};

/// Addresses that are no domain's to serve; fc00::/8 holds the Skywire addresses.
constexpr std::string_view kReserved[] = {"fc00::/8", "fe80::/10", "ff00::/8", "::1/128", "127.0.0.0/8", "224.0.0.0/4"};

void check_reserved(const Place& place, const Prefix& prefix) {
  for (const std::string_view reserved : kReserved) {
    if (!contains(*parse_prefix(reserved), prefix)) continue;
    place.error(quote(to_string(prefix)), fmt::format("a prefix outside {}, which is reserved", reserved));
  }
}

/// Values that may stand in the file once only, with the key that took each.
template <typename Value>
class Unique {
 public:
  void take(const Place& place, const Value& value, std::string_view what) {
    const auto [holder, fresh] = taken_.try_emplace(value, place.key());
    if (!fresh) {
      place.error(fmt::format("the {} of {}", what, holder->second), "one of its own");
    }
  }

 private:
  std::map<Value, std::string> taken_;
};

template <typename T>
std::vector<std::pair<Place, T>> read_list(const Place& place, const Scalar<T>& type) {
  std::vector<std::pair<Place, T>> values;
  for (const Place& item : place.items()) {
    if (auto value = item.read(type)) values.emplace_back(item, std::move(*value));
  }
  return values;
}

class Reader {
 public:
  explicit Reader(TopologyReadOptions options) : options_(options) {}

  Topology read(const Place& root) {
    topology_.file = root.report().file();
    Fields fields(root);
    uint64_t version = 1;
    fields.read("version", scalar::integer(1, 1), version);
    if (const auto domains = fields.need("domains", "a map from names to domains")) {
      for (const auto& [name, entry] : domains->entries("a map from names to domains")) read_domain(entry, name);
    }
    check_overlaps();
    if (const auto links = fields.find("links")) {
      for (const auto& [name, entry] : links->entries("a map from names to links")) read_link(entry, name);
    }
    return std::move(topology_);
  }

 private:
  struct Claim {
    Prefix prefix;
    DomainIndex domain;
    Place place;
  };

  void read_domain(const Place& place, const std::string& name) {
    const DomainIndex index = topology_.add_domain(name, 0);
    topology_.at(index).mark = place.key_mark();
    Fields fields(place);
    if (const auto as = fields.need("as", "an AS number")) {
      if (const auto number = as->read(scalar::integer(1, kMostAsNumber))) {
        as_numbers_.take(*as, *number, "AS number");
        topology_.at(index).as_number = static_cast<uint32_t>(*number);
      }
    }
    const PrefixSet covered = read_domain_prefixes(fields, index);
    if (const auto nodes = fields.need("nodes", "a map from names to nodes")) {
      for (const auto& [node, entry] : nodes->entries("a map from names to nodes")) {
        read_node(entry, node, index, covered);
      }
    }
  }

  PrefixSet read_domain_prefixes(Fields& fields, DomainIndex index) {
    std::vector<Prefix>& prefixes = topology_.at(index).prefixes;
    const auto place = fields.find("prefixes");
    if (!place) return {prefixes, true};
    for (const auto& [item, prefix] : read_list(*place, scalar::ip_prefix())) {
      check_reserved(item, prefix);
      prefixes.push_back(prefix);
      claims_.push_back({prefix, index, item});
    }
    return {prefixes, prefixes.size() == place->node().entries.size()};
  }

  void read_node(const Place& place, const std::string& name, DomainIndex domain, const PrefixSet& covered) {
    if (const auto other = topology_.find_node(name)) {
      const auto& home = topology_.at(topology_.at(*other).domain).name;
      place.report().add(place.key_mark(), place.key(), "a node name of domain " + home, "one of its own");
      return;
    }
    const NodeIndex index = topology_.add_node(domain, name);
    TopologyNode& node = topology_.at(index);
    node.mark = place.key_mark();
    Fields fields(place);
    read_key(fields, node);
    fields.read("role", scalar::choice<Role>({{"router", Role::router}, {"host", Role::host}}), node.role);
    const auto prefixes = fields.find("prefixes");
    if (prefixes) read_node_prefixes(*prefixes, node, covered);
    const auto addresses = fields.find("addresses");
    if (addresses && prefixes) {
      const bool complete = node.own_prefixes->size() == prefixes->node().entries.size();
      read_addresses(*addresses, node, PrefixSet(*node.own_prefixes, complete),
                     "an address inside the node's prefixes");
    } else if (addresses) {
      read_addresses(*addresses, node, covered, "an address inside the domain's prefixes");
    }
    if (node.role == Role::host && !prefixes) {
      std::ranges::transform(node.addresses, std::back_inserter(node.own_prefixes.emplace()), host_prefix);
    }
  }

  void read_node_prefixes(const Place& place, TopologyNode& node, const PrefixSet& covered) {
    node.own_prefixes.emplace();
    for (const auto& [item, prefix] : read_list(place, scalar::ip_prefix())) {
      if (!covered.covers(prefix)) item.error(quote(to_string(prefix)), "a prefix inside the domain's prefixes");
      node.own_prefixes->push_back(prefix);
    }
  }

  void read_key(Fields& fields, TopologyNode& node) {
    const auto type = scalar::public_key();
    const auto place = options_.keys_required ? fields.need("key", type.wanted) : fields.find("key");
    if (!place) return;
    if (const auto key = place->read(type)) {
      keys_.take(*place, *key, "key");
      node.key = *key;
    }
  }

  void read_addresses(const Place& place, TopologyNode& node, const PrefixSet& covered, const std::string& wanted) {
    for (const auto& [item, address] : read_list(place, scalar::ip_address())) {
      if (!covered.covers(host_prefix(address))) item.error(quote(to_string(address)), wanted);
      addresses_.take(item, address, "address");
      node.addresses.push_back(address);
    }
  }

  /// In sorted order a prefix follows at once what contains it; `around` holds the prefixes that
  /// may contain the next.
  void check_overlaps() {
    std::ranges::sort(claims_, {}, [](const Claim& claim) {
      const Mark mark = claim.place.mark();
      return std::tuple(claim.prefix.family, claim.prefix.address, claim.prefix.length, mark.line, mark.column);
    });
    std::vector<const Claim*> around;
    for (const Claim& claim : claims_) {
      while (!around.empty() && !contains(around.back()->prefix, claim.prefix)) around.pop_back();
      if (!around.empty()) report_overlap(claim, *around.back());
      around.push_back(&claim);
    }
  }

  void report_overlap(const Claim& inner, const Claim& outer) {
    if (inner.domain == outer.domain && inner.prefix != outer.prefix) return;
    inner.place.error(quote(to_string(inner.prefix)),
                      fmt::format("no overlap with {} ({} in line {})", to_string(outer.prefix), outer.place.key(),
                                  outer.place.mark().line));
  }

  void read_link(const Place& place, const std::string& name) {
    Fields fields(place);
    TopologyLink link{.name = name, .mark = place.key_mark()};
    const bool has_ends = read_ends(fields, link);
    fields.read("delay", scalar::duration(0, 10 * kSecondNs), link.delay_ns);
    fields.read("capacity", scalar::rate(1'000, 100'000'000'000'000), link.capacity_bps);
    fields.read("cost", scalar::integer(1, 1'000'000), link.cost);
    if (const auto risks = fields.find("risk")) {
      for (const auto& [item, risk] : read_list(*risks, scalar::name())) link.risks.push_back(topology_.risk(risk));
    }
    const auto relation = fields.find("relation");
    if (relation) {
      link.relation =
          relation
              ->read(scalar::choice<Relation>(
                  {{"peer", Relation::peer}, {"provider", Relation::provider}, {"customer", Relation::customer}}))
              .value_or(Relation::peer);
    }
    if (!has_ends) return;
    const auto index = topology_.add_link(name, link.ends[0], link.ends[1]);
    topology_.at(index) = std::move(link);
    if (relation && !topology_.is_border(index)) {
      relation->error("a relation on a link inside a domain", "none: it is between domains");
    }
  }

  bool read_ends(Fields& fields, TopologyLink& link) {
    const auto place = fields.need("ends", "the names of two nodes");
    if (!place) return false;
    const auto items = place->items();
    size_t known = 0;
    for (const Place& item : items) {
      const auto name = item.read(scalar::name());
      const auto node = name ? topology_.find_node(*name) : std::nullopt;
      if (name && !node) item.error(quote(*name), "a node of this file", near_node(*name, item.report()));
      if (node && known < 2) link.ends[known++] = *node;
    }
    if (place->node().kind == yaml::Node::Kind::list && items.size() != 2) {
      place->error(fmt::format("{} ends", items.size()), "two");
      return false;
    }
    if (known == 2 && link.ends[0] == link.ends[1]) {
      place->error("the same node twice", "two nodes");
      return false;
    }
    return known == 2;
  }

  /// Names are compared one by one: not for a network so large, nor for errors that nobody will
  /// see.
  std::string near_node(const std::string& name, const Report& report) const {
    constexpr size_t kMostCompared = 10'000;
    if (report.full() || topology_.nodes.size() > kMostCompared) return {};
    std::vector<std::string> names;
    for (const TopologyNode& node : topology_.nodes) names.push_back(node.name);
    return nearest(name, names);
  }

  const TopologyReadOptions options_;
  Topology topology_;
  std::vector<Claim> claims_;
  Unique<uint64_t> as_numbers_;
  Unique<PublicKey> keys_;
  Unique<IpAddress> addresses_;
};

}  // namespace

std::expected<Topology, ConfigErrors> interpret_topology(const std::optional<yaml::Node>& tree, Report& report,
                                                         TopologyReadOptions options) {
  Topology topology;
  if (tree) topology = Reader(options).read(Place(*tree, "", {}, report));
  if (!report.empty()) return std::unexpected(report.take());
  return topology;
}

std::expected<Topology, ConfigErrors> read_topology(const std::string& path, TopologyReadOptions options) {
  Report report(path);
  return interpret_topology(yaml::load(kTopologyBudget, report), report, options);
}

std::expected<Topology, ConfigErrors> parse_topology(std::string_view text, const std::string& file,
                                                     TopologyReadOptions options) {
  Report report(file);
  return interpret_topology(yaml::parse(text, kTopologyBudget, report), report, options);
}

}  // namespace sky::controlplane
