#include "controlplane/session/handshake.h"

#include <algorithm>
#include <cassert>

namespace sky::controlplane {
namespace {

constexpr uint64_t kFirstRetry_ns = 1'000'000'000;
constexpr uint64_t kLastRetry_ns = 30'000'000'000;
constexpr uint64_t kCookieLife_ns = 120'000'000'000;
constexpr uint64_t kResendGap_ns = 100'000'000;
constexpr Rate kAnswers{10, 20};
constexpr Rate kResponses{10, 20};

Keys make_keys(const noise::HandshakeState& noise, bool initiator, const PublicKey& peer, const Terms& ours,
               const Terms& theirs, Agreed agreed) {
  noise::TransportKeys split = noise.split();
  auto& tx = initiator ? split.initiator_to_responder : split.responder_to_initiator;
  auto& rx = initiator ? split.responder_to_initiator : split.initiator_to_responder;
  Be64 key_id;
  std::memcpy(&key_id, noise.hash().data(), sizeof key_id);
  return {.tx_chain = std::move(tx),
          .rx_chain = std::move(rx),
          .peer = peer,
          .ours = ours,
          .theirs = theirs,
          .agreed = agreed,
          .handshake_hash = noise.hash(),
          .key_id = key_id.get(),
          .initiator = initiator};
}

}  // namespace

Handshake::Handshake(HandshakeGate& gate, const Peer& peer, const noise::PublicDh& peer_dh, noise::SecretDh shared)
    : gate_(&gate),
      peer_(peer),
      peer_dh_(peer_dh),
      peer_macs_(MacKeys::of(peer_dh)),
      static_shared_(std::move(shared)),
      answers_(kAnswers),
      responses_(kResponses),
      run_(gate.random().nonzero<uint32_t>()) {}

Result<Handshake> Handshake::create(HandshakeGate& gate, const Peer& peer) {
  if (peer.key == gate.identity().key) {
    return fail("handshake: found this node's own key as the peer's, wanted another node's");
  }
  const auto peer_dh = dh_key_of(peer.key);
  if (!peer_dh) return std::unexpected(peer_dh.error());
  auto shared = noise::agree(gate.identity().dh.secret, *peer_dh);
  if (!shared) return std::unexpected(shared.error());
  return Handshake(gate, peer, *peer_dh, std::move(*shared));
}

Mac Handshake::vouch(std::string_view domain, ByteView bytes) const {
  const std::span name(reinterpret_cast<const uint8_t*>(domain.data()), domain.size());
  Secret<32> key;
  crypto_generichash(key.bytes().data(), key.bytes().size(), name.data(), name.size(), static_shared_.bytes().data(),
                     static_shared_.bytes().size());
  return keyed_mac(key.bytes(), bytes);
}

void Handshake::want(uint64_t now_ns) {
  if (wanted_) return;
  wanted_ = true;
  tries_ = 0;
  due_ns_ = now_ns;
}

void Handshake::stop() {
  wanted_ = false;
  initiated_.reset();
  answered_.reset();
}

std::optional<uint64_t> Handshake::deadline_ns() const {
  return wanted_ ? std::optional(due_ns_) : std::nullopt;
}

uint64_t Handshake::retry_interval_ns() {
  const uint64_t whole_ns = std::min(kFirstRetry_ns << std::min(tries_, 5u), kLastRetry_ns);
  return whole_ns - gate_->random().number<uint64_t>() % (whole_ns / 4);
}

noise::KeyPair Handshake::ephemeral() {
  noise::SecretDh secret;
  gate_->random().fill(secret.bytes());
  return noise::KeyPair::from_secret(secret);
}

std::optional<Mac> Handshake::cookie(uint64_t now_ns) const {
  return cookie_ && now_ns < cookie_->until_ns ? std::optional(cookie_->value) : std::nullopt;
}

void Handshake::next_attempt() {
  if (++attempt_ != 0) return;
  run_ = gate_->random().nonzero<uint32_t>();
  attempt_ = 1;
}

Outcome<Bytes> Handshake::on_timer(const Terms& offer, uint64_t now_ns) {
  if (!wanted_ || now_ns < due_ns_) return Bytes{};
  due_ns_ = now_ns + retry_interval_ns();
  ++tries_;
  next_attempt();
  Terms ours = offer;
  ours.run = run_;
  ours.attempt = attempt_;
  InitiationMessage message{.sender = Be32(gate_->random().nonzero<uint32_t>())};
  auto noise = noise::HandshakeState::initiator(peer_.prologue.bytes(), gate_->identity().dh, peer_dh_);
  if (auto written = noise.write_initiation(ephemeral(), static_shared_, encode(ours), message.body); !written) {
    return refuse(Reason::seal, written.error());
  }
  Bytes bytes = to_bytes(message);
  write_macs(bytes, peer_macs_, cookie(now_ns));
  initiated_.emplace(Initiated{.noise = std::move(noise),
                               .index = message.sender.get(),
                               .offer = ours,
                               .message = bytes,
                               .sent_ns = now_ns,
                               .proved = false});
  return bytes;
}

Outcome<Terms> Handshake::read_terms(Initiation& arrived) const {
  assert(arrived.scope == peer_.prologue.scope);
  if (arrived.peer() != peer_dh_) {
    return refuse(Reason::unknown_peer, {"handshake message 1: found another node's key, wanted this peer's"});
  }
  std::array<uint8_t, kTermsBytes> payload;
  const auto sealed = ByteView(arrived.message.body).subspan(noise::kIdentityBytes);
  if (auto read = arrived.noise.read_payload(static_shared_, sealed, payload); !read) {
    return refuse(Reason::seal, read.error());
  }
  auto terms = decode(payload);
  if (!terms) return refuse(Reason::malformed, terms.error());
  return *terms;
}

Outcome<Agreed> Handshake::check(const Terms& ours, const Terms& theirs) const {
  const bool session = peer_.prologue.scope == Prologue::Scope::session;
  if ((theirs.session_id != 0) != session) {
    return refuse(Reason::mismatch, {fmt::format("handshake session ID: found {:#x}, wanted {}", theirs.session_id,
                                                 session ? "one of a session" : "zero, for a link")});
  }
  const auto agreed = negotiate(ours, theirs);
  if (!agreed) return refuse(Reason::mismatch, agreed.error());
  return *agreed;
}

bool Handshake::is_stale(const Terms& theirs) const {
  return std::ranges::any_of(
      seen_, [&](const Seen& seen) { return seen.run == theirs.run && theirs.attempt <= seen.attempt; });
}

void Handshake::note(const Terms& theirs) {
  auto same_run = std::ranges::find(seen_, theirs.run, &Seen::run);
  if (same_run == seen_.end()) {
    same_run = seen_.begin() + static_cast<ptrdiff_t>(oldest_seen_);
    oldest_seen_ = (oldest_seen_ + 1) % seen_.size();
  }
  *same_run = {theirs.run, theirs.attempt};
}

Outcome<Step> Handshake::on_stale(const Terms& theirs) const {
  const bool repeated = answered_ && answered_->run == theirs.run && answered_->attempt == theirs.attempt;
  if (repeated && answered_->released) return Step{.send = answered_->reply};
  return refuse(Reason::stale,
                {fmt::format("handshake message 1: found attempt {} of a run, wanted a later one", theirs.attempt)});
}

Outcome<Step> Handshake::on_crossing(uint64_t now_ns) {
  if (now_ns - initiated_->sent_ns < kResendGap_ns) {
    return refuse(Reason::ours_first, {"handshake message 1: found one that crossed ours, wanted an answer to ours"});
  }
  initiated_->sent_ns = now_ns;
  return Step{.send = initiated_->message};
}

Outcome<Step> Handshake::on_initiation(Initiation arrived, const Terms& offer, bool live, uint64_t now_ns) {
  const auto theirs = read_terms(arrived);
  if (!theirs) return std::unexpected(theirs.error());
  const auto agreed = check(offer, *theirs);
  if (!agreed) return std::unexpected(agreed.error());
  if (is_stale(*theirs)) return on_stale(*theirs);
  if (initiated_ && gate_->identity().dh.public_key < peer_dh_) return on_crossing(now_ns);
  if (!arrived.proven && (live || initiated_ || answered_)) {
    return Step{.send = gate_->cookie_reply(arrived.message, arrived.cookie).message};
  }
  if (!answers_.take(now_ns)) {
    return refuse(Reason::budget, {"handshake message 1: found more than this peer's ration, wanted fewer a second"});
  }
  return answer(std::move(arrived), offer, *theirs, *agreed, now_ns);
}

Outcome<Step> Handshake::answer(Initiation arrived, const Terms& offer, const Terms& theirs, Agreed agreed,
                                uint64_t now_ns) {
  Terms ours = offer;
  ours.session_id = theirs.session_id;
  ours.run = 0;
  ours.attempt = 0;
  ResponseMessage message{.sender = Be32(gate_->random().nonzero<uint32_t>()), .receiver = arrived.message.sender};
  if (auto written = arrived.noise.write_response(ephemeral(), peer_.pre_shared, encode(ours), message.body);
      !written) {
    return refuse(Reason::seal, written.error());
  }
  Bytes reply = to_bytes(message);
  write_macs(reply, peer_macs_, cookie(now_ns));
  Keys keys = make_keys(arrived.noise, false, peer_.key, ours, theirs, agreed);
  note(theirs);
  initiated_.reset();
  if (wanted_) due_ns_ = now_ns + retry_interval_ns();
  answered_ = Answered{.key_id = keys.key_id,
                       .run = theirs.run,
                       .attempt = theirs.attempt,
                       .reply = std::move(reply),
                       .released = false};
  return Step{.keys = std::move(keys), .send = {}};
}

Bytes Handshake::release_reply(uint64_t key_id) {
  if (!answered_ || answered_->key_id != key_id) return {};
  answered_->released = true;
  return answered_->reply;
}

Outcome<Keys> Handshake::on_response(ByteView bytes, uint64_t now_ns) {
  const auto message = parse<ResponseMessage>(bytes);
  if (!message) return refuse(Reason::malformed, message.error());
  if (!expects(message->receiver.get())) {
    return refuse(Reason::unexpected, {"handshake message 2: found an answer to no pending initiation of ours"});
  }
  if (!gate_->is_for_us(bytes)) {
    return refuse(Reason::mac1, {"handshake message 2: found a mac1 for another key, wanted one for this node's"});
  }
  if (!responses_.take(now_ns)) {
    return refuse(Reason::budget, {"handshake message 2: found more than this peer's ration, wanted fewer a second"});
  }
  noise::HandshakeState noise = initiated_->noise;  // a forged answer must not spoil the pending one
  std::array<uint8_t, kTermsBytes> payload;
  if (auto read = noise.read_response(peer_.pre_shared, message->body, payload); !read) {
    return refuse(Reason::seal, read.error());
  }
  const auto theirs = decode(payload);
  if (!theirs) return refuse(Reason::malformed, theirs.error());
  const Terms& ours = initiated_->offer;
  if (theirs->session_id != ours.session_id) {
    return refuse(Reason::mismatch, {fmt::format("handshake session ID: found {:#x} in the answer, wanted {:#x}",
                                                 theirs->session_id, ours.session_id)});
  }
  const auto agreed = check(ours, *theirs);
  if (!agreed) return std::unexpected(agreed.error());
  Keys keys = make_keys(noise, true, peer_.key, ours, *theirs, *agreed);
  stop();
  return keys;
}

Outcome<Bytes> Handshake::on_cookie(ByteView bytes, uint64_t now_ns) {
  const auto message = parse<CookieMessage>(bytes);
  if (!message) return refuse(Reason::malformed, message.error());
  if (!expects(message->receiver.get()) || initiated_->proved) {
    return refuse(Reason::unexpected, {"handshake cookie: found an answer to no pending initiation of ours"});
  }
  const auto value = open_cookie(*message, peer_macs_, mac1_of(initiated_->message));
  if (!value) return refuse(Reason::seal, {"handshake cookie: found a seal that does not hold, wanted the peer's"});
  cookie_ = Cookie{.value = *value, .until_ns = now_ns + kCookieLife_ns};
  initiated_->proved = true;
  initiated_->sent_ns = now_ns;
  write_macs(initiated_->message, peer_macs_, *value);
  return initiated_->message;
}

bool Handshake::confirm(uint64_t key_id) {
  if (!answered_ || answered_->key_id != key_id) return false;
  stop();
  return true;
}

}  // namespace sky::controlplane
