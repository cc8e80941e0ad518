// skyedge-controlplane: reads the configuration, then runs the daemon until it is told to stop.
// Exit codes: 0 stopped by a signal, 1 failed, 2 wrong configuration or arguments.
#include <sys/prctl.h>
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <string>

#include "controlplane/daemon.h"
#include "controlplane/topology/check.h"
#include "dataplane/base/log.h"
#include "dataplane/base/privileges.h"

namespace {

constexpr int kFailed = 1, kWrong = 2;

int report(const sky::ConfigErrors& errors) {
  fmt::print(stderr, "{}", sky::to_string(errors));
  return kWrong;
}

int run(const std::string& router_path) {
  auto configuration = sky::controlplane::load_configuration(router_path);
  if (!configuration) return report(configuration.error());
  auto daemon = sky::controlplane::Daemon::create(std::move(*configuration));
  if (!daemon) {
    sky::log_error("{}", daemon.error().message);
    return kFailed;
  }
  if (auto ended = (*daemon)->run(); !ended) {
    sky::log_error("{}", ended.error().message);
    return kFailed;
  }
  return 0;
}

int check(const std::string& router_path) {
  const auto errors = sky::controlplane::check_files({{router_path}});
  if (!errors.empty()) return report(errors);
  fmt::print("{}: fine\n", router_path);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("The control plane of a Skyedge router.");
  std::string router_path = "/etc/skyedge/router.yaml";
  bool only_check = false;
  app.add_option("--config", router_path, "router.yaml of this node")->capture_default_str();
  app.add_flag("--check", only_check, "read the configuration, say what is wrong with it, and stop");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kWrong;
  }
  if (only_check) return check(router_path);

  // A dump, or another process of this user that looks in, would have keys.
  const rlimit none{0, 0};
  setrlimit(RLIMIT_CORE, &none);
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  // The API's connections must leave room for the dataplane's descriptors.
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = std::min<rlim_t>(files.rlim_max, 4096);
  setrlimit(RLIMIT_NOFILE, &files);
  // Addresses and routes of the TUN are all that the kernel is asked for.
  constexpr std::array kept{CAP_NET_ADMIN};
  if (auto dropped = sky::keep_capabilities(kept); !dropped) sky::log_warning("{}", dropped.error().message);
  std::signal(SIGPIPE, SIG_IGN);  // a descriptor of the dataplane may be a pipe without reader
  return run(router_path);
}
