// All circuits of this node, whatever its part in them: messages from neighbours in, rules and messages out. A
// neighbour is believed about its own link alone: what came by a link speaks for the node at its other end and nothing
// else. A circuit's rules stand before the answer goes back that lets traffic in. Where a circuit ends here, `Ends`
// decides what becomes of it. Source: docs/protocol.md, "Signalling".
#pragma once

#include <map>
#include <unordered_map>

#include "controlplane/core/context.h"
#include "controlplane/core/deadlines.h"
#include "controlplane/core/links.h"
#include "controlplane/core/sessions.h"
#include "controlplane/signalling/admission.h"
#include "controlplane/signalling/circuit.h"

namespace sky::controlplane {

/// Who uses the circuits that end here. None of these calls anything of Circuits but find().
class Ends {
 public:
  virtual ~Ends() = default;
  /// Sets the circuit's group and slot and puts the member; leaves them when there is no room.
  virtual void join(Circuit& circuit) = 0;
  /// The member's fields may have changed: routes, MTU, standby.
  virtual void rejoin(const Circuit& circuit) = 0;
  virtual void leave(const Circuit& circuit) = 0;
  /// An own circuit is up, for the first time or again.
  virtual void is_up(const Circuit& circuit) = 0;
  /// An own circuit is gone, or never came up.
  virtual void failed(const Circuit& circuit, CircuitReason reason) = 0;
  /// An own circuit is dead and a SETUP did not mend it; it is asked for again later.
  virtual void is_stuck(const Circuit& circuit) = 0;
  virtual void traced(const Circuit& circuit, const TraceReply& reply) = 0;
};

class Circuits {
 public:
  /// All outlive it; `ends` is set before anything else.
  Circuits(Context& context, Links& links, Sessions& sessions);
  void set_ends(Ends& ends) { ends_ = &ends; }

  /// One that stands already, with `peer` (at an end) and `path` (if known) found.
  void adopt(Circuit circuit);

  void on_signal(LinkIndex from, ByteView payload);
  void installed(const CircuitId& id);
  void refused(const CircuitId& id, InstallError error);
  /// What comes by the circuit that ends at this rule is changed on its way: both ends give it up.
  void on_damaged(RouteId consume);

  // For the ends.

  /// Asks for a circuit on this path; nothing when there is no room for one. `copy_window`: the streams that it shares
  /// with others (Sessions::copied_streams), 0 for none.
  const Circuit* start(const Path& path, unsigned rank, uint8_t copy_window = 0);
  /// An own circuit is to have copied streams with windows so long, or none: asks for what it has not.
  void ask_copied(const CircuitId& id, uint8_t window);
  /// What the egress granted is used from here on.
  void use_copied(const CircuitId& id);
  void set_rtt(const CircuitId& id, uint32_t rtt_us);
  void set_rank(const CircuitId& id, unsigned rank);
  void close(const CircuitId& id, CircuitReason reason);
  void on_life(const CircuitId& id, bool live, uint32_t rtt_us);
  /// A packet for the far end's control plane; false when the circuit's link is down.
  bool send_over(const Circuit& circuit, PacketType type, ByteView payload);
  /// To the far end that has this address, over one circuit, live ones first.
  bool send_to(const Ipv6Address& peer, ByteView handshake);
  void trace(const Circuit& circuit, uint32_t probe);

  const Circuit* find(const CircuitId& id) const;
  /// Of the circuit that ends at this rule.
  const Circuit* find(RouteId consume) const;
  const std::map<CircuitId, Circuit>& all() const { return circuits_; }

  void tick();
  TimeNs next_deadline() const { return deadlines_.next(); }
  std::vector<CircuitSnapshot> snapshot() const;

 private:
  Circuit* get(const CircuitId& id) { return const_cast<Circuit*>(find(id)); }

  // circuits_ingress.cc
  void wish_copied(Circuit& circuit, uint8_t window);
  void drop_copied(Circuit& circuit);
  void ask(Circuit& circuit);
  void send_setup(Circuit& circuit);
  void give_up(Circuit& circuit);
  void on_ingress_reply(Circuit& circuit, const SetupReply& reply);
  void on_ingress_refused(Circuit& circuit, const SetupRefused& refused);
  void tick_ingress(Circuit& circuit);

  // circuits_hop.cc
  void on_setup(LinkIndex from, Setup& setup);
  std::expected<Circuit*, CircuitReason> make(LinkIndex from, const Setup& setup);
  CircuitReason make_transit(Circuit& circuit, const Setup& setup) const;
  bool take_rate(const Circuit& circuit);
  CircuitReason make_egress(Circuit& circuit, const Setup& setup);
  bool is_theirs(Circuit& circuit, const Setup& setup);
  bool asks(const Ipv6Address& peer) const;
  void take_over(Circuit& circuit, const Setup& setup);
  void take_copied(Circuit& circuit, const CopiedStreams& asked);
  void pass_on(Circuit& circuit, Setup& setup);
  void take_in(Circuit& circuit, const Setup& setup);
  void answer(Circuit& circuit);

  // circuits.cc
  void on_message(LinkIndex from, Setup& setup) { on_setup(from, setup); }
  void on_message(LinkIndex from, const SetupReply& reply);
  void on_message(LinkIndex from, const SetupRefused& refused);
  void on_message(LinkIndex from, const Close& close);
  void on_message(LinkIndex from, const Trace& trace);
  void on_message(LinkIndex from, const TraceReply& reply);

  Circuit& insert(Circuit circuit);
  void put_rules(Circuit& circuit);
  /// Lets go of everything it has here; says nothing to anybody.
  void remove(CircuitId id);
  /// Ends it on this node's own account: the ends are told, both neighbours, and it is removed.
  void fail(Circuit& circuit, CircuitReason reason);
  void end(Circuit& circuit, CircuitReason reason);
  void say(LinkIndex link, const Signal& signal);
  void say(const Leg& leg, const Signal& signal);
  void refuse(LinkIndex link, const Setup& setup, CircuitReason reason, std::string text = {});
  void refuse(const Leg& leg, const Setup& setup, CircuitReason reason, std::string text = {});
  void schedule(const Circuit& circuit);
  uint16_t link_mtu(LinkIndex link) const;
  /// The least over both ways.
  uint16_t leg_mtu(const Leg& leg) const;
  /// The way that packets can take now.
  std::optional<Way> usable_way(const Leg& leg) const;
  /// A route ID by that parallel link, or none when there is no room: a circuit works without.
  void add_alternate(Leg& leg, std::optional<LinkIndex> parallel);
  void drop_alternate(const Circuit& circuit, Leg& leg);
  void let_go(const Circuit& circuit, RouteId mine);
  AlternateWay offered(const Leg& leg) const;
  void take_offer(Circuit& circuit, const AlternateWay& offer);
  std::string describe(const Circuit& circuit) const;

  Context& context_;
  Links& links_;
  Sessions& sessions_;
  Ends* ends_ = nullptr;
  Admission admission_;
  std::map<CircuitId, Circuit> circuits_;
  std::unordered_map<uint32_t, CircuitId> ends_by_route_;
  std::multimap<Ipv6Address, CircuitId> by_peer_;
  Deadlines<CircuitId> deadlines_;
};

}  // namespace sky::controlplane
