#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "dataplane/base/key_file.h"
#include "dataplane/base/key_text.h"

namespace sky {
namespace {

/// RFC 8032, section 7.1, TEST 1.
constexpr std::string_view kSeedText = "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=";
constexpr std::string_view kPublicText = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";

TEST(KeyText, PublicKeyOfThePublishedVector) {
  SecretKey seed;
  ASSERT_TRUE(decode_key(kSeedText, seed.bytes()));
  const PublicKey key = public_key_of(seed);
  EXPECT_EQ(format_key(key), kPublicText);
  EXPECT_EQ(parse_public_key(kPublicText), key);
}

TEST(KeyText, RefusesOtherTexts) {
  std::array<uint8_t, 32> key;
  for (const std::string& text :
       {std::string(), std::string(43, 'A'), std::string(44, 'A'), std::string(kSeedText) + "=",
        std::string(kSeedText).replace(6, 1, "_"), std::string(kSeedText).replace(42, 1, "B"),  // bits past the end set
        " " + std::string(kSeedText), std::string(kSeedText) + "\n"}) {
    EXPECT_FALSE(decode_key(text, key)) << text;
  }
}

TEST(KeyText, RefusesPointsThatAreNoKeys) {
  PublicKey key{};
  const auto accepted = [](const PublicKey& bytes) { return parse_public_key(format_key(bytes)).has_value(); };
  EXPECT_FALSE(accepted(key)) << "order 4";
  key[0] = 1;
  EXPECT_FALSE(accepted(key)) << "the neutral element";
  key[0] = 2;
  EXPECT_FALSE(accepted(key)) << "not on the curve";
  key.fill(0xff);
  EXPECT_FALSE(accepted(key)) << "not canonical";
}

class KeyFile : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/skyedge-key-test-XXXXXX";
    folder_ = mkdtemp(name);
    path_ = folder_ + "/key";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  void write(std::string_view text, mode_t mode) const {
    std::ofstream(path_) << text;
    chmod(path_.c_str(), mode);
  }

  std::string folder_;
  std::string path_;
};

TEST_F(KeyFile, ComesBackAsItWentAndForItsOwnerAlone) {
  const auto key = generate_secret_key();
  ASSERT_TRUE(key);
  ASSERT_TRUE(write_secret_key(path_, *key));
  struct stat status {};
  ASSERT_EQ(stat(path_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0600u);
  EXPECT_EQ(status.st_size, 45);
  const auto read = read_secret_key(path_);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->bytes(), key->bytes());
  EXPECT_NE(generate_secret_key()->bytes(), key->bytes());
}

TEST_F(KeyFile, IsNeverOverwritten) {
  const auto first = generate_secret_key();
  ASSERT_TRUE(write_secret_key(path_, *first));
  EXPECT_FALSE(write_secret_key(path_, *generate_secret_key()));
  EXPECT_EQ(read_secret_key(path_)->bytes(), first->bytes());
}

TEST_F(KeyFile, IsRefusedWhereOthersCanReadOrWriteIt) {
  for (const mode_t mode : {0644, 0640, 0604, 0660, 0602, 0601}) {
    write(kSeedText, mode);
    const auto refused = read_secret_key(path_);
    ASSERT_FALSE(refused) << mode;
    EXPECT_EQ(refused.error().message,
              fmt::format("{}: found mode {:04o}, wanted 0600: chmod 600 {}", path_, mode, path_));
  }
  write(kSeedText, 0400);
  EXPECT_TRUE(read_secret_key(path_));
}

TEST_F(KeyFile, IsRefusedWhenItIsSomethingElse) {
  for (const std::string& text : {std::string(), std::string("key"), std::string(kSeedText) + "\n\n",
                                  std::string(kSeedText) + " # mine\n", std::string(1000, 'A')}) {
    write(text, 0600);
    const auto refused = read_secret_key(path_);
    ASSERT_FALSE(refused) << text;
    EXPECT_EQ(refused.error().message.find(std::string(kSeedText)), std::string::npos) << "a secret in a message";
  }
  EXPECT_FALSE(read_secret_key(folder_)) << "a directory";
  EXPECT_FALSE(read_secret_key(folder_ + "/none"));
  ASSERT_EQ(mkfifo((folder_ + "/fifo").c_str(), 0600), 0);
  EXPECT_FALSE(read_secret_key(folder_ + "/fifo")) << "and nothing waits for a writer";
}

TEST(SecretKey, LeavesNothingBehindWhenMoved) {
  SecretKey key;
  key.bytes().fill(7);
  const SecretKey moved = std::move(key);
  EXPECT_EQ(moved.bytes()[31], 7);
  EXPECT_EQ(key.bytes(), (std::array<uint8_t, 32>{}));  // NOLINT: what is left behind is the question
}

}  // namespace
}  // namespace sky
