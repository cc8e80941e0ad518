// The signals that net_tap must not find free.
#include "drivers/tap.h"

#include <gtest/gtest.h>
#include <signal.h>

namespace sky::drivers {
namespace {

using Handler = void (*)(int);

Handler handler_of(int number) {
  struct sigaction action {};
  sigaction(number, nullptr, &action);
  return action.sa_handler;
}

void mine(int) {}

TEST(SignalsTaken, LeavesNoneFreeAndThenAllAsTheyWere) {
  signal(SIGRTMIN + 3, mine);
  {
    const SignalsTaken taken;
    for (int number = SIGRTMIN; number <= SIGRTMAX; ++number) EXPECT_NE(handler_of(number), SIG_DFL) << number;
    EXPECT_EQ(handler_of(SIGRTMIN + 3), mine);
  }
  for (int number = SIGRTMIN; number <= SIGRTMAX; ++number) {
    EXPECT_EQ(handler_of(number), number == SIGRTMIN + 3 ? mine : SIG_DFL) << number;
  }
  signal(SIGRTMIN + 3, SIG_DFL);
}

}  // namespace
}  // namespace sky::drivers
