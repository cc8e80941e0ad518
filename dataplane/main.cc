// skyedge-dataplane: one node's dataplane process, from router.yaml.
//   --config FILE   router.yaml
//   --check         say what is wrong with the configuration and how much memory it takes, and start nothing
// Exit code 0 after SIGTERM or SIGINT, or when the check passed; 2 when it cannot start or the configuration is wrong.
#include <fmt/format.h>
#include <signal.h>
#include <sodium.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>

#include <CLI/CLI.hpp>

#include "dataplane/base/config.h"
#include "dataplane/base/log.h"
#include "dataplane/memory.h"
#include "dataplane/process.h"

namespace {

constexpr int kWrong = 2;

/// Keys live in this process: no core dumps, no swap where the limits allow it.
void keep_secrets() {
  const rlimit none{};
  setrlimit(RLIMIT_CORE, &none);
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  rlimit lockable{};
  getrlimit(RLIMIT_MEMLOCK, &lockable);
  if (geteuid() == 0 || lockable.rlim_cur == RLIM_INFINITY) mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT);
}

/// SIGTERM and SIGINT as a descriptor, for this thread and all that it starts.
int stop_descriptor() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
}

int check(const sky::RouterConfig& config) {
  const sky::dataplane::MemoryNeed need = sky::dataplane::memory_need(config);
  fmt::print("{}", sky::dataplane::to_string(need));
  if (const auto fits = sky::dataplane::check_memory(need, config.dataplane.hugepages); !fits) {
    sky::log_error("{}", fits.error().message);
    return kWrong;
  }
  return 0;
}

int run(const sky::RouterConfig& config) {
  const int stop = stop_descriptor();
  auto process = sky::dataplane::Process::start(config);
  if (!process) {
    sky::log_error("{}", process.error().message);
    return kWrong;
  }
  (*process)->run(stop);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  std::string file = "/etc/skyedge/router.yaml";
  bool check_only = false;
  CLI::App app("The dataplane of a Skyedge node", "skyedge-dataplane");
  app.add_option("--config", file, "router.yaml of the node")->capture_default_str();
  app.add_flag("--check", check_only, "check the configuration and its memory, and start nothing");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kWrong;
  }
  keep_secrets();
  if (sodium_init() < 0) {
    sky::log_error("libsodium does not start");
    return kWrong;
  }
  const auto config = sky::read_router(file);
  if (!config) {
    fmt::print(stderr, "{}\n", sky::to_string(config.error()));
    return kWrong;
  }
  return check_only ? check(*config) : run(*config);
}
