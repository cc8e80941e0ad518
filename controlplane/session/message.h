// The bytes of a handshake (docs/protocol.md, "Handshake messages"): three messages, two MACs, one sealed payload.
//
//   initiation 168: type 1, zero[3], sender u32, ephemeral[32], static[48], payload[48], mac1[16], mac2[16]
//   response   124: type 2, zero[3], sender u32, receiver u32, ephemeral[32], payload[48], mac1[16], mac2[16]
//   cookie      68: type 3, zero[3], sender u32 (0), receiver u32, nonce[24], cookie[32]
//
// mac1 shows that the sender knows whom it calls: keyed with BLAKE2b("skyedge mac1" || receiver's X25519 key), over all
// before it. mac2 shows that the sender receives at the address it sends from: keyed with a cookie, over all before it;
// zero when none is held. Both are BLAKE2b-128. A cookie is sealed by XChaCha20-Poly1305, keyed with
// BLAKE2b("skyedge cookie" || sender's X25519 key), associated data: mac1 of the message it answers (WireGuard, 5.4.7).
// Every answer is no longer than what it answers. No allocation but for a message's own bytes.
#pragma once

#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/session/noise.h"
#include "dataplane/base/endian.h"
#include "dataplane/base/ids.h"

namespace sky::controlplane {

enum class MessageType : uint8_t { initiation = 1, response = 2, cookie = 3 };

using Mac = std::array<uint8_t, 16>;
using Bytes = std::vector<uint8_t>;

/// Names the handshake and what carries it; both sides put in the same bytes or no seal opens.
struct Prologue {
  enum class Scope : uint8_t { link, session };
  Scope scope = Scope::link;
  std::array<uint8_t, 4> header{};  ///< bytes 0..3 of the carrying frame, as the first handshake of a link has them
  uint8_t carrier = 0;              ///< type of the carrier

  Bytes bytes() const;
  bool operator==(const Prologue&) const = default;
};

/// What each side tells the other under the seal; 32 bytes on the wire, in this order.
struct Terms {
  uint32_t receive_index = 0;  ///< what the peer writes into its headers
  uint8_t parity = 0;          ///< 0 or 1: of the chain that the side which says this will receive under
  Suites suites = to_underlying(Suite::aes_256_gcm);
  uint8_t least_kind = 0;  ///< the weakest FrameKind it accepts
  uint8_t lanes = 1;       ///< how many lanes it seals on, at most kMaxLanes
  uint8_t version_min = 1;
  uint8_t version_max = 1;
  uint64_t boot_id = 0;
  uint64_t session_id = 0;  ///< zero for a link, else a hash of both addresses
  uint32_t run = 0;         ///< random, new with each start of a control plane; zero in a response
  uint16_t attempt = 0;     ///< rises with each initiation of a run; zero in a response

  bool operator==(const Terms&) const = default;
};

/// What both sides make of two Terms.
struct Agreed {
  Suite suite;
  uint8_t version;     ///< the newest that both speak
  uint8_t least_kind;  ///< the stronger of the two demands

  bool operator==(const Agreed&) const = default;
};

/// The same on both sides; fails with what one has and the other wants.
Result<Agreed> negotiate(const Terms& ours, const Terms& theirs);

inline constexpr size_t kTermsBytes = 32;
std::array<uint8_t, kTermsBytes> encode(const Terms& terms);
/// Fails when a field is outside its range.
Result<Terms> decode(std::span<const uint8_t, kTermsBytes> bytes);

struct InitiationMessage {
  static constexpr MessageType kType = MessageType::initiation;
  uint8_t type = static_cast<uint8_t>(kType);
  uint8_t reserved[3]{};
  Be32 sender{};
  std::array<uint8_t, noise::kIdentityBytes + kTermsBytes + noise::kSealBytes> body{};
  Mac mac1{};
  Mac mac2{};
};

struct ResponseMessage {
  static constexpr MessageType kType = MessageType::response;
  uint8_t type = static_cast<uint8_t>(kType);
  uint8_t reserved[3]{};
  Be32 sender{};
  Be32 receiver{};
  std::array<uint8_t, noise::kDhBytes + kTermsBytes + noise::kSealBytes> body{};
  Mac mac1{};
  Mac mac2{};
};

struct CookieMessage {
  static constexpr MessageType kType = MessageType::cookie;
  uint8_t type = static_cast<uint8_t>(kType);
  uint8_t reserved[3]{};
  Be32 sender{};
  Be32 receiver{};
  std::array<uint8_t, 24> nonce{};
  std::array<uint8_t, sizeof(Mac) + noise::kSealBytes> sealed{};
};

static_assert(sizeof(InitiationMessage) == 168);
static_assert(sizeof(ResponseMessage) == 124 && sizeof(ResponseMessage) <= sizeof(InitiationMessage));
static_assert(crypto_aead_xchacha20poly1305_ietf_NPUBBYTES == sizeof(CookieMessage::nonce));
static_assert(sizeof(CookieMessage) == 68 && sizeof(CookieMessage) <= sizeof(ResponseMessage));

template <typename Message>
Bytes to_bytes(const Message& message) {
  Bytes bytes(sizeof message);
  std::memcpy(bytes.data(), &message, sizeof message);
  return bytes;
}

/// Size, type and reserved bytes are what they must be; everything else is still the sender's word.
template <typename Message>
Result<Message> parse(ByteView bytes) {
  if (bytes.size() != sizeof(Message)) {
    return fail("handshake message: found {} bytes, wanted {}", bytes.size(), sizeof(Message));
  }
  Message message;
  std::memcpy(&message, bytes.data(), sizeof message);
  if (message.type != static_cast<uint8_t>(Message::kType)) {
    return fail("handshake message: found type {}, wanted {}", message.type, static_cast<uint8_t>(Message::kType));
  }
  if ((message.reserved[0] | message.reserved[1] | message.reserved[2]) != 0) {
    return fail("handshake message: found reserved bytes in use, wanted zeros");
  }
  return message;
}

/// For the caller who sorts arrivals; nothing if no message starts like this.
std::optional<MessageType> message_type(ByteView bytes);
/// Of a response or a cookie: the index that the initiation named as its sender.
std::optional<uint32_t> receiver_index(ByteView bytes);

/// The two keys that everybody can derive who knows a node's public key.
struct MacKeys {
  std::array<uint8_t, 32> mac1;
  std::array<uint8_t, 32> cookie;

  static MacKeys of(const noise::PublicDh& receiver);
};

Mac keyed_mac(ByteView key, ByteView data);
bool equal(const Mac& one, const Mac& other);  ///< in constant time

/// mac1 over what stands before it, mac2 with `cookie` or zero. message[168 or 124], complete but for its MACs.
void write_macs(ByteSpan message, const MacKeys& receiver, const std::optional<Mac>& cookie);
/// message[168 or 124]
bool mac1_holds(ByteView message, const MacKeys& own);
bool mac2_holds(ByteView message, const Mac& cookie);
Mac mac1_of(ByteView message);

/// `own`: of the node that hands the cookie out; `answered`: the initiation it answers; nonce: random.
CookieMessage seal_cookie(const Mac& cookie, const MacKeys& own, const InitiationMessage& answered,
                          const std::array<uint8_t, 24>& nonce);
/// `sender`: of the node that handed it out; `mac1`: of our message that it answers. Nothing if the seal does not hold.
std::optional<Mac> open_cookie(const CookieMessage& message, const MacKeys& sender, const Mac& mac1);

}  // namespace sky::controlplane
