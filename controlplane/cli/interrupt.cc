#include "controlplane/cli/interrupt.h"

#include <csignal>
#include <initializer_list>

namespace sky::controlplane {
namespace {

volatile std::sig_atomic_t came = 0;

}  // namespace

void stop_on_signals() {
  struct sigaction action {};
  action.sa_handler = [](int) { came = 1; };
  for (const int number : {SIGINT, SIGTERM, SIGPIPE}) sigaction(number, &action, nullptr);
}

bool interrupted() {
  return came != 0;
}

}  // namespace sky::controlplane
