#include "drivers/eal.h"

#include <fmt/ranges.h>
#include <rte_alarm.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_log.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <future>

#include "dataplane/base/device.h"
#include "dataplane/base/log.h"
#include "drivers/memif.h"

namespace sky::drivers {
namespace {

constexpr unsigned kMainLcore = 0;
unsigned worker_lcore(unsigned worker) {
  return kMainLcore + 1 + worker;
}

/// One DPDK message as one line of ours, at DPDK's level.
ssize_t write_log(void*, const char* text, size_t size) {
  std::string_view line{text, size};
  while (line.ends_with('\n')) line.remove_suffix(1);
  // DPDK counts from EMERG = 1, syslog from 0.
  const int level = std::clamp(rte_log_cur_msg_loglevel() - 1, 3, 7);
  if (!line.empty()) log_line(static_cast<LogLevel>(level), "DPDK: " + std::string(line));
  return static_cast<ssize_t>(size);
}

void redirect_log() {
  static FILE* stream =
      fopencookie(nullptr, "w", {.read = nullptr, .write = write_log, .seek = nullptr, .close = nullptr});
  if (stream != nullptr) {
    setvbuf(stream, nullptr, _IOLBF, 512);
    rte_openlog_stream(stream);
  }
}

Result<> check_cpus(const EalConfig& config) {
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0) return {};
  std::vector<uint16_t> wanted = config.workers;
  wanted.push_back(config.main_core);
  for (const uint16_t cpu : wanted) {
    if (cpu < CPU_SETSIZE && CPU_ISSET(cpu, &allowed)) continue;
    return fail("dataplane cores: found CPU {}, wanted one of the {} that this process may use", cpu,
                CPU_COUNT(&allowed));
  }
  return {};
}

std::vector<std::string> arguments_of(const EalConfig& config) {
  std::string lcores = fmt::format("{}@{}", kMainLcore, config.main_core);
  for (unsigned i = 0; i < config.workers.size(); ++i) {
    lcores += fmt::format(",{}@{}", worker_lcore(i), config.workers[i]);
  }
  const uint64_t memory_mib = (config.memory_bytes + (1 << 20) - 1) >> 20;
  std::vector<std::string> arguments{"skyedge-dataplane",
                                     "--lcores",
                                     lcores,
                                     "--main-lcore",
                                     std::to_string(kMainLcore),
                                     "--no-telemetry",
                                     "--iova-mode=va",
                                     "-m",
                                     std::to_string(std::max<uint64_t>(memory_mib, 1)),
                                     "--log-level",
                                     "warning"};
  arguments.push_back("--force-max-simd-bitwidth=512");  // where the CPU has AVX-512: else DPDK stops at 256
  if (config.hugepages) {
    arguments.push_back("--in-memory");
  } else {
    arguments.insert(arguments.end(), {"--no-huge", "--no-shconf"});
  }
  bool pci = false;
  for (const std::string& device : config.devices) {
    if (!is_pci_address(device)) continue;
    arguments.insert(arguments.end(), {"-a", device});
    pci = true;
  }
  if (!pci) arguments.push_back("--no-pci");
  return arguments;
}

/// DPDK makes DIRECTORY/dpdk/PREFIX whatever it is told; that is done where nobody else is, and the
/// empty directories are removed again.
class ScratchDirectory {
 public:
  explicit ScratchDirectory(const std::string& path) : path_(path) {
    if (const char* value = std::getenv(kVariable)) before_ = value;
    setenv(kVariable, path_.c_str(), 1);
  }
  ~ScratchDirectory() {
    rmdir((path_ + "/dpdk/rte").c_str());
    rmdir((path_ + "/dpdk").c_str());
    before_.empty() ? unsetenv(kVariable) : setenv(kVariable, before_.c_str(), 1);
  }

 private:
  static constexpr const char* kVariable = "RUNTIME_DIRECTORY";
  std::string path_;
  std::string before_;
};

}  // namespace

Result<> start_eal(const EalConfig& config) {
  if (auto checked = check_cpus(config); !checked) return checked;
  redirect_log();
  std::vector<std::string> arguments = arguments_of(config);
  std::vector<char*> pointers;
  for (std::string& argument : arguments) pointers.push_back(argument.data());
  const ScratchDirectory scratch(config.scratch);
  if (rte_eal_init(static_cast<int>(pointers.size()), pointers.data()) >= 0) return {};
  return fail(
      "DPDK did not start ({}); called as: {}; {}", rte_strerror(rte_errno), fmt::join(arguments, " "),
      config.hugepages ? "are there enough free hugepages? grep Huge /proc/meminfo" : "is there enough memory?");
}

void stop_eal() {
  // It would wait for its interrupt thread; nothing of EAL outlives the process anyway.
  if (!holds_interrupt_thread()) rte_eal_cleanup();
}

Result<> on_interrupt_thread(const std::function<Result<>()>& function) {
  std::packaged_task<Result<>()> task(function);
  auto result = task.get_future();
  const auto run = [](void* argument) { (*static_cast<std::packaged_task<Result<>()>*>(argument))(); };
  if (const int error = rte_eal_alarm_set(1, run, &task); error != 0) {
    return fail("DPDK's interrupt thread: {}", rte_strerror(-error));
  }
  return result.get();
}

Result<> launch_worker(unsigned worker, int (*function)(void*), void* argument) {
  if (rte_eal_remote_launch(function, argument, worker_lcore(worker)) == 0) return {};
  return fail("worker {} did not start: its core is taken or missing", worker);
}

void join_workers() {
  rte_eal_mp_wait_lcore();
}

}  // namespace sky::drivers
