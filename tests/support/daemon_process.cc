#include "tests/support/daemon_process.h"

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <utility>

#include "controlplane/daemon.h"
#include "dataplane/base/key_file.h"
#include "dataplane/base/key_text.h"

namespace sky::test {

namespace fs = std::filesystem;

DaemonProcess::DaemonProcess(const std::string& name, const std::string& more)
    : folder_(fs::temp_directory_path() / ("skyedge-" + name + "-" + std::to_string(getpid()))) {
  fs::create_directories(folder_ / "run");
  std::ofstream(folder_ / "topology.yaml")
      << "version: 1\ndomains:\n"
      << "  alpha: {as: 64512, prefixes: ['fd01::/48'], nodes: {a1: {key: '" << new_key("a1") << "'}}}\n"
      << "  delta: {as: 64513, prefixes: ['fd04::/48'], nodes: {d1: {key: '" << new_key("d1") << "'}}}\n"
      << "links: {a1-d1: {ends: [a1, d1], delay: 2ms}}\n";
  std::ofstream(folder_ / "router.yaml") << "version: 1\nnode: a1\nidentity: a1.key\ntopology: topology.yaml\n"
                                         << "runtime: " << (folder_ / "run").string() << "\ntun: {name: skytest0}\n"
                                         << "ports: {p0: {device: net_null0}}\nlinks: {a1-d1: {port: p0}}\n"
                                         << more;
}

DaemonProcess::~DaemonProcess() {
  if (child_ > 0) stop();
  fs::remove_all(folder_);
}

std::string DaemonProcess::new_key(const std::string& node) const {
  auto key = generate_secret_key();
  if (!key || !write_secret_key(folder_ / (node + ".key"), *key)) throw std::runtime_error("no key for " + node);
  return format_key(public_key_of(*key));
}

void DaemonProcess::start() {
  child_ = fork();
  if (child_ != 0) return;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  close_range(STDERR_FILENO + 1, ~0U, 0);  // as a program of its own would begin: what the test holds is the test's
  if (std::freopen((folder_ / "log").c_str(), "w", stderr) == nullptr) _exit(3);
  std::setvbuf(stderr, nullptr, _IONBF, 0);  // as standard error is
  auto configuration = controlplane::load_configuration(folder_ / "router.yaml");
  if (!configuration) _exit(2);
  auto daemon = controlplane::Daemon::create(std::move(*configuration));
  if (!daemon) _exit(1);
  const bool ended = (*daemon)->run().has_value();
  daemon->reset();
  _exit(ended ? 0 : 1);
}

int DaemonProcess::stop() {
  kill(child_, SIGTERM);
  int status = -1;
  while (waitpid(child_, &status, 0) < 0 && errno == EINTR) {
  }
  child_ = 0;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

bool DaemonProcess::alive() const {
  siginfo_t info{};
  return child_ > 0 && waitid(P_PID, static_cast<id_t>(child_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
         info.si_pid == 0;
}

std::string DaemonProcess::log() const {
  std::ostringstream text;
  text << std::ifstream(folder_ / "log").rdbuf();
  return text.str();
}

}  // namespace sky::test
