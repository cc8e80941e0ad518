// Sessions, the part that agrees on keys: initiations, answers, confirmations.
#include <algorithm>
#include <cstring>

#include "controlplane/core/sessions.h"

namespace sky::controlplane {
namespace {

constexpr uint64_t kRepeatAnswer_ns = kSecondNs;
constexpr unsigned kMostRepeats = 5;
constexpr uint8_t kConfirmation = 4;

struct ConfirmationWire {
  uint8_t type = kConfirmation;
  uint8_t reserved[3]{};
  Be64 key_id;
  Mac mac;
};
static_assert(sizeof(ConfirmationWire) == 28);

Mac confirmation_mac(const Secret<32>& initiator_chain, uint64_t key_id) {
  constexpr std::string_view kWhat = "skyedge session confirm";
  const Be64 wire_id(key_id);
  std::array<uint8_t, kWhat.size() + sizeof wire_id> text;
  std::ranges::copy(kWhat, text.begin());
  std::memcpy(text.data() + kWhat.size(), &wire_id, sizeof wire_id);
  return keyed_mac(initiator_chain.bytes(), text);
}

}  // namespace

Terms Sessions::offer(const Session& session) const {
  return {.receive_index = to_underlying(session.index),
          .parity = next_parity(session.parity),
          .suites = context_.suites,
          .lanes = static_cast<uint8_t>(context_.config.dataplane.workers.size()),
          .boot_id = context_.boot_id,
          .session_id = session.id};
}

void Sessions::note(Session& session, const Refusal& refusal) {
  ++context_.handshakes_refused[to_underlying(refusal.reason)];
  if (!is_fault(refusal.reason)) return;
  session.last_refusal = fmt::format("{}: {}", name_of(refusal.reason), refusal.error.message);
  context_.log(LogLevel::warning, "session with {}: handshake refused: {}", context_.network.name_of(session.peer),
               refusal.error.message);
}

/// A fresh initiation when one is due; else the last one stands.
void Sessions::renew_initiation(Session& session) {
  session.handshake.want(context_.now);
  const auto message = session.handshake.on_timer(offer(session), context_.now);
  if (!message) {
    note(session, message.error());
  } else if (!message->empty()) {
    session.initiation = *message;
  }
  schedule(session);
}

SetupProof Sessions::prove(const Ipv6Address& peer, const Setup& setup) const {
  return find(peer)->handshake.vouch("skyedge setup v1", proven_bytes(setup));
}

Bytes Sessions::blob_for_setup(const Ipv6Address& peer) {
  Session* session = find(peer);
  if (session == nullptr || (session->keyed && !session->anew)) return {};
  renew_initiation(*session);
  return session->initiation;
}

void Sessions::begin_anew(const Ipv6Address& peer) {
  if (Session* session = find(peer)) session->anew = true;
}

void Sessions::give_way(const Ipv6Address& peer) {
  Session* session = find(peer);
  if (session == nullptr || session->keyed || session->answered) return;
  session->handshake.stop();
  session->initiation.clear();
  schedule(*session);
}

CircuitReason Sessions::on_setup_blob(const Ipv6Address& peer, ByteView blob, LinkIndex from) {
  Session* session = find(peer);
  if (session == nullptr) return CircuitReason::need_session;
  if (blob.empty()) return session->keyed || session->answered ? CircuitReason::none : CircuitReason::need_session;
  if (message_type(blob) != MessageType::initiation) return CircuitReason::malformed;
  Bytes again;
  const CircuitReason reason = on_initiation(*session, blob, from, again);
  schedule(*session);
  return reason;
}

Bytes Sessions::blob_for_reply(const Ipv6Address& peer, ByteView answered_blob) {
  Session* session = find(peer);
  if (session == nullptr || !std::ranges::equal(session->their_initiation, answered_blob)) return {};
  return session->our_reply;
}

CircuitReason Sessions::on_initiation(Session& session, ByteView message, LinkIndex from, Bytes& again) {
  if (std::ranges::equal(session.their_initiation, message)) {
    again = session.our_reply;
    return CircuitReason::none;
  }
  const auto source = __builtin_bit_cast(std::array<uint8_t, 2>, from);
  auto admitted =
      gate_.admit({.message = message, .prologue = prologue(), .source = source, .trusted = true}, context_.now);
  if (!admitted) {
    note(session, admitted.error());
    return admitted.error().reason == Reason::budget ? CircuitReason::too_fast : CircuitReason::bad_session;
  }
  auto* initiation = std::get_if<Initiation>(&*admitted);
  if (initiation == nullptr) return CircuitReason::too_fast;
  auto step = session.handshake.on_initiation(std::move(*initiation), offer(session), session.keyed, context_.now);
  if (!step) {
    note(session, step.error());
    switch (step.error().reason) {
      case Reason::ours_first:
      case Reason::stale:
        return CircuitReason::session_busy;
      case Reason::budget:
        return CircuitReason::too_fast;
      default:
        return CircuitReason::bad_session;
    }
  }
  if (!step->keys) {
    again = step->send;
    return CircuitReason::session_busy;
  }
  if (step->keys->theirs.session_id != session.id) {
    session.handshake.stop();
    return CircuitReason::bad_session;
  }
  answer(session, *step->keys, message);
  return CircuitReason::none;
}

void Sessions::answer(Session& session, const Keys& keys, ByteView message) {
  session.peer_lanes = keys.theirs.lanes;
  session.their_initiation.assign(message.begin(), message.end());
  session.our_reply.clear();
  session.answered = Answered{.key_id = keys.key_id,
                              .parity = keys.ours.parity,
                              .confirmation = confirmation_mac(keys.rx_chain, keys.key_id),
                              .send = send_chain(keys)};
  const ChainOwner owner{KeyOwner::session, to_underlying(session.index)};
  put_chain(context_.planner, owner, receive_chain(keys));
  if (!session.keyed) {
    put_chain(context_.planner, owner, *session.answered->send);
    session.answered->send.reset();
  }
  context_.planner.notify(KeysInstalled{KeyOwner::session, owner.index, keys.key_id});
}

void Sessions::on_reply_blob(const Ipv6Address& peer, ByteView blob) {
  Session* session = find(peer);
  if (session == nullptr || message_type(blob) != MessageType::response) return;
  on_response(*session, blob);
  schedule(*session);
}

void Sessions::on_response(Session& session, ByteView message) {
  if (std::ranges::equal(session.their_reply, message)) {
    if (session.greet == 0) send_over_(session.peer, session.our_confirmation);
    return;
  }
  const auto keys = session.handshake.on_response(message, context_.now);
  if (!keys) return note(session, keys.error());
  const ChainOwner owner{KeyOwner::session, to_underlying(session.index)};
  put_chain(context_.planner, owner, receive_chain(*keys));
  put_chain(context_.planner, owner, send_chain(*keys));
  context_.planner.notify(KeysInstalled{KeyOwner::session, owner.index, keys->key_id});
  session.peer_lanes = keys->theirs.lanes;
  session.answered.reset();
  session.their_reply.assign(message.begin(), message.end());
  session.our_confirmation =
      to_bytes(ConfirmationWire{.key_id = Be64(keys->key_id), .mac = confirmation_mac(keys->tx_chain, keys->key_id)});
  session.greet = keys->key_id;
  session.keyed = true;
  finish(session, keys->key_id, keys->ours.parity);
}

void Sessions::finish(Session& session, uint64_t key_id, uint8_t parity) {
  session.parity = parity;
  session.key_id = key_id;
  session.anew = false;
  session.traffic = false;
  session.initiation.clear();
  session.final_ns = context_.now;
  ++session.handshakes;
  ++context_.session_handshakes;
  const uint64_t period = context_.config.rekey.handshake_ns;
  session.renew_at = context_.now + (is_lower(session) ? period : period + period / 8);
  if (session.handshakes == 1) {
    context_.log(LogLevel::info, "session with {}: keys agreed", context_.network.name_of(session.peer));
  }
}

void Sessions::confirmed(Session& session) {
  const Answered answered = std::move(*session.answered);
  session.answered.reset();
  if (!session.handshake.confirm(answered.key_id)) return;
  if (answered.send) put_chain(context_.planner, {KeyOwner::session, to_underlying(session.index)}, *answered.send);
  finish(session, answered.key_id, answered.parity);
  schedule(session);
}

void Sessions::on_confirmed(SessionIndex index, uint64_t key_id) {
  Session* session = find(index);
  if (session != nullptr && session->answered && session->answered->key_id == key_id) confirmed(*session);
}

void Sessions::on_packet(const Ipv6Address& peer, ByteView message, LinkIndex from) {
  Session* session = find(peer);
  if (session == nullptr) return;
  if (message.size() == sizeof(ConfirmationWire) && message[0] == kConfirmation) {
    ConfirmationWire wire;
    std::memcpy(&wire, message.data(), sizeof wire);
    const auto& answered = session->answered;
    if (answered && answered->key_id == wire.key_id.get() && equal(answered->confirmation, wire.mac))
      confirmed(*session);
    return;
  }
  const auto type = message_type(message);
  if (type == MessageType::initiation) {
    Bytes again;
    if (on_initiation(*session, message, from, again) == CircuitReason::none && session->answered) {
      session->answered->by_packet = true;
    }
    if (!again.empty()) send_over_(peer, again);
  } else if (type == MessageType::response) {
    on_response(*session, message);
  }
  schedule(*session);
}

void Sessions::on_link_up() {
  for (const auto& [peer, session] : sessions_) {
    if (!session.keyed && !session.initiation.empty()) send_over_(peer, session.initiation);
    // The link may be up at the other end first, and bring an initiation that could not be answered.
    if (session.answered && session.answered->by_packet && !session.our_reply.empty())
      send_over_(peer, session.our_reply);
  }
}

void Sessions::installed(SessionIndex index, uint64_t key_id) {
  Session* session = find(index);
  if (session == nullptr) return;
  if (session->greet == key_id) {
    greet(*session);
  } else if (session->answered && session->answered->key_id == key_id) {
    session->keyed = true;
    session->answered->repeat_at = context_.now + kRepeatAnswer_ns;
    session->our_reply = session->handshake.release_reply(key_id);
    if (session->answered->by_packet) send_over_(session->peer, session->our_reply);
  }
  schedule(*session);
}

void Sessions::greet(Session& session) {
  if (send_over_(session.peer, session.our_confirmation)) session.greet = 0;
}

void Sessions::on_circuit(const Ipv6Address& peer) {
  Session* session = find(peer);
  if (session != nullptr && session->greet != 0) greet(*session);
}

void Sessions::refused(SessionIndex index) {
  Session* session = find(index);
  if (session == nullptr) return;
  session->handshake.stop();
  session->answered.reset();
  session->their_initiation.clear();
  session->their_reply.clear();
  session->initiation.clear();
  session->greet = 0;
  schedule(*session);
}

void Sessions::repeat_answer(Session& session) {
  Answered& answered = *session.answered;
  if (answered.repeats == kMostRepeats) {
    answered.repeat_at = kNever;
    return;
  }
  answered.repeat_at = context_.now + (kRepeatAnswer_ns << answered.repeats++);
  send_over_(session.peer, session.our_reply);
}

void Sessions::tick(Session& session) {
  if (session.answered && session.answered->repeat_at <= context_.now) repeat_answer(session);
  if (session.keyed && session.traffic && session.renew_at <= context_.now) {
    session.traffic = false;
    session.handshake.want(context_.now);
  }
  const auto deadline = session.handshake.deadline_ns();
  if (deadline && *deadline <= context_.now) {
    renew_initiation(session);
    send_over_(session.peer, session.initiation);
  }
  schedule(session);
}

}  // namespace sky::controlplane
