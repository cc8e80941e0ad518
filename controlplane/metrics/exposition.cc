#include "controlplane/metrics/exposition.h"

#include <prometheus/text_serializer.h>

namespace sky::controlplane {

std::vector<prometheus::MetricFamily> Metrics::Collect() const {
  std::vector<prometheus::MetricFamily> families;
  for (const Metric& metric : metrics()) {
    auto& family = families.emplace_back(std::string(metric.name), std::string(metric.help), metric.type);
    Samples samples(family, metric.labels);
    metric.collect(look_, samples);
  }
  return families;
}

std::string metrics_text(const ViewContext& context) {
  return prometheus::TextSerializer().Serialize(Metrics(context).Collect());
}

Response answer_scrape(const Request& request, const std::function<std::string()>& text) {
  constexpr const char* kPlain = "text/plain; version=0.0.4; charset=utf-8";
  if (request.path != "/metrics") return {404, "found another path, wanted /metrics\n", kPlain};
  if (request.method != "GET") return {405, "found another method, wanted GET\n", kPlain, "GET"};
  return {200, text(), kPlain};
}

}  // namespace sky::controlplane
