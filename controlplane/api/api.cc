#include "controlplane/api/api.h"

#include <algorithm>
#include <utility>

#include "dataplane/base/config_error.h"
#include "dataplane/base/units.h"

namespace sky::controlplane {
namespace {

constexpr std::string_view kRoot = "/v1/";
constexpr std::string_view kWatch = "/v1/watch";

Response error(unsigned status, std::string text) {
  return {status, Json::object({{"error", std::move(text)}}).dump(-1, ' ', false, Json::error_handler_t::replace)};
}

Response success(const Json& body) {
  return {200, body.dump(-1, ' ', false, Json::error_handler_t::replace)};
}

Json circuits_of(const Answer& answer) {
  Json circuits = Json::array();
  for (const TracedCircuit& circuit : answer.circuits) {
    Json hops = Json::array();
    for (const TraceHop& hop : circuit.hops) {
      Json row{{"node", hop.node}, {"link", hop.link}, {"delay_us", nullptr}};
      if (hop.delay_ns >= 0) row["delay_us"] = hop.delay_ns / static_cast<int64_t>(kMicrosecondNs);
      hops.push_back(std::move(row));
    }
    circuits.push_back({{"circuit", circuit.circuit}, {"hops", std::move(hops)}});
  }
  return Json::object({{"circuits", std::move(circuits)}});
}

/// The one member of {"node": NAME}; empty when the body is anything else.
std::string node_of(const std::string& body) {
  const Json parsed = Json::parse(body, nullptr, false);
  if (!parsed.is_object() || parsed.size() != 1) return {};
  const auto node = parsed.find("node");
  return node != parsed.end() && node->is_string() ? node->get<std::string>() : std::string();
}

std::string unknown_node(const std::string& node, const std::vector<std::string>& nodes) {
  const std::string near = nearest(node, nodes);
  return fmt::format("found {}, wanted another node of the topology{}", quote(node),
                     near.empty() ? "" : "; did you mean " + quote(near) + "?");
}

}  // namespace

void Api::handle(const Request& request, HttpServer::Responder respond) {
  if (!request.path.starts_with(kRoot)) return respond(error(404, "found another path, wanted /v1/..."));
  if (request.method == "GET") {
    const auto shown = backend_.show(std::string_view(request.path).substr(kRoot.size()));
    return respond(shown ? success(*shown) : error(404, "nothing of that name"));
  }
  if (!request.admin) return respond(error(403, "only root and the control plane's own user may do this"));
  if (request.method != "POST") return respond(error(405, "found another method, wanted GET or POST"));
  if (const auto path = std::string_view(request.path); path.starts_with(kWatch)) {
    return packets_.handle(path.substr(kWatch.size()), request.body, backend_.names(), std::move(respond));
  }
  question(request, std::move(respond));
}

void Api::question(const Request& request, HttpServer::Responder respond) {
  const bool is_ping = request.path == "/v1/ping";
  if (!is_ping && request.path != "/v1/trace") return respond(error(404, "nothing of that name takes a POST"));
  const std::string node = node_of(request.body);
  if (node.empty()) return respond(error(400, R"(wanted the body {"node": NAME})"));
  const auto& nodes = backend_.nodes();
  if (std::ranges::find(nodes, node) == nodes.end()) return respond(error(404, unknown_node(node, nodes)));
  if (questions_.size() >= kMostQuestions) return respond(error(503, "too many questions are open"));
  const uint64_t token = ++last_token_;
  questions_.emplace(token, std::move(respond));
  backend_.ask(is_ping ? Event(PingRequest{token, node}) : Event(TraceRequest{token, node}));
}

void Api::answer(const Answer& answer) {
  const auto found = questions_.extract(answer.token);
  if (found.empty()) return;
  found.mapped()(answer.error.empty() ? success(circuits_of(answer)) : error(504, answer.error));
}

}  // namespace sky::controlplane
