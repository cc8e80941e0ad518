#include "controlplane/topology/reader.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "dataplane/base/key_text.h"

namespace sky::controlplane {
namespace {

constexpr std::string_view kFile = R"(
domains:
  alpha:
    as: 64512
    prefixes: [2001:db8:a::/48, 10.1.0.0/16]
    nodes:
      a1: { key: iojj3XQJ8ZX9UtstPLpdcspnCb8dlBIb83SIAbQPb1w=, addresses: [2001:db8:a::1, 10.1.0.1] }
      a2: { key: gTl3Dqh9F19Wo1Rmw0x+zMuNipG07jeiXfYPW4/Js5Q=, role: host, addresses: [2001:db8:a::2] }
  beta:
    as: 4294967294
    prefixes: [2001:db8:b::/48]
    nodes:
      b1: { key: 7UkoxijRwsbq6QM4kFmVYSlZJzpcY/k2NsFGFKyHN9E=, prefixes: [2001:db8:b:1::/64] }
      b2: { key: ypOsFwUYcHHWe4PH/w7+gQjo7EUwV113JoeTM9vavnw=, prefixes: [] }
links:
  a1-b1: { ends: [a1, b1], delay: 1ms, capacity: 10G, cost: 10, risk: [duct-7, mast], relation: provider }
  b1-b2: { ends: [b2, b1], risk: [mast] }
)";

TEST(TopologyReader, EveryValueArrives) {
  const auto read = parse_topology(kFile, "topology.yaml");
  ASSERT_TRUE(read) << to_string(read.error());
  const Topology& topology = *read;
  EXPECT_EQ(topology.file, "topology.yaml");
  ASSERT_EQ(topology.domains.size(), 2u);
  EXPECT_EQ(topology.domains[1].as_number, 4294967294u);
  EXPECT_EQ(topology.domains[0].mark.line, 3u);
  const auto a1 = topology.find_node("a1").value(), a2 = topology.find_node("a2").value();
  const auto b1 = topology.find_node("b1").value(), b2 = topology.find_node("b2").value();
  EXPECT_EQ(format_key(topology.at(a1).key), "iojj3XQJ8ZX9UtstPLpdcspnCb8dlBIb83SIAbQPb1w=");
  EXPECT_EQ(topology.at(a1).role, Role::router);
  EXPECT_EQ(topology.at(a2).role, Role::host);
  ASSERT_EQ(topology.at(a1).addresses.size(), 2u);
  EXPECT_EQ(to_string(topology.at(a1).addresses[1]), "10.1.0.1");
  EXPECT_EQ(topology.prefixes_of(a1).size(), 2u);
  ASSERT_EQ(topology.prefixes_of(a2).size(), 1u) << "a host serves its addresses";
  EXPECT_EQ(to_string(topology.prefixes_of(a2)[0]), "2001:db8:a::2/128");
  ASSERT_EQ(topology.prefixes_of(b1).size(), 1u);
  EXPECT_EQ(to_string(topology.prefixes_of(b1)[0]), "2001:db8:b:1::/64");
  EXPECT_TRUE(topology.prefixes_of(b2).empty());

  const TopologyLink& border = topology.at(topology.find_link("a1-b1").value());
  EXPECT_EQ(border.ends, (std::array{a1, b1}));
  EXPECT_EQ(border.delay_ns, 1'000'000u);
  EXPECT_EQ(border.capacity_bps, 10'000'000'000u);
  EXPECT_EQ(border.cost, 10u);
  EXPECT_EQ(border.relation, Relation::provider);
  const TopologyLink& inner = topology.at(topology.find_link("b1-b2").value());
  EXPECT_EQ(inner.ends, (std::array{b2, b1}));
  EXPECT_EQ(inner.cost, 1u);
  EXPECT_EQ(inner.relation, Relation::peer);
  ASSERT_EQ(border.risks.size(), 2u);
  EXPECT_EQ(inner.risks, std::vector{border.risks[1]});
}

TEST(TopologyReader, LinksMayStandBeforeDomains) {
  const auto read = parse_topology(
      "links: { l: { ends: [a, b] } }\n"
      "domains: { x: { as: 1, nodes: { a: {}, b: {} } } }\n",
      "t.yaml", {.keys_required = false});
  ASSERT_TRUE(read) << to_string(read.error());
  EXPECT_EQ(read->links.size(), 1u);
}

TEST(TopologyReader, KeysMayBeAbsentInATemplateOnly) {
  constexpr std::string_view kTemplate = "domains: { x: { as: 1, nodes: { a: {}, b: {} } } }\n";
  const auto read = parse_topology(kTemplate, "t.yaml", {.keys_required = false});
  ASSERT_TRUE(read) << to_string(read.error());
  EXPECT_EQ(read->nodes[0].key, PublicKey{});
  const auto refused = parse_topology(kTemplate, "t.yaml");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().size(), 2u);
  EXPECT_FALSE(
      parse_topology("domains: { x: { as: 1, nodes: { a: { key: abc } } } }", "t.yaml", {.keys_required = false}))
      << "what is there is checked";
}

TEST(TopologyReader, ALargeNetworkIsRead) {
  std::string text = "domains:\n";
  for (int i = 0; i < 5'000; ++i) {
    text += fmt::format("  d{}: {{ as: {}, prefixes: [10.{}.{}.0/24], nodes: {{ n{}: {{}} }} }}\n", i, i + 1, i / 256,
                        i % 256, i);
  }
  text += "links:\n";
  for (int i = 0; i < 20'000; ++i) {
    text += fmt::format("  l{}: {{ ends: [n{}, n{}], delay: 1ms }}\n", i, i % 5'000,
                        (i * 7 + 1) % 5'000 == i % 5'000 ? (i + 2) % 5'000 : (i * 7 + 1) % 5'000);
  }
  const auto read = parse_topology(text, "t.yaml", {.keys_required = false});
  ASSERT_TRUE(read) << to_string(read.error());
  EXPECT_EQ(read->links.size(), 20'000u);
}

/// Every pair of overlapping prefixes of two domains is found, whatever lies between: held to the naive answer.
TEST(TopologyReader, OverlapsAgreeWithComparingAllPairs) {
  uint64_t state = 7;
  const auto random = [&state](uint64_t below) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (state >> 33) % below;
  };
  unsigned clashes = 0;
  for (int round = 0; round < 500; ++round) {
    std::vector<Prefix> prefixes[2];
    for (auto& of_domain : prefixes) {
      for (uint64_t count = random(4); count > 0; --count) {
        const IpAddress address{{10, static_cast<uint8_t>(random(4) << 6), static_cast<uint8_t>(random(4) << 6)},
                                Family::ipv4};
        const Prefix prefix = network_of(address, static_cast<uint8_t>(9 + random(10)));
        if (std::ranges::find(of_domain, prefix) == of_domain.end()) of_domain.push_back(prefix);
      }
    }
    bool clash = false;
    for (const Prefix& left : prefixes[0]) {
      for (const Prefix& right : prefixes[1]) clash |= contains(left, right) || contains(right, left);
    }
    std::string text = "domains:\n";
    for (int domain = 0; domain < 2; ++domain) {
      text += fmt::format("  d{}:\n    as: {}\n    nodes: {{}}\n    prefixes:\n", domain, domain + 1);
      for (const Prefix& prefix : prefixes[domain]) text += "    - " + to_string(prefix) + "\n";
      if (prefixes[domain].empty()) text += "     []\n";
    }
    const auto read = parse_topology(text, "t.yaml");
    EXPECT_EQ(read.has_value(), !clash) << text << (read ? "" : to_string(read.error()));
    clashes += clash;
  }
  EXPECT_GT(clashes, 100u);
  EXPECT_LT(clashes, 400u);
}

TEST(TopologyReader, NoInputIsFatal) {
  uint64_t state = 1;
  const auto random = [&state](uint64_t below) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (state >> 33) % below;
  };
  constexpr std::string_view kBytes = "{}[]:,-\"'&*!|>#%@?\n \t01xab=\xc3\x80\x1b";
  unsigned refused = 0;
  for (int round = 0; round < 5'000; ++round) {
    std::string text(kFile);
    for (uint64_t edits = 1 + random(4); edits > 0; --edits) {
      const size_t at = random(text.size());
      switch (random(4)) {
        case 0:
          text[at] = kBytes[random(kBytes.size())];
          break;
        case 1:
          text.insert(at, 1, kBytes[random(kBytes.size())]);
          break;
        case 2:
          text.insert(at, text.substr(random(text.size()), random(60)));
          break;
        default:
          text.erase(at, 1 + random(8));
          break;
      }
      if (text.empty()) text = " ";
    }
    const auto topology = parse_topology(text, "t.yaml");
    if (topology) continue;
    ++refused;
    EXPECT_FALSE(topology.error().empty()) << text;
  }
  EXPECT_GT(refused, 2'000u);
}

}  // namespace
}  // namespace sky::controlplane
