// What a user asks of the network itself: `ping` and `trace` to a node, over every circuit that leads there. Circuits
// are made first where there are none. Each is answered once, within 5 s, with what came back until then.
// A pong says which ping it answers by a number that was drawn for it; how long it took is by this node's clock.
#pragma once

#include <map>

#include "controlplane/core/groups.h"

namespace sky::controlplane {

class Requests {
 public:
  static constexpr size_t kMostOpen = 64;

  /// All outlive it.
  Requests(Context& context, Groups& groups, Circuits& circuits);

  void on_ping(const PingRequest& request) { begin(request.token, request.node, false); }
  void on_trace(const TraceRequest& request) { begin(request.token, request.node, true); }
  /// On the circuit that ends at the packet's route.
  void on_pong(const ControlPacket& packet);
  void on_trace_reply(const Circuit& circuit, const TraceReply& reply);

  void tick();
  TimeNs next_deadline() const;

 private:
  struct Probe {
    CircuitId circuit;
    TimeNs sent_ns;
    TracedCircuit result;
    size_t missing;  ///< answers
  };
  struct Request {
    uint64_t token;
    Ipv6Address node;
    bool trace;
    TimeNs give_up_ns;                 ///< for circuits to come up; afterwards for answers
    TimeNs look_at = 0;                ///< for circuits
    std::map<uint32_t, Probe> sent{};  ///< by number
  };

  void begin(uint64_t token, const std::string& node, bool trace);
  void send(Request& request);
  Probe probe(const Circuit& circuit, bool trace) const;
  bool tick(Request& request);
  void finish(Request& request);
  Probe* find(const CircuitId& circuit, uint32_t number);

  Context& context_;
  Groups& groups_;
  Circuits& circuits_;
  std::vector<Request> open_;
};

}  // namespace sky::controlplane
