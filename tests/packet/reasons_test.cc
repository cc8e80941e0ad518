// Every reason for a drop and every counter was seen by some test of this program, but for those named here with the
// cause why one worker in one process cannot reach them.
#include <gtest/gtest.h>

#include <map>

#include "tests/packet/crossroads.h"

namespace sky::test {
namespace {

const std::map<std::string_view, std::string_view> kOutOfReach = {
    {"session_unknown", "a batch deletes a session only with its rules; a worker may meet it in between, for one turn"},
    {"loops", "no traffic"},
    {"sleeps", "no traffic; the tests call turn() themselves"},
};

class EveryReason : public testing::Environment {
 public:
  void TearDown() override {
    if (testing::GTEST_FLAG(filter) != "*") return;  // some tests alone
    Change seen = seen_by_all_tests();
    for (size_t i = 0; i < kCounters; ++i) check(kCounterNames[i], seen.of(static_cast<Counter>(i)));
    for (size_t i = 0; i < kDropReasons; ++i) check(kDropNames[i], seen.of(static_cast<Drop>(i)));
  }

 private:
  static void check(std::string_view name, int64_t count) {
    const auto why = kOutOfReach.find(name);
    if (why == kOutOfReach.end()) {
      EXPECT_GT(count, 0) << name << " is counted by no test";
    } else {
      EXPECT_EQ(0, count) << name << " can be reached, although: " << why->second;
    }
  }
};

const testing::Environment* const kEveryReason = testing::AddGlobalTestEnvironment(new EveryReason);

}  // namespace
}  // namespace sky::test
