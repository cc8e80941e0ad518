#include "controlplane/core/links.h"

#include <algorithm>

#include "controlplane/core/chains.h"
#include "dataplane/base/address.h"

namespace sky::controlplane {
namespace {

constexpr uint64_t kCallAfterDown_ns = kSecondNs;
constexpr uint64_t kCallUnheard_ns = 5 * kSecondNs;  ///< final keys, and the link does not come up
constexpr uint64_t kLookAgain_ns = 100 * kMillisecondNs;
constexpr unsigned kCallsInside = 2;
constexpr unsigned kCallsInVain = 8;  ///< about two minutes: told once
constexpr uint64_t kAfterRefusal_ns = 5 * kSecondNs;
constexpr MacAddress kBroadcast{0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
constexpr uint8_t kCarrierEthernet = 1;
constexpr uint8_t kBothKeys = 3;

LinkHeader handshake_header(uint32_t receiver_index) {
  return {.version_kind = version_kind(FrameKind::handshake),
          .hop_limit = 0,
          .epoch = 0,
          .class_ecn = 0,
          .link_index = Be32(receiver_index),
          .lane_counter = Be64(0)};
}

Prologue prologue_of(const LinkHeader& header) {
  return {.scope = Prologue::Scope::link,
          .header = {header.version_kind, header.hop_limit, header.epoch, header.class_ecn},
          .carrier = kCarrierEthernet};
}

}  // namespace

Links::Links(Context& context, const Identity& identity) : context_(context), gate_(identity, context.random) {}

Result<std::unique_ptr<Links>> Links::create(Context& context, const Identity& identity,
                                             const std::vector<Secret<32>>& pre_shared) {
  std::unique_ptr<Links> links(new Links(context, identity));
  const auto& own = context.network.links();
  for (size_t i = 0; i < own.size(); ++i) {
    auto handshake =
        Handshake::create(links->gate_, {.key = own[i].peer_key,
                                         .pre_shared = i < pre_shared.size() ? pre_shared[i] : Secret<32>{},
                                         .prologue = prologue_of(handshake_header(0))});
    if (!handshake) return fail("link {}: {}", own[i].name, handshake.error().message);
    links->links_.push_back({.index = LinkIndex{static_cast<uint16_t>(i)},
                             .own = &own[i],
                             .config = &context.config.links[i],
                             .handshake = std::move(*handshake),
                             .changed_ns = context.now});
  }
  return links;
}

Terms Links::offer(const Link& link) const {
  return {.receive_index = to_underlying(link.index),
          .parity = next_parity(link.parity),
          .suites = context_.suites,
          .least_kind = to_underlying(link.config->protect),
          .lanes = static_cast<uint8_t>(context_.config.dataplane.workers.size()),
          .boot_id = context_.boot_id};
}

LinkMessage Links::row_of(const Link& link, const PeerSide& peer) const {
  const LinkConfig& config = *link.config;
  return {.link = link.index,
          .peer_index = peer.index,
          .port = config.port,
          .peer_mac = config.mac.value_or(peer.mac),
          .ether_type = config.ethertype,
          .least_kind = to_underlying(config.protect),
          .multiplier = config.liveness.multiplier,
          .interval_us = static_cast<uint32_t>(config.liveness.interval_ns / kMicrosecondNs),
          .hold_ms = static_cast<uint32_t>(config.liveness.hold_ns / kMillisecondNs),
          .mtu = mtu(link.index),
          .kind = std::min(peer.kind, to_underlying(config.protect)),
          .lanes = peer.lanes,
          .realtime_kbit_s = link.own->realtime_kbit_s,
          .cookie = cookie_of(link),
          .rate_kbit_s = static_cast<uint32_t>(config.rate_bps / 1000)};
}

Links::PeerSide Links::side_of(const Keys& keys, const Way& way) {
  return {
      .index = keys.theirs.receive_index, .mac = way.mac, .kind = keys.agreed.least_kind, .lanes = keys.theirs.lanes};
}

void Links::place(Link& link, const LinkMessage& row) {
  link.row = row;
  link.placed = true;
  context_.planner.put(row);
}

void Links::adopt(const LinkMessage& row) {
  if (to_underlying(row.link) >= links_.size()) return;
  Link& link = links_[to_underlying(row.link)];
  if (row.cookie != cookie_of(link)) return;
  place(link, row_of(link, {.index = row.peer_index, .mac = row.peer_mac, .kind = row.kind, .lanes = row.lanes}));
  link.parity = row.rx_parity;
  link.suite = row.suite;
}

bool Links::is_adopted(LinkIndex index) const {
  return to_underlying(index) < links_.size() && links_[to_underlying(index)].placed;
}

void Links::attached(const std::map<LinkIndex, LinkMessage>& standing) {
  for (Link& link : links_) {
    const auto row = standing.find(link.index);
    link.keyed = link.placed && row != standing.end() && (row->second.keyed & kBothKeys) == kBothKeys;
    link.up = link.keyed && row->second.up != 0;
    link.changed_ns = context_.now;
    if (link.keyed) {
      link.parity = row->second.rx_parity;  // chains that were on their way may not have come through
      // How old the keys are is unknown after a restart: renewed within a period, not all links at once.
      const uint64_t period = context_.config.rekey.handshake_ns;
      if (link.renew_at == kNever)
        link.renew_at = context_.now + period / 2 + context_.random.number<uint64_t>() % (period / 2);
      link.want_at = link.up ? link.renew_at : context_.now + kCallAfterDown_ns;
    } else {
      link.parity.reset();
      link.want_at = context_.now;
    }
  }
}

void Links::detached() {
  for (Link& link : links_) {
    link.handshake.stop();
    link.answered.reset();
    link.greet = 0;
    link.up = false;
  }
}

bool Links::usable(LinkIndex index) const {
  if (to_underlying(index) >= links_.size()) return false;
  const Link& link = links_[to_underlying(index)];
  return link.keyed && link.up;
}

uint16_t Links::mtu(LinkIndex index) const {
  const PortIndex port = context_.config.links[to_underlying(index)].port;
  return context_.config.ports[to_underlying(port)].mtu;
}

uint8_t Links::worker(LinkIndex index) const {
  const PortIndex port = context_.config.links[to_underlying(index)].port;
  return static_cast<uint8_t>(context_.config.ports[to_underlying(port)].worker.value_or(0));
}

Links::Way Links::bare_way(const Link& link) const {
  return {.port = link.config->port,
          .mac = link.config->mac.value_or(link.placed ? link.row.peer_mac : kBroadcast),
          .ether_type = link.config->ethertype};
}

void Links::say(const Way& way, uint32_t receiver_index, ByteView message) {
  if (way.link != kNoLink) return context_.out.send_on_link(way.link, PacketType::handshake, message);
  ControlPacket packet{.kind = SlotKind::handshake,
                       .type = to_underlying(PacketType::handshake),
                       .link = kNoLink,
                       .port = way.port,
                       .mac = way.mac,
                       .ether_type = way.ether_type,
                       .header = __builtin_bit_cast(decltype(ControlPacket::header), handshake_header(receiver_index))};
  set_payload(packet, message);
  context_.out.send(packet);
}

/// An initiation of ours: inside the link while it lives, and bare when that is in vain: it may be deaf one way.
void Links::call(Link& link, ByteView message) {
  Way way = bare_way(link);
  if (usable(link.index) && link.calls < kCallsInside) way.link = link.index;
  if (++link.calls == kCallsInVain) {
    context_.log(LogLevel::warning, "link {}: {} does not answer handshakes", link.own->name, link.own->peer_name);
  }
  say(way, 0, message);
}

void Links::note(Link* link, const Refusal& refusal) {
  ++context_.handshakes_refused[to_underlying(refusal.reason)];
  if (!is_fault(refusal.reason)) return;
  if (link != nullptr) link->last_refusal = fmt::format("{}: {}", name_of(refusal.reason), refusal.error.message);
  context_.log(LogLevel::warning, "link {}: handshake refused: {}", link == nullptr ? "unknown" : link->own->name,
               refusal.error.message);
}

void Links::on_frame(const ControlPacket& packet) {
  const auto header = __builtin_bit_cast(LinkHeader, packet.header);
  handle(nullptr, {.port = packet.port, .mac = packet.mac, .ether_type = packet.ether_type}, payload_of(packet),
         prologue_of(header));
}

void Links::on_packet(const ControlPacket& packet) {
  if (to_underlying(packet.link) >= links_.size()) return;
  Link& link = links_[to_underlying(packet.link)];
  Way way = bare_way(link);
  way.link = link.index;
  handle(&link, way, payload_of(packet), prologue_of(handshake_header(0)));
}

void Links::handle(Link* inside, const Way& way, ByteView message, const Prologue& prologue) {
  const auto type = message_type(message);
  if (type == MessageType::initiation) {
    std::array<uint8_t, 8> source;
    std::ranges::copy(way.mac, source.begin());
    source[6] = static_cast<uint8_t>(to_underlying(way.port) >> 8);
    source[7] = static_cast<uint8_t>(to_underlying(way.port));
    return on_initiation(inside, way,
                         {.message = message, .prologue = prologue, .source = source, .trusted = inside != nullptr});
  }
  const auto receiver = receiver_index(message);
  Link* link = receiver ? find_expecting(way, *receiver) : nullptr;
  if (link == nullptr || (inside != nullptr && inside != link)) {
    return note(inside, {Reason::unexpected, {"handshake answer: found one to no message that is pending"}});
  }
  if (type == MessageType::response) return on_response(*link, way, message);
  const auto again = link->handshake.on_cookie(message, context_.now);
  if (!again) return note(link, again.error());
  say(way, 0, *again);
}

Links::Link* Links::find_peer(const Way& way, const noise::PublicDh& peer) {
  const auto found = std::ranges::find_if(links_, [&](const Link& link) {
    return link.config->port == way.port && link.config->ethertype == way.ether_type && link.handshake.peer() == peer &&
           !waits(link);
  });
  return found == links_.end() ? nullptr : &*found;
}

/// The one link that a port and EtherType carry; nullptr where several share them.
Links::Link* Links::find_only(const Way& way) {
  const auto carried = [&](const Link& link) {
    return link.config->port == way.port && link.config->ethertype == way.ether_type;
  };
  return std::ranges::count_if(links_, carried) == 1 ? &*std::ranges::find_if(links_, carried) : nullptr;
}

Links::Link* Links::find_expecting(const Way& way, uint32_t receiver) {
  const auto found = std::ranges::find_if(
      links_, [&](const Link& link) { return link.config->port == way.port && link.handshake.expects(receiver); });
  return found == links_.end() ? nullptr : &*found;
}

void Links::on_initiation(Link* inside, const Way& way, const Arrival& arrival) {
  auto admitted = gate_.admit(arrival, context_.now);
  if (!admitted) return note(inside, admitted.error());
  if (const auto* cookie = std::get_if<CookieReply>(&*admitted)) return say(way, 0, cookie->message);
  auto& initiation = std::get<Initiation>(*admitted);
  Link* link = inside != nullptr ? inside : find_peer(way, initiation.peer());
  if (link == nullptr || link->handshake.peer() != initiation.peer()) {
    return note(inside != nullptr ? inside : find_only(way),
                {Reason::unknown_peer, {"handshake message 1: found a key that belongs to no link there"}});
  }
  auto step = link->handshake.on_initiation(std::move(initiation), offer(*link), link->keyed, context_.now);
  if (!step) return note(link, step.error());
  if (step->keys) return answer(*link, way, *step->keys);
  // A repeated answer; a cookie or our own initiation, whose receiver's index is not known yet, go out with 0.
  say(way, link->answered && message_type(step->send) == MessageType::response ? link->answered->peer_index : 0,
      step->send);
}

void Links::answer(Link& link, const Way& way, const Keys& keys) {
  link.answered = Answered{.key_id = keys.key_id,
                           .way = way,
                           .peer_index = keys.theirs.receive_index,
                           .row = row_of(link, side_of(keys, way)),
                           .parity = keys.ours.parity,
                           .suite = keys.agreed.suite};
  if (!usable(link.index)) place(link, link.answered->row);
  if (link.peer_boot != 0 && link.peer_boot != keys.theirs.boot_id) {
    context_.log(LogLevel::info, "link {}: {}'s dataplane was started anew", link.own->name, link.own->peer_name);
  }
  link.peer_boot = keys.theirs.boot_id;
  const ChainOwner owner{KeyOwner::link, to_underlying(link.index)};
  put_chain(context_.planner, owner, receive_chain(keys));
  Chain send = send_chain(keys);
  send.wait_for_peer = true;
  put_chain(context_.planner, owner, send);
  context_.planner.notify(KeysInstalled{KeyOwner::link, owner.index, keys.key_id});
}

void Links::on_response(Link& link, const Way& way, ByteView message) {
  const auto keys = link.handshake.on_response(message, context_.now);
  if (!keys) return note(&link, keys.error());
  link.answered.reset();
  place(link, row_of(link, side_of(*keys, way)));
  const ChainOwner owner{KeyOwner::link, to_underlying(link.index)};
  put_chain(context_.planner, owner, receive_chain(*keys));
  put_chain(context_.planner, owner, send_chain(*keys));
  context_.planner.notify(KeysInstalled{KeyOwner::link, owner.index, keys->key_id});
  link.greet = keys->key_id;
  link.suite = keys->agreed.suite;
  finish(link, keys->key_id, keys->ours.parity, keys->theirs.boot_id);
}

void Links::finish(Link& link, uint64_t key_id, uint8_t parity, uint64_t peer_boot) {
  const bool first = !link.keyed;
  link.parity = parity;
  link.key_id = key_id;
  link.peer_boot = peer_boot;
  link.final_ns = context_.now;
  ++link.handshakes;
  // The lower key renews; the other one steps in when that did not happen.
  const uint64_t period = context_.config.rekey.handshake_ns;
  const bool lower = gate_.identity().dh.public_key < link.handshake.peer();
  link.renew_at = context_.now + (lower ? period : period + period / 8);
  link.want_at = link.up ? link.renew_at : std::min(link.renew_at, context_.now + kCallUnheard_ns);
  link.calls = 0;
  if (first) context_.log(LogLevel::info, "link {}: keys agreed with {}", link.own->name, link.own->peer_name);
}

void Links::on_confirmed(LinkIndex index, uint64_t key_id) {
  if (to_underlying(index) >= links_.size()) return;
  Link& link = links_[to_underlying(index)];
  if (!link.answered || link.answered->key_id != key_id || !link.handshake.confirm(key_id)) return;
  const Answered answered = *link.answered;
  link.answered.reset();
  place(link, answered.row);
  link.suite = answered.suite;
  finish(link, key_id, answered.parity, link.peer_boot);
}

void Links::installed(LinkIndex index, uint64_t key_id) {
  Link& link = links_[to_underlying(index)];
  if (link.greet == key_id) {
    link.greet = 0;
    link.keyed = true;
    context_.out.send_on_link(index, PacketType::keep_alive, {});
  } else if (link.answered && link.answered->key_id == key_id) {
    link.keyed = true;
    const Bytes reply = link.handshake.release_reply(key_id);
    if (!reply.empty()) say(link.answered->way, link.answered->peer_index, reply);
  }
}

void Links::refused(LinkIndex index) {
  if (to_underlying(index) >= links_.size()) return;
  Link& link = links_[to_underlying(index)];
  link.handshake.stop();
  link.answered.reset();
  link.greet = 0;
  link.want_at = context_.now + kAfterRefusal_ns;
}

void Links::on_state(LinkIndex index, bool up) {
  if (to_underlying(index) >= links_.size()) return;
  Link& link = links_[to_underlying(index)];
  if (link.up == up) return;
  link.up = up;
  link.changed_ns = context_.now;
  link.want_at = up ? link.renew_at : std::min(link.want_at, context_.now + kCallAfterDown_ns);
  context_.log(up ? LogLevel::info : LogLevel::warning, "link {} to {} is {}", link.own->name, link.own->peer_name,
               up ? "up" : "down");
}

void Links::tick() {
  for (Link& link : links_) {
    if (link.want_at <= context_.now && waits(link)) link.want_at = context_.now + kLookAgain_ns;
    if (link.want_at <= context_.now) {
      link.want_at = kNever;
      link.handshake.want(context_.now);
    }
    const auto deadline = link.handshake.deadline_ns();
    if (!deadline || *deadline > context_.now) continue;
    const auto message = link.handshake.on_timer(offer(link), context_.now);
    if (!message) {
      note(&link, message.error());
    } else if (!message->empty()) {
      call(link, *message);
    }
  }
}

TimeNs Links::next_deadline() const {
  TimeNs next = kNever;
  for (const Link& link : links_) next = std::min({next, link.want_at, link.handshake.deadline_ns().value_or(kNever)});
  return next;
}

std::vector<LinkSnapshot> Links::snapshot() const {
  std::vector<LinkSnapshot> rows;
  for (const Link& link : links_) {
    rows.push_back({.index = link.index,
                    .name = link.own->name,
                    .peer = link.own->peer_name,
                    .port = context_.config.ports[to_underlying(link.config->port)].name,
                    .state = !link.keyed ? "handshaking"
                             : link.up   ? "up"
                                         : "down",
                    .age_ns = context_.now - link.changed_ns,
                    .key_age_ns = link.final_ns == 0 ? 0 : context_.now - link.final_ns,
                    .key_id = link.key_id,
                    .peer_mac = link.placed ? to_string(link.row.peer_mac) : "",
                    .kind = FrameKind{link.row.kind},
                    .suite = link.suite,
                    .mtu = mtu(link.index),
                    .handshakes = link.handshakes,
                    .last_refusal = link.last_refusal});
  }
  return rows;
}

}  // namespace sky::controlplane
