#include "dataplane/base/config_error.h"

#include <gtest/gtest.h>

namespace sky {
namespace {

TEST(ConfigError, IsOneLine) {
  ConfigError error{"router.yaml", {12, 5}, "links.a1-g1.port", quote("p9"), "a port of this file", ""};
  EXPECT_EQ(to_string(error), "router.yaml:12:5 links.a1-g1.port: found \"p9\", wanted a port of this file");
  error.hint = "p0";
  EXPECT_EQ(to_string(error),
            "router.yaml:12:5 links.a1-g1.port: found \"p9\", wanted a port of this file; did you mean \"p0\"?");
}

TEST(ConfigError, SendsNoControlCharacterToATerminal) {
  const ConfigError error{"f", {1, 1}, "k\n", quote("\x1b[2J\x7f\xc2\x9b"), "w", ""};
  const auto line = to_string(error);
  for (const unsigned char c : line) EXPECT_TRUE(c >= 0x20 && c != 0x7f && c != 0x9b) << int{c};
  EXPECT_NE(line.find("\\x1b[2J"), std::string::npos);
}

TEST(ConfigError, QuotesAreBoundedAndCutBetweenCharacters) {
  EXPECT_EQ(quote("short"), "\"short\"");
  std::string text = "x";
  for (int i = 0; i < 40; ++i) text += "\xc3\xa4";
  const auto cut = quote(text);
  EXPECT_EQ(cut.size(), 1 + 59 + 4u);
  EXPECT_EQ(cut.substr(58), "\xc3\xa4...\"");
}

TEST(Nearest, FindsTypingErrorsOnly) {
  const std::vector<std::string> keys = {"port", "mac", "ethertype", "psk", "liveness", "protect"};
  EXPECT_EQ(nearest("prot", keys), "port");  // swapped
  EXPECT_EQ(nearest("mca", keys), "mac");
  EXPECT_EQ(nearest("livenes", keys), "liveness");
  EXPECT_EQ(nearest("ethertypes", keys), "ethertype");
  EXPECT_EQ(nearest("potrect", keys), "protect");
  EXPECT_EQ(nearest("banana", keys), "");
  EXPECT_EQ(nearest("", keys), "");
  EXPECT_EQ(nearest(std::string(1'000'000, 'x'), keys), "");
}

TEST(Report, SortsByPlaceAndKeepsABoundedNumber) {
  Report report("f");
  for (uint32_t line = 1000; line > 0; --line) report.add({line, 1}, "k", "a", "b");
  EXPECT_TRUE(report.full());
  const auto errors = report.take();
  ASSERT_EQ(errors.size(), Report::kMostErrors + 1);
  EXPECT_EQ(errors.front().mark.line, 901u);
  EXPECT_EQ(errors.back().found, "900 more errors");
}

TEST(Report, ErrorsAreBoundedInLength) {
  Report report("f");
  report.add({}, std::string(1'000'000, 'k'), std::string(1'000'000, 'x'), "b");
  EXPECT_LT(to_string(report.take()).size(), 1000u);
}

}  // namespace
}  // namespace sky
