#include "dataplane/tables/tables.h"

#include <algorithm>
#include <cstring>

namespace sky::dataplane {

namespace {

/// Those from `next` on, at most kMostTicked; true when there are more, and `next` is where to go on.
template <typename Tick>
bool tick_some(const std::set<uint32_t>& indices, uint32_t& next, Tick tick) {
  auto at = indices.lower_bound(next);
  for (unsigned ticked = 0; at != indices.end() && ticked < Tables::kMostTicked; ++at, ++ticked) tick(*at);
  const bool more = at != indices.end();
  next = more ? *at : 0;
  return more;
}

}  // namespace

Tables::Tables(TablesConfig config, Quiescence& quiescence, const AeadEngine& keys, Stats stats_page,
               std::unique_ptr<DestinationMap> destination_map)
    : links(config.capacities.links),
      sessions(config.capacities.sessions),
      groups(config.capacities.groups),
      rules(config.capacities.rules, config.hugepages),
      destinations(std::move(destination_map)),
      polls(config.polling, config.workers),
      members_by_rule(config.capacities.rules),
      circuit_rates(config.capacities.rules),
      stats(stats_page),
      config_(std::move(config)),
      quiescence_(quiescence),
      key_engine_(keys) {}

Tables::~Tables() {
  for (const uint32_t index : rated_) delete circuit_rates[index].load();
  quiescence_.drain();  // some of what waits there looks back at these tables
}

void Tables::begin_turn(uint64_t now_ns) {
  round_ = {now_ns, quiescence_.begin(now_ns)};
}

bool Tables::end_turn(std::vector<InstallMessage>& events) {
  tick_unready(events);
  bool more = tick_some(link_indices_, next_link_, [&](uint32_t index) { tick_link(*links.find(index), events); });
  more |=
      tick_some(session_indices_, next_session_, [&](uint32_t index) { tick_session(*sessions.find(index), events); });
  quiescence_.end();
  return more;
}

void Tables::circuit_died(RouteId consume, std::vector<InstallMessage>& events) {
  const uint32_t member = member_of(consume).load(std::memory_order_relaxed);
  if (member == 0) return;
  Group& group = *groups.find((member - 1) / kMaxMembers);
  const auto slot = static_cast<uint8_t>((member - 1) % kMaxMembers);
  if (!ends_at(group.view.load(std::memory_order_relaxed)->members[slot].put, consume)) return;
  MemberLife& life = group.lives[slot];
  life.answered.store(0, std::memory_order_relaxed);
  if (!life.live.exchange(false, std::memory_order_relaxed)) return;
  stats.member(group.index, slot).deaths_by_list.add(1);
  events.push_back(InstallMessage::of(MemberStateEvent{.slot = slot, .live = 0, .group = group.index, .rtt_us = 0}));
}

// --- keys

KeyRing* Tables::ring_of(KeyOwner owner, uint32_t index) const {
  if (owner == KeyOwner::link) {
    Link* link = links.find(index);
    return link == nullptr ? nullptr : link->ring.get();
  }
  Session* session = sessions.find(index);
  return session == nullptr ? nullptr : session->ring.get();
}

bool Tables::key_seen(const KeyChainMessage& chain) const {
  return (chain.direction == Direction::send ? seen_keys_.send : seen_keys_.receive).knows(chain.key_id);
}

void Tables::put_key_chain(const KeyChainMessage& message) {
  KeyRing& ring = *ring_of(message.owner, message.index);
  if (message.direction == Direction::send) {
    static_cast<void>(ring.send.put_chain(message.key_id, message.parity, message.secret, message.wait_for_peer != 0,
                                          round_, message.suite));
    return;
  }
  static_cast<void>(ring.receive.put_chain(message.key_id, message.parity, message.secret, round_, message.suite));
  unconfirmed_.insert({message.owner, message.index});
  if (!ring.receive.ready()) unready_.push_back({message.owner, message.index});
}

bool Tables::settled() {
  std::erase_if(unready_, [&](const auto& chain) {
    const KeyRing* ring = ring_of(chain.first, chain.second);
    return ring == nullptr || ring->receive.ready();
  });
  // A worker that hangs ends no grace: what the next batches would replace must not pile up.
  return unready_.empty() && quiescence_.limbo_size() <= kMaxBatch;
}

/// Out of their order: the batch's ack waits for these.
void Tables::tick_unready(std::vector<InstallMessage>& events) {
  for (size_t i = 0; i < std::min<size_t>(unready_.size(), kMostTicked); ++i) {
    const auto [owner, index] = unready_[i];
    if (owner == KeyOwner::link) {
      if (Link* link = links.find(index); link != nullptr) tick_link(*link, events);
    } else if (Session* session = sessions.find(index); session != nullptr) {
      tick_session(*session, events);
    }
  }
}

void Tables::confirm(KeyRing& ring, KeyOwner owner, uint32_t index, std::vector<InstallMessage>& events) {
  if (!unconfirmed_.contains({owner, index})) return;
  const auto key_id = ring.receive.newest_key_id();
  if (!key_id || !ring.receive.heard(*key_id)) return;
  unconfirmed_.erase({owner, index});
  events.push_back(InstallMessage::of(ChainConfirmedEvent{.owner = owner, .index = index, .key_id = *key_id}));
}

void Tables::tick_link(Link& link, std::vector<InstallMessage>& events) {
  SendUse use{.peer_hears = link.peer_hears.load(std::memory_order_relaxed),
              .worn = link.worn.load(std::memory_order_relaxed)};
  for (const Lane& lane : link.lanes) {
    if (lane.worker != nullptr) use.add(lane.worker->send, link.ring->send.generation());
  }
  link.ring->tick(round_, use);
  confirm(*link.ring, KeyOwner::link, to_underlying(link.index), events);
  const uint8_t current = link.send.current.load(std::memory_order_relaxed);
  stats.link(link.index).send_keys.add(link.ring->send.take_begun());
  if (current < kKeySlots) stats.link(link.index).send_epoch.set(link.send.slots[current].epoch);
}

void Tables::tick_session(Session& session, std::vector<InstallMessage>& events) {
  // A peer that answers probes or sends is one that follows our steps; a silent one waits for the next handshake.
  constexpr uint64_t kSilentNs = 1'000'000'000;
  SendUse use{.peer_hears = session.heard_ns.load(std::memory_order_relaxed) + kSilentNs > round_.now_ns};
  for (const unsigned stream : session.send_streams)
    use.add(*session.seal_counter(stream), session.ring->send.generation());
  session.ring->tick(round_, use);
  stats.header().session_send_keys.add(session.ring->send.take_begun());
  sweep_streams(session);
  confirm(*session.ring, KeyOwner::session, to_underlying(session.index), events);
}

/// Frames carry the index that their receiver chose.
void Tables::log_keys(Link& link) {
  KeyLog* log = config_.key_log;
  if (log == nullptr) return;
  link.ring->receive.listen([log, &link](const LoggedKey& key) { log->link(to_underlying(link.index), key); });
  link.ring->send.listen([log, &link](const LoggedKey& key) {
    log->link(link.config.load(std::memory_order_relaxed)->put.peer_index, key);
  });
}

void Tables::log_keys(Session& session) {
  KeyLog* log = config_.key_log;
  if (log == nullptr) return;
  const auto listener = [log, &session](const LoggedKey& key) {
    log->session(session.put.load(std::memory_order_relaxed)->session_id, key);
  };
  session.ring->receive.listen(listener);
  session.ring->send.listen(listener);
}

// --- links and sessions

void Tables::put_link(const LinkMessage& message) {
  const uint32_t index = to_underlying(message.link);
  Link* link = links.find(index);
  const bool fresh = link == nullptr;
  if (fresh) {
    links_up.set(message.link, false);
    link = new Link(message.link, links_up, config_.workers);
    link->ring = std::make_unique<KeyRing>(link->receive, link->send, key_engine_, config_.link_keys, seen_keys_);
    log_keys(*link);
  }
  const PortIndex port = message.port;
  auto* config = new LinkConfig(message, config_.port_macs[to_underlying(port)], polls.of(port), workers_of(port));
  if (!fresh && moves(*link, *config)) {
    change_owner(*link, config);
  } else if (const LinkConfig* old = replace_config(*link, config)) {
    quiescence_.retire([old] { delete old; });
  }
  for (unsigned lane = 0; lane < message.lanes; ++lane) {
    auto& windows = link->lanes[lane].windows;
    if (windows.load(std::memory_order_relaxed) == nullptr) windows.store(new LaneWindows<>, std::memory_order_release);
  }
  if (!fresh) return;
  links.set(index, link);
  link_indices_.insert(index);
  timed_stale_ = true;
}

/// Another worker owns it, or other workers receive its lanes: none may hold what the next one writes.
bool Tables::moves(const Link& link, const LinkConfig& to) const {
  const LinkConfig& from = *link.config.load(std::memory_order_relaxed);
  const auto by_lane = [this](const LinkConfig& config) { return polls.of(config.put.port).by_lane; };
  return from.worker != to.worker || by_lane(from) != by_lane(to);
}

unsigned Tables::owner(LinkIndex index) const {
  const Link* link = links.find(to_underlying(index));
  return link == nullptr ? 0 : link->owner();
}

const LinkConfig* Tables::replace_config(Link& link, const LinkConfig* config) {
  link.admission.store(config->admission(), std::memory_order_relaxed);
  return link.config.exchange(config, std::memory_order_acq_rel);
}

void Tables::change_owner(Link& link, const LinkConfig* config) {
  const uint32_t index = to_underlying(link.index);
  const unsigned before = link.owner();
  const auto members = members_by(link);
  for (const auto& [group, slots] : members) hide(*group, slots);
  links.set(index, nullptr);
  quiescence_.wait();
  delete replace_config(link, config);  // before the link is back: what still comes by the port before is not for it
  for (auto gauge : {&LinkStats::up, &LinkStats::rtt_ns, &LinkStats::heard_ns})
    (stats.link(link.index, before).*gauge).set(0);
  stats.link(link.index, link.owner()).up.set(link.usable() ? 1 : 0);  // who owns it now writes what changes
  link.told_up = !link.usable();                                       // the new one tells
  links.set(index, &link);
  for (const auto& [group, slots] : members) {
    for (unsigned slot = 0; before != link.owner() && slot < kMaxMembers; ++slot) {
      if ((slots >> slot & 1) != 0) stats.member(group->index, static_cast<uint8_t>(slot), before).rtt_ns.set(0);
    }
    show(*group, slots);
  }
  timed_stale_ = true;
}

void Tables::delete_link(LinkIndex index) {
  Link* link = links.find(to_underlying(index));
  links.set(to_underlying(index), nullptr);
  link_indices_.erase(to_underlying(index));
  unconfirmed_.erase({KeyOwner::link, to_underlying(index)});
  links_up.set(index, false);
  stats.link(index, link->owner()).up.set(0);
  retire(link);
  timed_stale_ = true;
}

void Tables::put_session(const SessionMessage& message) {
  const uint32_t index = to_underlying(message.session);
  Session* session = sessions.find(index);
  const bool fresh = session == nullptr;
  if (fresh) {
    session = new Session;
    session->index = message.session;
    session->ring =
        std::make_unique<KeyRing>(session->receive, session->send, key_engine_, config_.session_keys, seen_keys_);
    log_keys(*session);
  }
  if (const SessionMessage* old = session->put.exchange(new SessionMessage(message), std::memory_order_acq_rel)) {
    quiescence_.retire([old] { delete old; });
  }
  if (!fresh) return;
  sessions.set(index, session);
  session_indices_.insert(index);
}

void Tables::delete_session(SessionIndex index) {
  Session* session = sessions.find(to_underlying(index));
  sessions.set(to_underlying(index), nullptr);
  session_indices_.erase(to_underlying(index));
  unconfirmed_.erase({KeyOwner::session, to_underlying(index)});
  for (const auto& page : session->pages) {
    const StreamPage* streams = page.load(std::memory_order_relaxed);
    for (unsigned i = 0; streams != nullptr && i < kStreamsPerPage; ++i) {
      if (const SessionWindows* windows = streams->receive[i].load(std::memory_order_relaxed)) forget_windows(*windows);
    }
  }
  retire(session);
}

// --- rules

const Rule* Tables::rule(RouteId route) const {
  const uint32_t index = rules.index_of(route);
  return rules.occupied(index) && rules.at(index).route_id == route ? &rules.at(index) : nullptr;
}

bool Tables::slot_free(RouteId route) const {
  const uint32_t index = rules.index_of(route);
  return !rules.occupied(index) && !resting_.contains(index);
}

unsigned Tables::workers_of(PortIndex port) const {
  return polls.of(port).by_lane ? config_.workers : 1;
}

void Tables::replace_rate(RouteId route, std::unique_ptr<CircuitRate> rate) {
  std::atomic<CircuitRate*>& place = circuit_rates[rules.index_of(route)];
  if (rate == nullptr) {
    rated_.erase(rules.index_of(route));
  } else {
    rated_.insert(rules.index_of(route));
  }
  if (CircuitRate* old = place.exchange(rate.release(), std::memory_order_acq_rel)) retire(old);
}

RuleMessage Tables::standing(uint32_t index) const {
  const RuleOwner& owner = rules.owner(index);
  const CircuitRate* rate = circuit_rates[index].load(std::memory_order_relaxed);
  return {.copied = owner.copied,
          .rate_kbit_s = rate == nullptr ? 0 : rate->limit.kbit_s(),
          .rule = rules.at(index),
          .circuit = owner.circuit,
          .cookie = owner.cookie};
}

void Tables::put_rule(const RuleMessage& message) {
  const bool fresh = rule(message.rule.route_id) == nullptr;
  if (fresh) stats.header().rules.add(1);
  const RuleMessage old = fresh ? RuleMessage{} : standing(rules.index_of(message.rule.route_id));
  // Who opened its streams so far is out of them before another one begins, and nobody takes the end of a rule that
  // consumes for the next hop of one that forwards.
  if (!fresh && (old.rule.action != message.rule.action ||
                 (old.rule.action == RuleAction::consume && old.rule.worker != message.rule.worker))) {
    rules.erase(message.rule.route_id);
    quiescence_.wait();
  }
  claim_streams(message);  // before the old one lets go of them
  if (old.rate_kbit_s != message.rate_kbit_s) {
    const LinkConfig& from = *links.find(to_underlying(message.rule.in_link))->config.load();
    replace_rate(message.rule.route_id,
                 message.rate_kbit_s == 0
                     ? nullptr
                     : std::make_unique<CircuitRate>(message.rate_kbit_s, workers_of(from.put.port), config_.workers));
  }
  release_streams(old);
  rules.put(message);
}

void Tables::delete_rule(RouteId route) {
  const uint32_t index = rules.index_of(route);
  const RuleMessage old = standing(index);
  release_streams(old);
  rules.erase(route);
  if (old.rate_kbit_s != 0) replace_rate(route, nullptr);
  resting_.insert(index);
  quiescence_.retire([this, index] { resting_.erase(index); });
  stats.header().rules.set(stats.header().rules.get() - 1);
}

// --- destinations

std::optional<GroupIndex> Tables::destination(const DestinationMessage& key) const {
  const auto* entry = destinations->find({key.family, key.length, key.prefix});
  return entry == nullptr ? std::nullopt : std::optional(entry->group);
}

bool Tables::stage_destination(const DestinationMessage& put) {
  return destinations->stage({{put.family, put.length, put.prefix}, put.group, put.cookie});
}

void Tables::stage_delete_destination(const DestinationMessage& key) {
  static_cast<void>(destinations->stage({{key.family, key.length, key.prefix}, kNoGroup, 0}));
}

void Tables::publish_destinations() {
  destinations->publish([this] { quiescence_.wait(); });
}

// --- all

void Tables::finish() {
  if (!timed_stale_) return;
  timed_stale_ = false;
  const auto end = [](const std::set<uint32_t>& indices) { return indices.empty() ? 0 : *indices.rbegin() + 1; };
  timed.links.store(end(link_indices_), std::memory_order_relaxed);
  timed.groups.store(end(group_indices_), std::memory_order_relaxed);
  timed.version.fetch_add(1, std::memory_order_release);
}

}  // namespace sky::dataplane
