// What one router tells Prometheus. One list gives each metric's name, type, labels, help and where its value comes
// from; the exposition (exposition.h) walks it, and docs/metrics.md is made of it. Names follow Prometheus'
// conventions: base units, _total for counters. How many series there are depends on the configuration alone (ports,
// links, workers, circuits.keep), never on what the network sends: members of groups are summed, but for those to nodes
// of circuits.keep. Source: docs/operations.md, "Metrics".
#pragma once

#include <prometheus/metric_family.h>

#include <initializer_list>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/api/views.h"

namespace sky::controlplane {

/// MemberStats of several members, summed.
struct MemberSums {
  uint64_t packets = 0, bytes = 0, damaged = 0, deaths = 0, deaths_by_list = 0, probes_sent = 0, probes_lost = 0;
};

/// What the metrics of one scrape are taken from.
struct Look {
  explicit Look(const ViewContext& seen);

  const ViewContext& context;
  MemberSums members;                      ///< all there are
  std::map<std::string, MemberSums> kept;  ///< by node of circuits.keep
};

/// The samples of one metric, in the order of its labels' values.
class Samples {
 public:
  Samples(prometheus::MetricFamily& family, std::string_view labels) : family_(family), labels_(labels) {}
  /// As many values as the metric has labels.
  void add(double value, std::initializer_list<std::string_view> labels = {});

 private:
  prometheus::MetricFamily& family_;
  std::string_view labels_;
};

struct Metric {
  std::string_view name;
  prometheus::MetricType type;
  std::string_view labels;  ///< names with a blank between them
  std::string_view help;
  void (*collect)(const Look& look, Samples& samples);
};

/// All of them, in the order in which they are shown.
std::span<const Metric> metrics();

}  // namespace sky::controlplane
