#include "controlplane/metrics/page.h"

#include <fmt/format.h>

#include <ranges>
#include <string_view>

#include "controlplane/metrics/metrics.h"

namespace sky::controlplane {
namespace {

constexpr std::string_view kHead = R"(# Metrics

What `http://ADDRESS:PORT/metrics` says where `metrics.listen` of `router.yaml` names one; see *Metrics* in
[operations](operations.md). Made by `build/controlplane/metrics/metrics-page`: do not edit.

| label | values |
| --- | --- |
| `port`, `link` | names of `router.yaml` |
| `queue` | of a port, in the order in which they leave: `control`, `realtime`, `other` |
| `worker` | places in `dataplane.workers`, from 0 |
| `node` | a node of `circuits.keep`; in `skyedge_info` this one |
| `reason` of dropped packets | {}; [counters.h](../dataplane/protocol/counters.h) says what each means |
| `role` of circuits | `ingress`, `transit`, `egress` |
| `state` | of links `handshaking` (no keys yet), `down`, `up`; of circuits `setup`, `installing`, `up`; of groups `idle`, `waiting`, `up`, `dead`; of sessions `handshaking`, `answered` (the peer did not confirm yet), `up` |

| metric | type | labels | what it says |
| --- | --- | --- | --- |
)";

}  // namespace

std::string metrics_page() {
  std::string reasons;
  for (const std::string_view name : kDropNames) reasons += fmt::format("{}`{}`", reasons.empty() ? "" : ", ", name);
  std::string page = fmt::format(kHead, reasons);
  for (const Metric& metric : metrics()) {
    const bool counts = metric.type == prometheus::MetricType::Counter;
    std::string labels;
    for (const auto label : metric.labels | std::views::split(' '))
      labels += fmt::format("{}`{}`", labels.empty() ? "" : ", ", std::string_view(label.begin(), label.end()));
    page += fmt::format("| `{}` | {} | {} | {} |\n", metric.name, counts ? "counter" : "gauge", labels, metric.help);
  }
  return page;
}

}  // namespace sky::controlplane
