#include "controlplane/topology/check.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "dataplane/base/key_text.h"

namespace sky::controlplane {
namespace {

/// A folder with the files of one node, a1, whose network is a1 - g1 - d1.
class Check : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/skyedge-check-test-XXXXXX";
    folder_ = std::string(mkdtemp(name)) + "/";
    const auto key = [&](const std::string& node) {
      const auto seed = generate_secret_key().value();
      EXPECT_TRUE(write_secret_key(folder_ + node + ".key", seed));
      return format_key(public_key_of(seed));
    };
    write("topology.yaml", fmt::format("domains:\n"
                                       "  alpha: {{ as: 1, nodes: {{ a1: {{ key: {} }} }} }}\n"
                                       "  gamma: {{ as: 2, nodes: {{ g1: {{ key: {} }} }} }}\n"
                                       "  delta: {{ as: 3, nodes: {{ d1: {{ key: {} }} }} }}\n"
                                       "links: {{ a1-g1: {{ ends: [a1, g1] }}, g1-d1: {{ ends: [g1, d1] }} }}\n",
                                       key("a1"), key("g1"), key("d1")));
    write("router.yaml", kRouter);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  static constexpr std::string_view kRouter =
      "node: a1\n"
      "identity: a1.key\n"
      "topology: topology.yaml\n"
      "ports: { p0: { device: net_null0 } }\n"
      "links: { a1-g1: { port: p0 } }\n";

  void write(const std::string& name, std::string_view text) const { std::ofstream(folder_ + name) << text; }

  /// The errors of these files, folder left out.
  std::string errors_of(const std::vector<std::string>& names, CheckOptions options = {}) const {
    std::vector<std::string> paths;
    for (const std::string& name : names) paths.push_back(folder_ + name);
    std::string text = to_string(check_files(paths, options));
    for (size_t at = 0; (at = text.find(folder_, at)) != text.npos;) text.erase(at, folder_.size());
    return text;
  }

  std::string folder_;
};

TEST_F(Check, AWholeNodeIsFineAndLoads) {
  EXPECT_EQ(errors_of({"router.yaml", "topology.yaml"}), "");
  const auto configuration = load_configuration(folder_ + "router.yaml");
  ASSERT_TRUE(configuration) << to_string(configuration.error());
  EXPECT_EQ(configuration->topology.at(configuration->self).name, "a1");
  EXPECT_EQ(public_key_of(configuration->identity), configuration->topology.at(configuration->self).key);
}

TEST_F(Check, AKeyThatOthersCanReadIsRefused) {
  chmod((folder_ + "a1.key").c_str(), 0644);
  EXPECT_EQ(errors_of({"router.yaml"}),
            "router.yaml:2:11 identity: found a file that is refused (a1.key: found mode 0644, wanted 0600: "
            "chmod 600 a1.key), wanted a secret key\n");
  EXPECT_FALSE(load_configuration(folder_ + "router.yaml"));
}

TEST_F(Check, ATopologyThatIsNamedTwiceIsReportedOnce) {
  write("topology.yaml", "domains: 1\n");
  const std::string once = "topology.yaml:1:10 domains: found \"1\", wanted a map from names to domains\n";
  EXPECT_EQ(errors_of({"topology.yaml", "router.yaml", "../" + folder_.substr(5) + "topology.yaml"}), once);
  EXPECT_EQ(errors_of({"router.yaml"}), once);
}

TEST_F(Check, FilesAreCheckedAgainstEachOther) {
  write("router.yaml", std::string(kRouter) + "circuits: { keep: [d2] }\n");
  EXPECT_EQ(
      errors_of({"router.yaml"}),
      "router.yaml:6:20 circuits.keep: found \"d2\", wanted another node of topology.yaml; did you mean \"d1\"?\n");
  write("router.yaml", std::string(kRouter).replace(kRouter.find("a1.key"), 6, "g1.key"));
  const auto errors = errors_of({"router.yaml"});
  EXPECT_TRUE(errors.starts_with("router.yaml:2:11 identity: found the public key ")) << errors;
  EXPECT_TRUE(errors.ends_with("=, the key of a1 in topology.yaml\n")) << errors;
}

TEST_F(Check, ATemplateNeedsNoKeys) {
  std::filesystem::remove(folder_ + "a1.key");
  EXPECT_NE(errors_of({"router.yaml"}), "");
  EXPECT_EQ(errors_of({"router.yaml"}, {.is_template = true}), "");
}

TEST_F(Check, AllFilesAreReported) {
  write("other.yaml", "banana: 1\n");
  EXPECT_EQ(errors_of({"none.yaml", "other.yaml", "router.yaml"}),
            "none.yaml:1:1 file: found No such file or directory, wanted a file that can be read\n"
            "other.yaml:1:1 file: found a map without `node` or `domains`, wanted a router.yaml or topology.yaml\n");
}

}  // namespace
}  // namespace sky::controlplane
