#include "controlplane/topology/topology.h"

#include <gtest/gtest.h>

namespace sky::controlplane {
namespace {

/// A topology needs no file: this is what any other source does.
TEST(Topology, IsBuiltInCode) {
  Topology topology;
  const Prefix whole = parse_prefix("2001:db8:a::/48").value();
  const Prefix part = parse_prefix("2001:db8:a:1::/64").value();
  const auto alpha = topology.add_domain("alpha", 64512, {whole});
  const auto beta = topology.add_domain("beta", 64513);
  const auto a1 = topology.add_node(alpha, "a1");
  const auto a2 = topology.add_node(alpha, "a2", {}, Role::host);
  const auto b1 = topology.add_node(beta, "b1");
  const auto inner = topology.add_link("a1-a2", a1, a2);
  const auto border = topology.add_link("b1-a1", b1, a1);

  EXPECT_EQ(topology.find_domain("beta"), beta);
  EXPECT_EQ(topology.find_node("b1"), b1);
  EXPECT_EQ(topology.find_link("b1-a1"), border);
  EXPECT_FALSE(topology.find_node("alpha"));
  EXPECT_EQ(topology.at(alpha).nodes, (std::vector{a1, a2}));
  EXPECT_EQ(topology.at(a1).links, (std::vector{inner, border}));
  EXPECT_EQ(topology.other_end(border, a1), b1);
  EXPECT_EQ(topology.other_end(border, b1), a1);
  EXPECT_TRUE(topology.is_border(border));
  EXPECT_FALSE(topology.is_border(inner));

  ASSERT_EQ(topology.prefixes_of(a1).size(), 1u) << "a router serves its domain's";
  EXPECT_EQ(topology.prefixes_of(a1)[0], whole);
  EXPECT_TRUE(topology.prefixes_of(a2).empty()) << "a host does not";
  topology.at(a1).own_prefixes = {part};
  EXPECT_EQ(topology.prefixes_of(a1)[0], part);
  topology.at(a1).own_prefixes->clear();
  EXPECT_TRUE(topology.prefixes_of(a1).empty()) << "a router that names none of them serves none";
}

TEST(Topology, RisksAreNumberedByName) {
  Topology topology;
  const auto duct = topology.risk("duct-7");
  EXPECT_NE(topology.risk("mast"), duct);
  EXPECT_EQ(topology.risk("duct-7"), duct);
  EXPECT_EQ(topology.risks, (std::vector<std::string>{"duct-7", "mast"}));
}

}  // namespace
}  // namespace sky::controlplane
