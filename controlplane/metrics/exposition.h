// How metrics are told: all of the list at once, as text, to whoever asks for it over HTTP.
#pragma once

#include <prometheus/collectable.h>

#include <functional>
#include <string>
#include <vector>

#include "controlplane/api/server.h"
#include "controlplane/metrics/metrics.h"

namespace sky::controlplane {

class Metrics final : public prometheus::Collectable {
 public:
  /// `context` outlives it. Costs a pass over the counter page.
  explicit Metrics(const ViewContext& context) : look_(context) {}
  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  Look look_;
};

/// As Prometheus reads it: text exposition format 0.0.4.
std::string metrics_text(const ViewContext& context);

/// GET /metrics, and nothing else. `text` is asked for where that is what was asked.
Response answer_scrape(const Request& request, const std::function<std::string()>& text);

}  // namespace sky::controlplane
