// One Port, driven by words on standard input, for tests that look at a port alone:
//   port_probe DEVICE MTU WORKERS [lanes]     prints `ready RX_QUEUES TX_QUEUES WAIT_DESCRIPTORS`, or why not (exit
//   code 2) send WORKER LANE COUNT BYTES              prints `sent N` count                                     prints
//   what came since the last: `queue:lane:frames ...` sleep MILLISECONDS                        on the descriptor of
//   queue 0; prints `woken` or `slept`
// Frames are of the experimental EtherType 0x88B6, to everybody, from 02:00:00:00:00:LANE; others are not counted.
#include <fmt/format.h>
#include <rte_mbuf.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <iostream>
#include <map>
#include <sstream>

#include "drivers/eal.h"
#include "drivers/idle.h"
#include "drivers/port.h"

namespace {

using sky::drivers::Port;
using sky::drivers::PortConfig;

constexpr uint16_t kBurst = 32;
constexpr size_t kLaneAt = 11;

struct Probe {
  std::unique_ptr<Port> port;
  std::map<std::pair<unsigned, unsigned>, unsigned> seen;  ///< by queue and lane

  void receive() {
    std::array<rte_mbuf*, kBurst> frames;
    for (uint16_t queue = 0; queue < port->rx_queues(); ++queue) {
      while (const uint16_t count = port->rx_burst(queue, frames.data(), kBurst)) {
        for (uint16_t i = 0; i < count; ++i) {
          const auto* data = rte_pktmbuf_mtod(frames[i], const uint8_t*);
          if (data[12] == 0x88 && data[13] == 0xb6) ++seen[{queue, data[kLaneAt]}];
          rte_pktmbuf_free(frames[i]);
        }
      }
    }
  }

  unsigned send(uint16_t worker, uint8_t lane, unsigned count, uint16_t bytes) {
    const std::array<uint8_t, 14> header{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, lane, 0x88, 0xb6};
    unsigned sent = 0;
    for (unsigned i = 0; i < count; ++i) {
      rte_mbuf* frame = rte_pktmbuf_alloc(port->pool());
      if (frame == nullptr) break;
      char* data = rte_pktmbuf_append(frame, bytes);
      if (data == nullptr) break;
      std::memset(data, 0, bytes);
      std::memcpy(data, header.data(), header.size());
      if (port->tx_burst(worker, &frame, 1) != 1) {
        rte_pktmbuf_free(frame);
        break;
      }
      ++sent;
    }
    return sent;
  }

  std::string counted() {
    // Twice the time that a frame takes through a bridge, so that all have come.
    for (int i = 0; i < 100; ++i, usleep(1'000)) receive();
    std::string text;
    for (const auto& [key, frames] : seen) text += fmt::format("{}:{}:{} ", key.first, key.second, frames);
    seen.clear();
    return text;
  }

  std::string sleep(uint64_t milliseconds) {
    auto waiter = sky::drivers::Waiter::create();
    for (const int descriptor : port->wait_descriptors(0)) static_cast<void>(waiter->add(descriptor));
    return waiter->wait(milliseconds * 1'000'000) ? "woken" : "slept";
  }
};

int run(const PortConfig& config) {
  std::string scratch = (std::filesystem::temp_directory_path() / "skyedge-probe-XXXXXX").string();
  if (mkdtemp(scratch.data()) == nullptr) return 2;
  const auto started = sky::drivers::start_eal({.main_core = static_cast<uint16_t>(sched_getcpu()),
                                                .workers = {},
                                                .hugepages = false,
                                                .memory_bytes = (16 << 20) + Port::memory_bytes(config),
                                                .devices = {config.device},
                                                .scratch = scratch});
  std::filesystem::remove(scratch);
  auto port = started ? Port::open(config) : std::unexpected(started.error());
  if (!port) {
    fmt::print("{}\n", port.error().message);
    return 2;
  }
  Probe probe{.port = std::move(*port), .seen = {}};
  std::cout << fmt::format("ready {} {} {}", probe.port->rx_queues(), probe.port->tx_queues(),
                           probe.port->wait_descriptors().size())
            << std::endl;
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream words(line);
    std::string verb;
    unsigned worker = 0, lane = 0, count = 0, bytes = 0;
    words >> verb;
    if (verb == "send" && words >> worker >> lane >> count >> bytes) {
      std::cout << "sent "
                << probe.send(static_cast<uint16_t>(worker), static_cast<uint8_t>(lane), count,
                              static_cast<uint16_t>(bytes))
                << std::endl;
    } else if (verb == "count") {
      std::cout << probe.counted() << std::endl;
    } else if (verb == "sleep" && words >> count) {
      std::cout << probe.sleep(count) << std::endl;
    }
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) return 2;
  const int code = run({.name = "p0",
                        .device = argv[1],
                        .mtu = static_cast<uint16_t>(std::atoi(argv[2])),
                        .queues = static_cast<uint16_t>(std::atoi(argv[3])),
                        .lanes_by_mac = argc > 4});
  sky::drivers::stop_eal();
  return code;
}
