#include "controlplane/session/gate.h"

namespace sky::controlplane {
namespace {

constexpr uint64_t kCookieSecretLife_ns = 120'000'000'000;
constexpr size_t kSourceRations = 256;

}  // namespace

const char* name_of(Reason reason) {
  switch (reason) {
    case Reason::malformed:
      return "malformed";
    case Reason::mac1:
      return "mac1";
    case Reason::budget:
      return "budget";
    case Reason::seal:
      return "seal";
    case Reason::unknown_peer:
      return "unknown_peer";
    case Reason::mismatch:
      return "mismatch";
    case Reason::stale:
      return "stale";
    case Reason::ours_first:
      return "ours_first";
    case Reason::unexpected:
      return "unexpected";
  }
  return "?";
}

HandshakeGate::HandshakeGate(Identity identity, Random& random, GateLimits limits)
    : identity_(std::move(identity)),
      macs_(MacKeys::of(identity_.dh.public_key)),
      random_(random),
      unproven_(limits.unproven),
      proven_(limits.proven),
      sources_(kSourceRations, Ration(limits.per_source)) {
  random_.fill(hash_key_);
}

Mac HandshakeGate::cookie_for(ByteView source, uint64_t now_ns) {
  if (now_ns >= renew_secret_ns_) {
    random_.fill(cookie_secret_.bytes());
    renew_secret_ns_ = now_ns + kCookieSecretLife_ns;
  }
  return keyed_mac(cookie_secret_.bytes(), source);
}

Ration& HandshakeGate::ration_of(ByteView source) {
  std::array<uint8_t, crypto_shorthash_BYTES> hash;
  crypto_shorthash(hash.data(), source.data(), source.size(), hash_key_.data());
  static_assert(kSourceRations == 256, "one byte of the hash is the index");
  return sources_[hash[0]];
}

CookieReply HandshakeGate::cookie_reply(const InitiationMessage& message, const Mac& cookie) {
  std::array<uint8_t, sizeof(CookieMessage::nonce)> nonce;
  random_.fill(nonce);
  return {to_bytes(seal_cookie(cookie, macs_, message, nonce))};
}

Outcome<std::variant<Initiation, CookieReply>> HandshakeGate::admit(const Arrival& arrival, uint64_t now_ns) {
  const auto message = parse<InitiationMessage>(arrival.message);
  if (!message) return refuse(Reason::malformed, message.error());
  if (!is_for_us(arrival.message)) {
    return refuse(Reason::mac1, {"handshake message 1: found a mac1 for another key, wanted one for this node's"});
  }
  const Mac cookie = cookie_for(arrival.source, now_ns);
  const bool proven = arrival.trusted || mac2_holds(arrival.message, cookie);
  if (!proven && !unproven_.take(now_ns)) return cookie_reply(*message, cookie);
  if (proven && !(ration_of(arrival.source).take(now_ns) && proven_.take(now_ns))) {
    return refuse(Reason::budget, {"handshake message 1: found more than the ration, wanted fewer a second"});
  }
  auto noise = noise::HandshakeState::responder(arrival.prologue.bytes(), identity_.dh);
  const auto identity = ByteView(message->body).first(noise::kIdentityBytes);
  if (auto read = noise.read_identity(identity); !read) return refuse(Reason::seal, read.error());
  return Initiation{.noise = std::move(noise),
                    .message = *message,
                    .scope = arrival.prologue.scope,
                    .cookie = cookie,
                    .proven = proven};
}

}  // namespace sky::controlplane
