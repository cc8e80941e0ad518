// Each case works on a thread or child of its own: what is given up does not come back.
#include "dataplane/base/privileges.h"

#include <gtest/gtest.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <thread>

namespace sky {
namespace {

bool has(cap_value_t capability, cap_flag_t flag) {
  const cap_t now = cap_get_proc();
  cap_flag_value_t value = CAP_CLEAR;
  cap_get_flag(now, capability, flag, &value);
  cap_free(now);
  return value == CAP_SET;
}

/// Each bit of the exit code of a child in which it ended: 0 where all held.
template <typename Function>
int in_child(Function function) {
  const pid_t child = fork();
  if (child == 0) _exit(function());
  int status = -1;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

class Privileges : public testing::Test {
 protected:
  void SetUp() override {
    if (!has(CAP_NET_ADMIN, CAP_EFFECTIVE) || !has(CAP_NET_RAW, CAP_EFFECTIVE)) {
      GTEST_SKIP() << "has no capabilities to give up";
    }
  }
};

TEST_F(Privileges, OnlyWhatIsKeptStays) {
  EXPECT_EQ(in_child([] {
              constexpr std::array kept{CAP_NET_ADMIN};
              if (!keep_capabilities(kept)) return 1;
              if (!has(CAP_NET_ADMIN, CAP_EFFECTIVE) || !has(CAP_NET_ADMIN, CAP_PERMITTED)) return 2;
              for (cap_value_t each = 0; CAP_IS_SUPPORTED(each); ++each) {
                if (each == CAP_NET_ADMIN) continue;
                if (has(each, CAP_EFFECTIVE) || has(each, CAP_PERMITTED) || has(each, CAP_INHERITABLE)) return 3;
                if (cap_get_bound(each) != 0 || cap_get_ambient(each) != 0) return 4;
              }
              return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? 0 : 5;
            }),
            0);
}

TEST_F(Privileges, WhatWasGivenUpIsNotKeptLater) {
  EXPECT_EQ(in_child([] {
              constexpr std::array kept{CAP_NET_ADMIN};
              if (!keep_capabilities({}) || !keep_capabilities(kept)) return 1;
              return has(CAP_NET_ADMIN, CAP_PERMITTED) ? 2 : 0;
            }),
            0);
}

TEST_F(Privileges, AThreadThatWasForgottenIsNamed) {
  EXPECT_EQ(in_child([] {
              std::atomic<bool> stop = false, named = false;
              std::thread forgotten([&] {
                prctl(PR_SET_NAME, "forgotten");
                named = true;
                while (!stop) std::this_thread::yield();
              });
              while (!named) std::this_thread::yield();
              if (!keep_capabilities({})) return 1;
              const std::string names = privileged_threads({});
              stop = true;
              forgotten.join();
              return names == "forgotten" && privileged_threads({}).empty() ? 0 : 2;
            }),
            0);
}

TEST(Users, ADefaultMayBeMissingAndANamedOneMayNot) {
  EXPECT_EQ(user_id({"root"}).value(), 0u);
  EXPECT_EQ(user_id({"root", Mark{3, 1}}).value(), 0u);
  EXPECT_EQ(user_id({"no-user-of-that-name"}).value(), std::nullopt);
  const auto missing = user_id({"no-user-of-that-name", Mark{3, 1}});
  ASSERT_FALSE(missing);
  EXPECT_NE(missing.error().message.find("no-user-of-that-name"), std::string::npos);
}

TEST(Users, RootTheOwnOneAndTheNamedOneAreBelieved) {
  EXPECT_TRUE(is_believed(0, {}));
  EXPECT_TRUE(is_believed(geteuid(), {}));
  EXPECT_FALSE(is_believed(54321, {}));
  EXPECT_FALSE(is_believed(54321, 54320));
  EXPECT_TRUE(is_believed(54321, 54321));
}

}  // namespace
}  // namespace sky
