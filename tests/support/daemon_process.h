// The control plane's daemon as a process of its own, forked off a test: node a1 with one link to d1, a folder with all
// its files, a runtime directory in which the test plays the dataplane. Ended with its object.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>

namespace sky::test {

class DaemonProcess {
 public:
  /// Writes the files; listen at dataplane_socket() before start(). `name` tells folders of one process apart; `more`
  /// stands at the end of router.yaml.
  explicit DaemonProcess(const std::string& name = "daemon", const std::string& more = "");
  ~DaemonProcess();
  DaemonProcess(const DaemonProcess&) = delete;
  DaemonProcess& operator=(const DaemonProcess&) = delete;

  void start();
  /// SIGTERM; its exit code, or -1 when it died of a signal.
  int stop();
  bool alive() const;

  std::filesystem::path dataplane_socket() const { return folder_ / "run/dataplane.sock"; }
  std::filesystem::path api_socket() const { return folder_ / "run/api.sock"; }
  /// What it wrote to standard error.
  std::string log() const;

 private:
  std::string new_key(const std::string& node) const;

  std::filesystem::path folder_;
  pid_t child_ = 0;
};

}  // namespace sky::test
