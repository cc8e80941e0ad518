#include "dataplane/tables/tables.h"

#include <algorithm>
#include <cstring>

namespace sky::dataplane {

Tables::Tables(TablesConfig config, Quiescence& quiescence, const AeadEngine& keys, Stats stats_page,
               std::unique_ptr<DestinationMap> destination_map)
    : links(config.capacities.links),
      links_up(config.capacities.links),
      sessions(config.capacities.sessions),
      groups(config.capacities.groups),
      rules(config.capacities.rules),
      destinations(std::move(destination_map)),
      timed(new TimedObjects),
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
  delete timed.load();
}

void Tables::begin_turn(uint64_t now_ns) {
  round_ = {now_ns, quiescence_.begin(now_ns)};
}

void Tables::end_turn(std::vector<InstallMessage>& events) {
  for (const uint32_t index : link_indices_) tick_link(*links.find(index), events);
  for (const uint32_t index : session_indices_) tick_session(*sessions.find(index), events);
  quiescence_.end();
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
  for (const LinkWorker& worker : link.workers) use.add(worker.send, link.ring->send.generation());
  link.ring->tick(round_, use);
  confirm(*link.ring, KeyOwner::link, to_underlying(link.index), events);
  const uint8_t current = link.send.current.load(std::memory_order_relaxed);
  if (current < kKeySlots) stats.link(link.index).send_epoch.set(link.send.slots[current].epoch);
}

void Tables::tick_session(Session& session, std::vector<InstallMessage>& events) {
  // A peer that answers probes or sends is one that follows our steps; a silent one waits for the next handshake.
  constexpr uint64_t kSilentNs = 1'000'000'000;
  SendUse use{.peer_hears = session.heard_ns.load(std::memory_order_relaxed) + kSilentNs > round_.now_ns};
  for (const unsigned stream : session.send_streams)
    use.add(*session.seal_counter(stream), session.ring->send.generation());
  session.ring->tick(round_, use);
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
  const unsigned shares = workers_of(message.port);
  auto* config = new LinkConfig{
      .put = message,
      .ethernet = {message.peer_mac, config_.port_macs[to_underlying(message.port)], Be16(message.ether_type)},
      .liveness = {.interval_ns = uint64_t{message.interval_us} * 1'000,
                   .hold_ns = uint64_t{message.hold_ms} * 1'000'000,
                   .multiplier = message.multiplier},
      .lane_in_mac = polls.of(message.port).lane_in_mac,
      .realtime = RateLimit(message.realtime_kbit_s, shares),
      .all = RateLimit(message.rate_kbit_s, shares),
      .worker = polls.of(message.port).worker};
  if (!fresh && config->worker != link->owner()) {
    change_owner(*link, config);
  } else if (const LinkConfig* old = link->config.exchange(config, std::memory_order_acq_rel)) {
    quiescence_.retire([old] { delete old; });
  }
  for (unsigned lane = 0; lane < message.lanes; ++lane) {
    auto& windows = link->windows[lane];
    if (windows.load(std::memory_order_relaxed) == nullptr)
      windows.store(new StreamWindows<>, std::memory_order_release);
  }
  if (!fresh) return;
  links.set(index, link);
  link_indices_.insert(index);
  timed_stale_ = true;
}

unsigned Tables::owner(LinkIndex index) const {
  const Link* link = links.find(to_underlying(index));
  return link == nullptr ? 0 : link->owner();
}

void Tables::change_owner(Link& link, const LinkConfig* config) {
  const uint32_t index = to_underlying(link.index);
  const unsigned before = link.owner();
  links.set(index, nullptr);
  link_indices_.erase(index);
  publish_timed();
  quiescence_.wait();
  delete link.config.exchange(config, std::memory_order_acq_rel);
  for (auto gauge : {&LinkStats::up, &LinkStats::rtt_ns, &LinkStats::heard_ns})
    (stats.link(link.index, before).*gauge).set(0);
  link.told_up = !link.usable();  // the new one tells
  links.set(index, &link);
  link_indices_.insert(index);
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
  if (old.rule.action == RuleAction::consume && old.rule.worker != message.rule.worker) {
    rules.erase(message.rule.route_id);  // who opened its streams so far is out of them before another one begins
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
  release_streams(standing(index));
  rules.erase(route);
  replace_rate(route, nullptr);
  resting_.insert(index);
  quiescence_.retire([this, index] { resting_.erase(index); });
  stats.header().rules.set(stats.header().rules.get() - 1);
}

// --- groups

namespace {

uint32_t member_word(const MemberMessage& member) {
  return to_underlying(member.group) * kMaxMembers + member.slot + 1;
}

}  // namespace

void Tables::replace_view(Group& group, std::unique_ptr<GroupView> view) {
  if (const GroupView* old = group.view.exchange(view.release(), std::memory_order_acq_rel)) {
    quiescence_.retire([old] { delete old; });
  }
}

void Tables::put_group(const GroupMessage& message) {
  const uint32_t index = to_underlying(message.group);
  Group* group = groups.find(index);
  const bool fresh = group == nullptr;
  if (fresh) {
    group = new Group(config_.workers);
    group->index = message.group;
  }
  const GroupView* old = group->view.load(std::memory_order_relaxed);
  auto view = old == nullptr ? std::make_unique<GroupView>() : std::make_unique<GroupView>(*old);
  view->put = message;
  replace_view(*group, std::move(view));
  if (!fresh) return;
  groups.set(index, group);
  group_indices_.insert(index);
  timed_stale_ = true;
}

void Tables::put_member(const MemberMessage& message) {
  Group& group = *groups.find(to_underlying(message.group));
  Session* session = sessions.find(to_underlying(message.session));
  const auto add = [&](unsigned stream) {
    page_of(*session, stream);
    if (std::ranges::find(session->send_streams, stream) == session->send_streams.end())
      session->send_streams.push_back(static_cast<uint16_t>(stream));
  };
  for (unsigned worker = 0; worker < config_.workers; ++worker) {
    add(message.stream + worker);
    if (message.copied != 0) add(copied_streams(message.copied).stream + worker);
  }
  Link* link = links.find(to_underlying(message.link));
  auto view = std::make_unique<GroupView>(*group.view.load(std::memory_order_relaxed));
  if (view->has(message.slot)) {
    const Member& before = view->members[message.slot];
    forget_consume(before.put);
    if (before.link->owner() != link->owner()) leave_to_another(group, message.slot);
  }
  Link* alternate = message.alternate_link == kNoLink ? nullptr : links.find(to_underlying(message.alternate_link));
  view->members[message.slot] = {message, link, alternate, session};
  view->present |= static_cast<uint8_t>(1u << message.slot);
  member_of(message.consume).store(member_word(message), std::memory_order_relaxed);
  if (message.alternate_link != kNoLink)
    member_of(message.alternate_consume).store(member_word(message), std::memory_order_relaxed);
  replace_view(group, std::move(view));
  timed_stale_ = true;  // a circuit comes to life at once: packets may wait for it
}

/// The slot's member goes, and its worker with it, before one of another worker comes.
void Tables::leave_to_another(Group& group, uint8_t slot) {
  auto view = std::make_unique<GroupView>(*group.view.load(std::memory_order_relaxed));
  const unsigned before = view->members[slot].link->owner();
  view->present &= static_cast<uint8_t>(~(1u << slot));
  replace_view(group, std::move(view));
  quiescence_.wait();
  stats.member(group.index, slot, before).rtt_ns.set(0);
}

void Tables::forget_consume(const MemberMessage& member) {
  // Another slot may have taken the circuit over: puts come before deletes.
  const auto forget = [&](RouteId consume) {
    std::atomic<uint32_t>& word = member_of(consume);
    if (word.load(std::memory_order_relaxed) == member_word(member)) word.store(0, std::memory_order_relaxed);
  };
  forget(member.consume);
  if (member.alternate_link != kNoLink) forget(member.alternate_consume);
}

void Tables::delete_member(GroupIndex index, uint8_t slot) {
  Group& group = *groups.find(to_underlying(index));
  auto view = std::make_unique<GroupView>(*group.view.load(std::memory_order_relaxed));
  forget_consume(view->members[slot].put);
  view->present &= static_cast<uint8_t>(~(1u << slot));
  replace_view(group, std::move(view));
}

void Tables::delete_group(GroupIndex index) {
  Group* group = groups.find(to_underlying(index));
  groups.set(to_underlying(index), nullptr);
  group_indices_.erase(to_underlying(index));
  retire(group);
  timed_stale_ = true;
}

std::optional<MemberMessage> Tables::member(GroupIndex index, uint8_t slot) const {
  const Group* group = groups.find(to_underlying(index));
  if (group == nullptr || slot >= kMaxMembers) return std::nullopt;
  const GroupView& view = *group->view.load(std::memory_order_relaxed);
  if (!view.has(slot)) return std::nullopt;
  return view.members[slot].put;
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

void Tables::publish_timed() {
  auto next = std::make_unique<TimedObjects>();
  next->version = timed.load(std::memory_order_relaxed)->version + 1;
  for (const uint32_t index : link_indices_) next->links.push_back(links.find(index));
  for (const uint32_t index : group_indices_) next->groups.push_back(groups.find(index));
  const TimedObjects* old = timed.exchange(next.release(), std::memory_order_acq_rel);
  quiescence_.retire([old] { delete old; });
}

void Tables::finish() {
  if (timed_stale_) publish_timed();
  timed_stale_ = false;
}

}  // namespace sky::dataplane
