// router.yaml and topology.yaml from a text of at most 64 KiB: within bounds of time and memory an answer, never an
// exception, and what is accepted holds what the readers promise.
#include <gtest/gtest.h>
#include <malloc.h>
#include <time.h>

#include "controlplane/topology/check.h"
#include "controlplane/topology/reader.h"
#include "dataplane/base/config.h"
#include "tests/fuzz/input.h"

namespace sky::fuzz {
namespace {

constexpr size_t kMostText = 64 << 10;
constexpr double kMostSeconds = 2;  ///< of this thread, under sanitizers; 0.1 s without

double cpu_seconds() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

bool is_printable(const std::string& text) {
  return std::ranges::all_of(text, [](unsigned char c) { return c == '\n' || (c >= 0x20 && c != 0x7f); });
}

void judge(const ConfigErrors& errors) {
  EXPECT_FALSE(errors.empty());
  EXPECT_LE(errors.size(), Report::kMostErrors + 1);
  EXPECT_TRUE(is_printable(to_string(errors))) << "an operator's terminal obeys a file";
}

void judge(const RouterConfig& router) {
  EXPECT_FALSE(router.node.name.empty());
  EXPECT_FALSE(router.ports.empty());
  for (const PortConfig& port : router.ports) EXPECT_TRUE(port.mtu >= 1280 && port.mtu <= 9216);
  for (const LinkConfig& link : router.links) {
    EXPECT_LT(to_underlying(link.port), router.ports.size());
    EXPECT_GE(link.ethertype, 0x0600);
    EXPECT_TRUE(link.liveness.multiplier >= 2 && link.liveness.multiplier <= 10);
    EXPECT_TRUE(link.liveness.interval_ns >= kMillisecondNs && link.liveness.interval_ns <= kSecondNs);
  }
  const SizesConfig& sizes = router.dataplane.sizes;
  EXPECT_LE(router.links.size(), sizes.links);
  EXPECT_EQ(0u, sizes.rules & (sizes.rules - 1));
  EXPECT_LE(router.tun.size(), 15u);
  EXPECT_LT(router.circuits.refresh_ns, router.circuits.life_ns);
  EXPECT_GE(router.rekey.headless_hold_ns, router.rekey.handshake_ns);
}

void judge(const controlplane::Topology& topology) {
  for (const auto& link : topology.links) {
    EXPECT_LT(to_underlying(link.ends[0]), topology.nodes.size());
    EXPECT_LT(to_underlying(link.ends[1]), topology.nodes.size());
    EXPECT_NE(link.ends[0], link.ends[1]);
  }
  for (const auto& node : topology.nodes) EXPECT_LT(to_underlying(node.domain), topology.domains.size());
}

void read(Input input) {
  const uint8_t sort = input.byte();
  const std::string text = input.text(kMostText);
  if (sort % 2 == 0) {
    const auto router = parse_router(text, "router.yaml");
    router ? judge(*router) : judge(router.error());
  } else {
    const auto topology = controlplane::parse_topology(text, "topology.yaml", {.keys_required = (sort & 2) != 0});
    topology ? judge(*topology) : judge(topology.error());
  }
}

}  // namespace
}  // namespace sky::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const double start = sky::fuzz::cpu_seconds();
  sky::fuzz::read({data, size});
  EXPECT_LT(sky::fuzz::cpu_seconds() - start, sky::fuzz::kMostSeconds) << size << " bytes";
  return 0;
}
