#include "controlplane/core/sessions.h"

#include <algorithm>
#include <cstring>
#include <ranges>

namespace sky::controlplane {
namespace {

constexpr uint8_t kBothKeys = 3;
constexpr std::string_view kIdDomain = "skyedge session v1";
/// A neighbour's ration of initiations: those of all nodes behind it.
constexpr GateLimits kLimits{.unproven = {1, 1}, .proven = {1000, 1000}, .per_source = {200, 200}};

uint64_t session_id(const Ipv6Address& one, const Ipv6Address& other) {
  crypto_generichash_state state;
  crypto_generichash_init(&state, nullptr, 0, crypto_generichash_BYTES);
  crypto_generichash_update(&state, reinterpret_cast<const uint8_t*>(kIdDomain.data()), kIdDomain.size());
  for (const Ipv6Address& each : {std::min(one, other), std::max(one, other)}) {
    crypto_generichash_update(&state, each.data(), each.size());
  }
  std::array<uint8_t, crypto_generichash_BYTES> hash;
  crypto_generichash_final(&state, hash.data(), hash.size());
  Be64 first;
  std::memcpy(&first, hash.data(), sizeof first);
  return std::max<uint64_t>(first.get(), 1);
}

}  // namespace

Sessions::Sessions(Context& context, const Identity& identity)
    : context_(context), gate_(identity, context.random, kLimits) {}

Sessions::Session* Sessions::find(const Ipv6Address& peer) {
  const auto found = sessions_.find(peer);
  return found == sessions_.end() ? nullptr : &found->second;
}

const Sessions::Session* Sessions::find(const Ipv6Address& peer) const {
  return const_cast<Sessions*>(this)->find(peer);
}

Sessions::Session* Sessions::find(SessionIndex index) {
  const auto found = by_index_.find(index);
  return found == by_index_.end() ? nullptr : find(found->second);
}

std::optional<Ipv6Address> Sessions::peer_of(SessionIndex index) const {
  const auto found = by_index_.find(index);
  return found == by_index_.end() ? std::nullopt : std::optional(found->second);
}

std::optional<SessionIndex> Sessions::free_index() {
  while (by_index_.contains(SessionIndex{first_free_})) ++first_free_;
  // An index is free again when the dataplane has let go of the former session and its keys.
  uint32_t index = first_free_;
  while (by_index_.contains(SessionIndex{index}) || context_.planner.knows(session_key(SessionIndex{index}))) ++index;
  return index < context_.config.dataplane.sizes.sessions ? std::optional(SessionIndex{index}) : std::nullopt;
}

Sessions::Session* Sessions::make(const Ipv6Address& peer, SessionIndex index) {
  const auto node = context_.network.find_node(peer);
  if (!node) return nullptr;
  auto handshake = Handshake::create(
      gate_, {.key = context_.network.topology().at(*node).key, .pre_shared = {}, .prologue = prologue()});
  if (!handshake) return nullptr;
  Session session{.peer = peer,
                  .index = index,
                  .id = session_id(context_.network.address(), peer),
                  .handshake = std::move(*handshake),
                  .next_stream = static_cast<uint16_t>(context_.random.number<uint16_t>() % (kStreams / 2) /
                                                       kStreamsPerCircuit * kStreamsPerCircuit)};
  by_index_.emplace(index, peer);
  return &sessions_.emplace(peer, std::move(session)).first->second;
}

void Sessions::put_row(const Session& session) {
  const auto node = context_.network.find_node(session.peer);
  context_.planner.put(SessionMessage{.session = session.index,
                                      .session_id = session.id,
                                      .domain = node ? context_.network.domain_of(*node).as_number : 0,
                                      .cookie = session.id,
                                      .peer = session.peer});
}

void Sessions::adopt(const SessionMessage& row) {
  if (by_index_.contains(row.session) || sessions_.contains(row.peer)) return;
  Session* session = make(row.peer, row.session);
  if (session == nullptr) return;
  session->parity = row.rx_parity;
  put_row(*session);
}

void Sessions::attached(const std::map<SessionIndex, SessionMessage>& standing) {
  for (Session& session : sessions_ | std::views::values) {
    const auto row = standing.find(session.index);
    session.keyed =
        row != standing.end() && row->second.session_id == session.id && (row->second.keyed & kBothKeys) == kBothKeys;
    if (!session.keyed) {
      session.parity.reset();
      session.handshake.want(context_.now);
    } else {
      session.parity = row->second.rx_parity;  // chains that were on their way may not have come through
      if (session.renew_at == kNever) session.renew_at = context_.now + context_.config.rekey.handshake_ns;
    }
    schedule(session);
  }
}

void Sessions::detached() {
  for (Session& session : sessions_ | std::views::values) {
    session.handshake.stop();
    session.answered.reset();
    session.greet = 0;
    session.initiation.clear();
    session.their_initiation.clear();
    session.their_reply.clear();
    session.our_confirmation.clear();
  }
}

void Sessions::drop_unused() {
  std::erase_if(sessions_, [&](const auto& each) {
    const Session& session = each.second;
    if (session.circuits != 0) return false;
    context_.planner.erase(session_key(session.index));
    by_index_.erase(session.index);
    first_free_ = std::min(first_free_, to_underlying(session.index));
    return true;
  });
}

bool Sessions::acquire(const Ipv6Address& peer) {
  Session* session = find(peer);
  if (session == nullptr) {
    const auto index = free_index();
    session = index ? make(peer, *index) : nullptr;
    if (session == nullptr) return false;
    put_row(*session);
  }
  ++session->circuits;
  return true;
}

void Sessions::release(const Ipv6Address& peer) {
  Session* session = find(peer);
  if (session == nullptr || --session->circuits != 0) return;
  context_.planner.erase(session_key(session->index));
  deadlines_.erase(peer);
  by_index_.erase(session->index);
  first_free_ = std::min(first_free_, to_underlying(session->index));
  sessions_.erase(peer);
}

std::optional<uint16_t> Sessions::take_streams(const Ipv6Address& peer) {
  Session* session = find(peer);
  if (session == nullptr) return std::nullopt;
  // In turn from anywhere: the other end may not know yet that a circuit is over, or that this node forgot it.
  constexpr uint16_t kHalf = kStreams / 2;
  const uint16_t first = is_lower(*session) ? 0 : kHalf;
  for (unsigned tries = 0; tries < kHalf / kStreamsPerCircuit; ++tries) {
    const auto stream = static_cast<uint16_t>(first + session->next_stream);
    session->next_stream = (session->next_stream + kStreamsPerCircuit) % kHalf;
    if (session->send_streams.contains(stream) || session->receive_streams.contains(stream)) continue;
    session->send_streams.insert(stream);
    session->receive_streams.insert(stream);
    return stream;
  }
  return std::nullopt;
}

bool Sessions::claim_streams(const Ipv6Address& peer, uint16_t send, uint16_t receive) {
  Session* session = find(peer);
  if (session == nullptr || session->send_streams.contains(send) || session->receive_streams.contains(receive))
    return false;
  session->send_streams.insert(send);
  session->receive_streams.insert(receive);
  return true;
}

void Sessions::free_streams(const Ipv6Address& peer, uint16_t send, uint16_t receive) {
  if (Session* session = find(peer)) {
    session->send_streams.erase(send);
    session->receive_streams.erase(receive);
  }
}

uint64_t Sessions::window_bytes(const Session& session, const CopiedStreams& copied) const {
  constexpr unsigned kKeySlots = 4;  // a window for each
  if (copied.window == kLeastCopyWindow || is_ours(session, copied.stream)) return 0;
  return (kKeySlots << copied.window) / 8 * peer_lanes(session.peer);
}

std::optional<CopiedStreams> Sessions::copied_streams(const Ipv6Address& peer, uint8_t window) {
  Session* session = find(peer);
  if (session == nullptr) return std::nullopt;
  if (session->copies.window < window) {
    const auto stream = take_streams(peer);
    if (!stream) return std::nullopt;
    session->copies = {.stream = *stream, .window = window};
    session->copied[*stream] = {.window = window};
  }
  return session->copies;
}

bool Sessions::claim_copied(const Ipv6Address& peer, const CopiedStreams& copied, uint8_t worker) {
  Session* session = find(peer);
  if (session == nullptr) return false;
  const auto standing = session->copied.find(copied.stream);
  if (standing != session->copied.end()) {
    if (standing->second.window != copied.window) return false;
    ++standing->second.circuits;
    return true;
  }
  const bool ours = is_ours(*session, copied.stream);
  const uint64_t bytes = window_bytes(*session, copied);
  // Half of it: windows that nobody names any more live on until their keys go.
  if (copy_windows_bytes_ + bytes > context_.config.dataplane.sizes.copy_windows_bytes / 2) return false;
  if (session->receive_streams.contains(copied.stream) || (ours && session->send_streams.contains(copied.stream)))
    return false;
  session->receive_streams.insert(copied.stream);
  if (ours) session->send_streams.insert(copied.stream);
  if (ours && session->copies.window < copied.window) session->copies = copied;  // adopted
  session->copied[copied.stream] = {.circuits = 1, .window = copied.window, .worker = worker, .bytes = bytes};
  copy_windows_bytes_ += bytes;
  return true;
}

void Sessions::free_copied(const Ipv6Address& peer, const CopiedStreams& copied) {
  Session* session = find(peer);
  if (session == nullptr || !session->copied.contains(copied.stream)) return;
  const CopyUse& use = session->copied.at(copied.stream);
  if (use.circuits > 1) {
    --session->copied.at(copied.stream).circuits;
    return;
  }
  copy_windows_bytes_ -= use.bytes;
  session->copied.erase(copied.stream);
  session->receive_streams.erase(copied.stream);
  if (!is_ours(*session, copied.stream)) return;
  session->send_streams.erase(copied.stream);
  if (session->copies == copied) session->copies = {};
}

uint8_t Sessions::copied_worker(const Ipv6Address& peer, const CopiedStreams& copied) const {
  const Session* session = find(peer);
  if (session == nullptr || !session->copied.contains(copied.stream)) return 0;
  return session->copied.at(copied.stream).worker;
}

void Sessions::set_peer_lanes(const Ipv6Address& peer, uint16_t lanes) {
  if (Session* session = find(peer)) session->peer_lanes = lanes;
}

bool Sessions::usable(const Ipv6Address& peer) const {
  const Session* session = find(peer);
  return session != nullptr && session->keyed;
}

SessionIndex Sessions::index_of(const Ipv6Address& peer) const {
  const Session* session = find(peer);
  return session == nullptr ? kNoSession : session->index;
}

uint16_t Sessions::peer_lanes(const Ipv6Address& peer) const {
  const Session* session = find(peer);
  return session == nullptr ? 1 : std::clamp<uint16_t>(session->peer_lanes, 1, kStreamsPerCircuit);
}

void Sessions::on_traffic(const Ipv6Address& peer) {
  Session* session = find(peer);
  if (session == nullptr || session->traffic) return;
  session->traffic = true;
  schedule(*session);
}

void Sessions::schedule(const Session& session) {
  TimeNs next = session.handshake.deadline_ns().value_or(kNever);
  if (session.answered) next = std::min(next, session.answered->repeat_at);
  if (session.keyed && session.traffic) next = std::min(next, session.renew_at);
  deadlines_.set(session.peer, next);
}

void Sessions::tick() {
  for (const Ipv6Address& peer : deadlines_.take_due(context_.now)) {
    if (Session* session = find(peer)) tick(*session);
  }
}

std::vector<SessionSnapshot> Sessions::snapshot() const {
  std::vector<SessionSnapshot> rows;
  for (const Session& session : sessions_ | std::views::values) {
    rows.push_back({.index = session.index,
                    .peer = context_.network.name_of(session.peer),
                    .state = !session.keyed     ? "handshaking"
                             : session.answered ? "answered"
                                                : "up",
                    .session_id = session.id,
                    .key_id = session.key_id,
                    .key_age_ns = session.final_ns == 0 ? 0 : context_.now - session.final_ns,
                    .handshakes = session.handshakes,
                    .circuits = session.circuits,
                    .last_refusal = session.last_refusal});
  }
  return rows;
}

}  // namespace sky::controlplane
