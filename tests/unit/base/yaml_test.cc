#include "dataplane/base/yaml.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <random>
#include <set>

#include "tests/support/soak.h"

namespace sky::yaml {
namespace {

using Kind = Node::Kind;

/// The one error that a text is refused with.
std::string refusal(std::string_view text, const Budget& budget = {}) {
  Report report("f");
  if (parse(text, budget, report)) return "accepted";
  const auto errors = report.take();
  return errors.size() == 1 ? to_string(errors[0]) : std::to_string(errors.size()) + " errors";
}

Node accepted(std::string_view text) {
  Report report("f");
  auto tree = parse(text, {}, report);
  EXPECT_TRUE(tree && report.empty()) << to_string(report.take());
  return tree ? std::move(*tree) : Node{};
}

TEST(Yaml, KeepsTextOrderAndMarks) {
  const Node root = accepted("node: a1\nports:\n  - [x, 'y']\n  - up: yes\nnone:\n");
  ASSERT_EQ(root.kind, Kind::map);
  ASSERT_EQ(root.entries.size(), 3u);
  EXPECT_EQ(root.entries[0].key, "node");
  EXPECT_EQ(root.entries[0].value.text, "a1");
  EXPECT_EQ(root.entries[0].value.mark.line, 1u);
  EXPECT_EQ(root.entries[0].value.mark.column, 7u);
  EXPECT_EQ(root.entries[1].mark.line, 2u);
  const Node& list = root.entries[1].value;
  ASSERT_EQ(list.entries.size(), 2u);
  EXPECT_FALSE(list.entries[0].value.entries[0].value.quoted);
  EXPECT_TRUE(list.entries[0].value.entries[1].value.quoted);
  EXPECT_EQ(list.entries[1].value.entries[0].value.text, "yes");
  EXPECT_EQ(list.entries[1].mark.line, 4u);
  EXPECT_EQ(root.entries[2].value.kind, Kind::null);
  EXPECT_EQ(accepted("").kind, Kind::null);
  EXPECT_EQ(accepted("\xef\xbb\xbfnode: a1").entries.at(0).key, "node") << "a byte order mark";
}

TEST(Yaml, ColumnsCountBytes) {
  EXPECT_EQ(accepted("{ \"\xc3\xa4\": x }").entries.at(0).value.mark.column, 9u);
}

TEST(Yaml, AliasesAreCopies) {
  const Node root = accepted("a: &x { k: [1, 2] }\nb: *x\n&y c: *y\n");
  EXPECT_EQ(root.entries[1].value.entries[0].value.entries[1].value.text, "2");
  EXPECT_EQ(root.entries[2].value.text, "c");
}

TEST(Yaml, DuplicateKeysAreAllReportedAndTheFirstStays) {
  Report report("f");
  const auto tree = parse("a: 1\nm: { x: 1, y: 2, x: 3, x: 4 }\na: 5\n", {}, report);
  ASSERT_TRUE(tree);
  EXPECT_EQ(tree->entries.size(), 2u);
  EXPECT_EQ(tree->entries[0].value.text, "1");
  EXPECT_EQ(to_string(report.take()),
            "f:2:18 m.x: found this key a second time, wanted it once (first in line 2)\n"
            "f:2:24 m.x: found this key a second time, wanted it once (first in line 2)\n"
            "f:3:1 a: found this key a second time, wanted it once (first in line 1)\n");
}

TEST(Yaml, RefusesWhatNoConfigurationNeeds) {
  EXPECT_EQ(refusal("a: !!int 5"),
            "f:1:4 file: found the tag \"tag:yaml.org,2002:int\", wanted no tags: each key has its type");
  EXPECT_EQ(refusal("a: 1\n---\nb: 2"), "f:2:1 file: found a second document, wanted one document");
  EXPECT_EQ(refusal("? [a]\n: b"), "f:1:3 file: found a list or map as a key, wanted text");
  EXPECT_EQ(refusal(": b"), "f:1:1 file: found an empty key, wanted text");
  EXPECT_EQ(refusal("&a [*a]"),
            "f:1:5 file: found an alias inside what it stands for, wanted an anchor that is complete");
  EXPECT_EQ(refusal("a: {\n"), "f:2:1 syntax: found a fault (end of map flow not found), wanted YAML");
  EXPECT_EQ(refusal("a: *nowhere").substr(0, 6), "f:1:4 ");
}

/// yaml-cpp takes byte 4 for the end of the file: what follows would be lost in silence.
TEST(Yaml, RefusesControlBytes) {
  EXPECT_EQ(refusal("a: 1\nb: \x04\nc: 3\n"), "f:2:4 file: found the byte 0x04, wanted UTF-8 text");
  EXPECT_EQ(refusal(std::string_view("a\0: 1", 5)), "f:1:2 file: found the byte 0x00, wanted UTF-8 text");
  EXPECT_EQ(refusal("\xff\xfe"
                    "a\x01"),
            "f:1:4 file: found the byte 0x01, wanted UTF-8 text");
}

TEST(Yaml, DepthBudgetIsExact) {
  const auto nested = [](size_t levels) {
    std::string text;
    for (size_t i = 0; i < levels; ++i) text += std::string(i * 2, ' ') + "a:\n";
    return text + std::string(levels * 2, ' ') + "b";
  };
  EXPECT_EQ(refusal(nested(32)), "accepted");
  EXPECT_EQ(refusal(nested(33)), "f:33:65 file: found more than 32 levels, wanted fewer");
  EXPECT_EQ(refusal("a: &a [[x]]\nb: [[[*a]]]", {.depth = 5}), "f:1:8 file: found more than 5 levels, wanted fewer");
  EXPECT_EQ(refusal("a: &a [[x]]\nb: [[*a]]", {.depth = 5}), "accepted");
}

TEST(Yaml, ValueBudgetIsExactAndCountsCopies) {
  EXPECT_EQ(refusal("[a, b, c]", {.nodes = 3}), "accepted");
  EXPECT_EQ(refusal("[a, b, c, d]", {.nodes = 3}), "f:1:11 file: found more than 3 values, wanted fewer");
  std::string text = "a: &a [x, x, x, x, x, x, x, x, x, x]\n";
  for (char c = 'b'; c < 'k'; ++c) {
    text += std::string(1, c) + ": &" + c + " [";
    for (int i = 0; i < 10; ++i) text += std::string("*") + static_cast<char>(c - 1) + ", ";
    text += "]\n";
  }
  EXPECT_EQ(refusal(text).substr(7), "file: found more than 1000000 values, wanted fewer") << "10^10 leaves";
}

TEST(Yaml, AliasAndAnchorBudgetsAreExact) {
  EXPECT_EQ(refusal("a: &a x\nb: [*a, *a]", {.aliases = 2}), "accepted");
  EXPECT_EQ(refusal("a: &a x\nb: [*a, *a, *a]", {.aliases = 2}),
            "f:2:13 file: found more than 2 aliases, wanted fewer");
  EXPECT_EQ(refusal("[&a x, &b x, &c x]", {.aliases = 2}), "f:1:14 file: found more than 2 anchors, wanted fewer");
}

TEST(Yaml, AStretchWithoutAValueIsRefused) {
  const std::string limit = "found 65536 bytes without a value's end, wanted fewer";
  EXPECT_EQ(refusal("a: " + std::string(60'000, 'x')), "accepted");
  EXPECT_EQ(refusal("a: " + std::string(100'000, 'x')), "f:1:1 file: " + limit);
  EXPECT_EQ(refusal("a: b\nc: " + std::string(100'000, 'x')), "f:2:1 file: " + limit);
  EXPECT_EQ(refusal("#" + std::string(100'000, 'x')), "f:1:1 file: " + limit);
  EXPECT_EQ(refusal(std::string(100'000, '[')), "f:1:1 file: " + limit);
  std::string long_file;
  for (int i = 0; i < 20'000; ++i) long_file += "k" + std::to_string(i) + ": [v, w]\n";
  EXPECT_EQ(refusal(long_file), "accepted") << "the limit is between values, not for the file";
}

class YamlFile : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/skyedge-yaml-test-XXXXXX";
    folder_ = mkdtemp(name);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string refusal_of(const std::string& name) const {
    Report report(folder_ + "/" + name);
    if (load({.bytes = 100}, report)) return "accepted";
    const auto line = to_string(report.take().at(0));
    return line.substr(folder_.size() + 1);
  }

  std::string folder_;
};

TEST_F(YamlFile, SizeIsJudgedBeforeReading) {
  std::ofstream(folder_ + "/fits") << "# " << std::string(97, 'x') << '\n';
  std::ofstream(folder_ + "/large") << "# " << std::string(98, 'x') << '\n';
  EXPECT_EQ(refusal_of("fits"), "accepted");
  EXPECT_EQ(refusal_of("large"), "large:1:1 file: found 101 bytes, wanted at most 100");
}

TEST_F(YamlFile, OnlyFilesAreRead) {
  ASSERT_EQ(mkfifo((folder_ + "/fifo").c_str(), 0600), 0);
  EXPECT_EQ(refusal_of("fifo"), "fifo:1:1 file: found something else, wanted a regular file");
  EXPECT_EQ(refusal_of("."), ".:1:1 file: found something else, wanted a regular file");
  EXPECT_EQ(refusal_of("none"), "none:1:1 file: found No such file or directory, wanted a file that can be read");
}

// --- keys made to hash alike

/// Texts of 16 printable characters that std::hash, which has no secret, gives one and the same value: a block of eight
/// bytes is taken in by steps that can be gone back (MurmurHash2 as in libstdc++), so the second is computed from the
/// first, and kept where it can stand in a file.
std::vector<std::string> keys_that_hash_alike(size_t count) {
  constexpr uint64_t kMul = 0xc6a4a7935bd1e995, kSeed = 0xc70f6907;
  uint64_t inverse = kMul;
  for (int i = 0; i < 6; ++i) inverse *= 2 - kMul * inverse;  // modulo 2^64
  const auto mix = [](uint64_t value) { return value ^ (value >> 47); };
  const auto plain = [](uint8_t byte) { return byte >= ' ' && byte <= '~' && byte != '"' && byte != '\\'; };
  std::mt19937_64 chance(1);
  std::set<std::string> keys;
  constexpr uint64_t kAll = 0x5ca1ab1e;
  while (keys.size() < count) {
    std::string key(16, 'a');
    for (int i = 0; i < 8; ++i) key[static_cast<size_t>(i)] = static_cast<char>('a' + chance() % 26);
    uint64_t first;
    std::memcpy(&first, key.data(), 8);
    const uint64_t state = ((kSeed ^ (16 * kMul)) ^ (mix(first * kMul) * kMul)) * kMul;
    // For the second block there are as many tries as there are first ones: the state is what differs.
    const uint64_t second = mix((kAll ^ state) * inverse) * inverse;
    std::memcpy(key.data() + 8, &second, 8);
    if (std::all_of(key.begin() + 8, key.end(), plain)) keys.insert(std::move(key));
  }
  return {keys.begin(), keys.end()};
}

double parse_seconds(const std::vector<std::string>& keys) {
  std::string text;
  for (const std::string& key : keys) text += '"' + key + "\": x\n";
  const std::clock_t start = std::clock();  // of this process, whatever else the machine does
  EXPECT_EQ(accepted(text).entries.size(), keys.size());
  return static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
}

TEST(Yaml, KeysThatHashAlikeCostNoMoreThanOthers) {
  const std::vector<std::string> alike = keys_that_hash_alike(soak_size(2'000, 20'000));
  ASSERT_EQ(std::hash<std::string>{}(alike.front()), std::hash<std::string>{}(alike.back())) << "no attack at all";
  std::vector<std::string> others = alike;
  std::mt19937_64 chance(2);
  for (std::string& key : others) {
    for (char& letter : key) letter = static_cast<char>('a' + chance() % 26);
  }
  // In turns, the least of each: a CPU that becomes slower meanwhile is so for both.
  double of_alike = 1e9, of_others = 1e9;
  for (int run = 0; run < 8; ++run) {
    of_alike = std::min(of_alike, parse_seconds(alike));
    of_others = std::min(of_others, parse_seconds(others));
  }
  const double ratio = of_alike / of_others;
  std::cout << "figure: " << alike.size() << " keys that hash alike cost " << ratio << " of others\n";
  EXPECT_LE(ratio, 1.5);
}

}  // namespace
}  // namespace sky::yaml
