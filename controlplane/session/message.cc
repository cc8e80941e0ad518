#include "controlplane/session/message.h"

#include <algorithm>

#include "dataplane/protocol/frame.h"

namespace sky::controlplane {
namespace {

struct WireTerms {
  Be32 receive_index;
  uint8_t parity;
  uint8_t suites;
  uint8_t least_kind;
  uint8_t lanes;
  uint8_t version_min;
  uint8_t version_max;
  Be64 boot_id;
  Be64 session_id;
  Be32 run;
  Be16 attempt;
};
static_assert(sizeof(WireTerms) == kTermsBytes);

std::array<uint8_t, 32> derive(std::string_view label, const noise::PublicDh& key) {
  std::array<uint8_t, 32> out;
  crypto_generichash_state state;
  crypto_generichash_init(&state, nullptr, 0, out.size());
  crypto_generichash_update(&state, reinterpret_cast<const uint8_t*>(label.data()), label.size());
  crypto_generichash_update(&state, key.data(), key.size());
  crypto_generichash_final(&state, out.data(), out.size());
  return out;
}

constexpr size_t kMac = sizeof(Mac);

Mac mac_at(ByteView message, size_t offset) {
  Mac mac;
  std::ranges::copy(message.subspan(offset, kMac), mac.begin());
  return mac;
}

}  // namespace

Bytes Prologue::bytes() const {
  const std::string_view name = scope == Scope::link ? "skyedge link v1" : "skyedge session v1";
  Bytes out(name.begin(), name.end());
  out.insert(out.end(), header.begin(), header.end());
  out.push_back(carrier);
  return out;
}

Result<Agreed> negotiate(const Terms& ours, const Terms& theirs) {
  const unsigned suites = ours.suites & theirs.suites & kAllSuites;
  if (suites == 0) {
    return fail("handshake suites: found {:#04x} at the peer, wanted one of ours, {:#04x}", theirs.suites, ours.suites);
  }
  const uint8_t version = std::min(ours.version_max, theirs.version_max);
  if (version < std::max(ours.version_min, theirs.version_min)) {
    return fail("handshake version: found {} to {} at the peer, wanted one of ours, {} to {}", theirs.version_min,
                theirs.version_max, ours.version_min, ours.version_max);
  }
  return Agreed{.suite = Suite{static_cast<uint8_t>(suites & -suites)},
                .version = version,
                .least_kind = std::min(ours.least_kind, theirs.least_kind)};
}

std::array<uint8_t, kTermsBytes> encode(const Terms& terms) {
  const WireTerms wire{.receive_index = Be32(terms.receive_index),
                       .parity = terms.parity,
                       .suites = terms.suites,
                       .least_kind = terms.least_kind,
                       .lanes = terms.lanes,
                       .version_min = terms.version_min,
                       .version_max = terms.version_max,
                       .boot_id = Be64(terms.boot_id),
                       .session_id = Be64(terms.session_id),
                       .run = Be32(terms.run),
                       .attempt = Be16(terms.attempt)};
  return std::bit_cast<std::array<uint8_t, kTermsBytes>>(wire);
}

Result<Terms> decode(std::span<const uint8_t, kTermsBytes> bytes) {
  WireTerms wire;
  std::memcpy(&wire, bytes.data(), sizeof wire);
  if (wire.parity > 1) return fail("handshake parity: found {}, wanted 0 or 1", wire.parity);
  if (wire.suites == 0) return fail("handshake suites: found none, wanted at least one");
  if (wire.least_kind > static_cast<uint8_t>(FrameKind::clear)) {
    return fail("handshake least kind: found {}, wanted 0, 1 or 2", wire.least_kind);
  }
  if (wire.lanes == 0 || wire.lanes > kMaxLanes) {
    return fail("handshake lanes: found {}, wanted 1 to {}", wire.lanes, kMaxLanes);
  }
  if (wire.version_min > wire.version_max) {
    return fail("handshake version: found {} to {}, wanted a range", wire.version_min, wire.version_max);
  }
  return Terms{.receive_index = wire.receive_index.get(),
               .parity = wire.parity,
               .suites = wire.suites,
               .least_kind = wire.least_kind,
               .lanes = wire.lanes,
               .version_min = wire.version_min,
               .version_max = wire.version_max,
               .boot_id = wire.boot_id.get(),
               .session_id = wire.session_id.get(),
               .run = wire.run.get(),
               .attempt = wire.attempt.get()};
}

std::optional<MessageType> message_type(ByteView bytes) {
  if (bytes.empty()) return std::nullopt;
  const auto type = static_cast<MessageType>(bytes[0]);
  const bool fits = (type == MessageType::initiation && bytes.size() == sizeof(InitiationMessage)) ||
                    (type == MessageType::response && bytes.size() == sizeof(ResponseMessage)) ||
                    (type == MessageType::cookie && bytes.size() == sizeof(CookieMessage));
  return fits ? std::optional(type) : std::nullopt;
}

std::optional<uint32_t> receiver_index(ByteView bytes) {
  const auto type = message_type(bytes);
  if (type != MessageType::response && type != MessageType::cookie) return std::nullopt;
  static_assert(offsetof(ResponseMessage, receiver) == offsetof(CookieMessage, receiver));
  Be32 index;
  std::memcpy(&index, bytes.data() + offsetof(ResponseMessage, receiver), sizeof index);
  return index.get();
}

MacKeys MacKeys::of(const noise::PublicDh& receiver) {
  return {.mac1 = derive("skyedge mac1", receiver), .cookie = derive("skyedge cookie", receiver)};
}

Mac keyed_mac(ByteView key, ByteView data) {
  Mac out;
  crypto_generichash(out.data(), out.size(), data.data(), data.size(), key.data(), key.size());
  return out;
}

bool equal(const Mac& one, const Mac& other) {
  return sodium_memcmp(one.data(), other.data(), one.size()) == 0;
}

void write_macs(ByteSpan message, const MacKeys& receiver, const std::optional<Mac>& cookie) {
  const size_t mac1_at = message.size() - 2 * kMac;
  const size_t mac2_at = message.size() - kMac;
  const Mac mac1 = keyed_mac(receiver.mac1, message.first(mac1_at));
  std::ranges::copy(mac1, message.begin() + static_cast<ptrdiff_t>(mac1_at));
  const Mac mac2 = cookie ? keyed_mac(*cookie, message.first(mac2_at)) : Mac{};
  std::ranges::copy(mac2, message.begin() + static_cast<ptrdiff_t>(mac2_at));
}

Mac mac1_of(ByteView message) {
  return mac_at(message, message.size() - 2 * kMac);
}

bool mac1_holds(ByteView message, const MacKeys& own) {
  return equal(keyed_mac(own.mac1, message.first(message.size() - 2 * kMac)), mac1_of(message));
}

bool mac2_holds(ByteView message, const Mac& cookie) {
  const size_t mac2_at = message.size() - kMac;
  return equal(keyed_mac(cookie, message.first(mac2_at)), mac_at(message, mac2_at));
}

CookieMessage seal_cookie(const Mac& cookie, const MacKeys& own, const InitiationMessage& answered,
                          const std::array<uint8_t, 24>& nonce) {
  CookieMessage message{.receiver = answered.sender, .nonce = nonce};
  crypto_aead_xchacha20poly1305_ietf_encrypt(message.sealed.data(), nullptr, cookie.data(), cookie.size(),
                                             answered.mac1.data(), answered.mac1.size(), nullptr, nonce.data(),
                                             own.cookie.data());
  return message;
}

std::optional<Mac> open_cookie(const CookieMessage& message, const MacKeys& sender, const Mac& mac1) {
  Mac cookie;
  if (crypto_aead_xchacha20poly1305_ietf_decrypt(cookie.data(), nullptr, nullptr, message.sealed.data(),
                                                 message.sealed.size(), mac1.data(), mac1.size(), message.nonce.data(),
                                                 sender.cookie.data()) != 0) {
    return std::nullopt;
  }
  return cookie;
}

}  // namespace sky::controlplane
