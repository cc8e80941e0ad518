// Cores tied together: each with a dataplane, wires between their ports, one clock, one seed. The same seed gives the
// same run. Loss, duplication and jitter strike frames of control planes (handshakes and signals) alone, so that links
// stay up meanwhile; a cut wire carries nothing.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "controlplane/core/core.h"
#include "tests/sim/dataplane.h"

namespace sky::sim {

inline constexpr uint64_t kMs = 1'000'000;
inline constexpr uint64_t kS = 1'000 * kMs;

struct Impairment {
  double loss = 0;
  double duplication = 0;
  uint64_t jitter_ns = 0;  ///< each frame is late by up to so much: they overtake each other
};

/// What a node's control plane said, since reset().
struct Said {
  std::map<uint8_t, unsigned> signals;  ///< by message
  unsigned handshakes = 0;
  std::map<Verb, unsigned> installed;
  unsigned refused = 0;

  unsigned setups() const { return signals.contains(1) ? signals.at(1) : 0; }
  unsigned deletes() const;
  unsigned puts() const;
};

class Simulation {
 public:
  using Configure = std::function<void(const std::string& node, RouterConfig&)>;

  /// A router.yaml for each node, with a port for each of its links.
  Simulation(controlplane::Topology topology, uint64_t seed, const Configure& configure = {});
  ~Simulation();

  void start(const std::string& node);  ///< both processes
  void start_all();
  void kill_control(const std::string& node);
  RouterConfig& config(const std::string& node) { return at(node).config; }  ///< of the next control plane
  void start_control(const std::string& node);
  void kill_dataplane(const std::string& node);
  void start_dataplane(const std::string& node);
  /// The socket between the two closes and opens again.
  void reattach(const std::string& node);

  void cut(const std::string& link) { cut_[link] = true; }
  void mend(const std::string& link) { cut_[link] = false; }
  Impairment& impairment() { return impairment_; }

  void run(uint64_t duration_ns);
  /// True as soon as it holds, looked at every 10 ms; false when it does not within that time.
  bool run_until(const std::function<bool()>& holds, uint64_t most_ns);

  /// One packet from one node to the Skywire address of another.
  void send(const std::string& from, const std::string& to);
  void send(const std::string& from, const Ipv6Address& to) { at(from).dataplane->send_datagram(to, now_ns_); }
  controlplane::Answer ask(const std::string& node, controlplane::Event request, uint64_t most_ns = 6 * kS);
  void inject(const std::string& node, const controlplane::Event& event) { handle(at(node), event); }

  Dataplane& dataplane(const std::string& node) { return *at(node).dataplane; }
  controlplane::Core& core(const std::string& node) { return *at(node).core; }
  controlplane::Snapshot snapshot(const std::string& node) { return core(node).snapshot(now_ns_); }
  Said& said(const std::string& node) { return at(node).said; }
  void reset_said();
  std::vector<std::string> log(const std::string& node) { return at(node).log; }
  Ipv6Address address(const std::string& node) const;
  const std::vector<std::string>& nodes() const { return names_; }
  uint64_t now_ns() const { return now_ns_; }

  bool links_up();
  /// Members of `from`'s group for `to` that are live.
  std::vector<controlplane::MemberSnapshot> live_members(const std::string& from, const std::string& to);

 private:
  struct Wire {
    std::string link;
    std::string node;  ///< at the other end
    PortIndex port{};
  };
  struct Node {
    std::string name;
    RouterConfig config;
    std::array<uint8_t, 32> seed{};
    std::vector<Wire> wires{};  ///< by port
    std::unique_ptr<controlplane::SeededRandom> random{};
    std::unique_ptr<controlplane::Core> core{};
    std::unique_ptr<Dataplane> dataplane{};
    MacAddress mac{};
    uint64_t life = 0;  ///< rises with each attachment: what was on its way between the two is lost
    unsigned ticks_now = 0;
    uint64_t ticked_ns = 0;
    Said said{};
    std::vector<std::string> log{};
    std::vector<controlplane::Answer> answers{};
  };
  using Work = std::function<void()>;

  Node& at(const std::string& node) { return nodes_.at(node); }
  void build(const Configure& configure);
  void make_core(Node& node);
  void make_dataplane(Node& node);
  void attach(Node& node);
  void detach(Node& node);
  void handle(Node& node, const controlplane::Event& event);
  void carry_out(Node& node, controlplane::Action& action);
  void arm(Node& node);
  void transmit(Node& node, PortIndex port, Frame frame);
  void after(uint64_t delay_ns, Work work);
  double chance() { return static_cast<double>(random_.number<uint32_t>()) / 4294967296.0; }

  controlplane::Topology topology_;
  std::shared_ptr<controlplane::TopologySource> source_;
  controlplane::SeededRandom random_;
  std::map<std::string, Node> nodes_;
  std::vector<std::string> names_;
  std::map<std::string, bool> cut_;
  Impairment impairment_;
  uint64_t now_ns_ = 1 * kS;
  std::multimap<uint64_t, Work> work_;
  uint64_t turn_ns_ = 0;
};

/// alpha: a1, beta: b1 b2, gamma: g1, delta: d1; a1-g1-d1 and a1-b1-b2-d1.
controlplane::Topology four_domains();

}  // namespace sky::sim
