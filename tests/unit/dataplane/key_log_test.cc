// The file of keys that a laboratory's dataplane writes.
#include "dataplane/tables/key_log.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace sky::dataplane {
namespace {

class KeyLogTest : public testing::Test {
 protected:
  KeyLogTest() {
    key.key.fill(0xab);
    key.salt = {1, 2, 3, 0xff};
  }
  ~KeyLogTest() override { std::filesystem::remove(path); }
  std::string written() const {
    std::ostringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
  }

  std::string path = std::filesystem::temp_directory_path() / ("skyedge-keys-" + std::to_string(getpid()));
  EpochKey key;
  const std::string bytes = [] {
    std::string text;
    for (int i = 0; i < 32; ++i) text += "ab";
    return text + " 010203ff ";
  }();
};

TEST_F(KeyLogTest, LinesAsTheDocumentHasThem) {
  const auto log = KeyLog::open(path);
  ASSERT_TRUE(log) << log.error().message;
  (*log)->link(7, {.key = key, .suite = Suite::aes_256_gcm, .epoch = 0x85, .slot = 3});
  EXPECT_EQ("link 7 85 " + bytes + "aes-256-gcm\n", written()) << "at once";
  (*log)->session(0x1234, {.key = key, .suite = Suite::chacha20_poly1305, .epoch = 0x85, .slot = 3});
  EXPECT_TRUE(written().ends_with("\nsession 0000000000001234 03 " + bytes + "chacha20-poly1305\n")) << written();
}

TEST_F(KeyLogTest, BelongsToItsOwnerAndGoesOn) {
  std::ofstream(path).put('#');
  ASSERT_EQ(0, chmod(path.c_str(), 0644));
  for (int start = 0; start < 2; ++start) {
    const auto log = KeyLog::open(path);
    ASSERT_TRUE(log);
    (*log)->link(1, {.key = key, .suite = Suite::aes_256_gcm, .epoch = 0, .slot = 0});
  }
  struct stat status {};
  ASSERT_EQ(0, stat(path.c_str(), &status));
  EXPECT_EQ(0600u, status.st_mode & 0777u);
  EXPECT_EQ(2, std::ranges::count(written(), '\n'));
}

TEST_F(KeyLogTest, RefusesWhatIsNoFile) {
  const auto log = KeyLog::open("/nonexistent/keys");
  ASSERT_FALSE(log);
  EXPECT_NE(log.error().message.find("dataplane.key_log: /nonexistent/keys"), std::string::npos);
  std::filesystem::create_symlink("/dev/null", path);
  EXPECT_FALSE(KeyLog::open(path)) << "keys go nowhere else";
}

}  // namespace
}  // namespace sky::dataplane
