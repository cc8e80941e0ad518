#include "tests/support/oracle.h"

#include <algorithm>
#include <utility>

namespace sky::test {

namespace {

constexpr size_t kEthernetBytes = 14;
constexpr size_t kHeaderBytes = 16;
constexpr size_t kTag = 16;
constexpr size_t kLeastInside = 14;
constexpr size_t kHeaderSealed = 32;
constexpr uint64_t kWindow = 8192;
constexpr uint64_t kCounterEnd = (uint64_t{1} << 56) - 1;

Bytes mac_bytes(const MacAddress& mac) {
  return {mac.begin(), mac.end()};
}

/// How much of packet and padding lies under the seal.
size_t sealed_bytes(const Header& header, size_t inside) {
  return header.kind() == FrameKind::header ? std::min(inside, kHeaderSealed) : inside;
}

size_t least_inside(const Header& header) {
  return header.kind() == FrameKind::clear ? kLeastInside + kTag : kLeastInside;
}

Bytes session_associated(uint64_t session_id, uint64_t epoch) {
  Bytes out;
  put(out, session_id, 8);
  put(out, epoch, 8);
  return out;
}

}  // namespace

Secret secret_of(uint64_t seed) {
  Secret out;
  crypto_generichash(out.data(), out.size(), reinterpret_cast<const uint8_t*>(&seed), sizeof(seed), nullptr, 0);
  return out;
}

Aead::Aead(Suite suite, std::span<const uint8_t, 32> key, std::span<const uint8_t> salt) : suite_(suite) {
  std::ranges::copy(key, key_.begin());
  std::ranges::copy(salt.first(salt_.size()), salt_.begin());
}

std::array<uint8_t, 12> Aead::nonce_of(uint64_t nonce) const {
  Bytes bytes(salt_.begin(), salt_.end());
  put(bytes, nonce, 8);
  std::array<uint8_t, 12> out{};
  std::ranges::copy(bytes, out.begin());
  return out;
}

Bytes Aead::seal(uint64_t nonce, std::span<const uint8_t> associated, std::span<const uint8_t> plain) const {
  const auto encrypt = suite_ == Suite::aes_256_gcm ? crypto_aead_aes256gcm_encrypt_detached
                                                    : crypto_aead_chacha20poly1305_ietf_encrypt_detached;
  Bytes out(kTag + plain.size());
  encrypt(out.data() + kTag, out.data(), nullptr, plain.data(), plain.size(), associated.data(), associated.size(),
          nullptr, nonce_of(nonce).data(), key_.data());
  return out;
}

std::optional<Bytes> Aead::open(uint64_t nonce, std::span<const uint8_t> associated, std::span<const uint8_t> tag,
                                std::span<const uint8_t> sealed) const {
  const auto decrypt = suite_ == Suite::aes_256_gcm ? crypto_aead_aes256gcm_decrypt_detached
                                                    : crypto_aead_chacha20poly1305_ietf_decrypt_detached;
  Bytes out(sealed.size());
  const int wrong = decrypt(out.data(), nullptr, sealed.data(), sealed.size(), tag.data(), associated.data(),
                            associated.size(), nonce_of(nonce).data(), key_.data());
  if (wrong != 0) return std::nullopt;
  return out;
}

const Aead& Chain::step(uint32_t step) {
  constexpr const char* kContext = "skychain";
  while (epochs_.size() <= step) {
    std::array<uint8_t, 32> key;
    std::array<uint8_t, 16> salt;
    Secret next;
    crypto_kdf_derive_from_key(key.data(), key.size(), 1, kContext, secret_.data());
    crypto_kdf_derive_from_key(salt.data(), salt.size(), 2, kContext, secret_.data());
    crypto_kdf_derive_from_key(next.data(), next.size(), 3, kContext, secret_.data());
    epochs_.emplace_back(suite_, key, salt);
    secret_ = next;
  }
  return epochs_[step];
}

bool SeenCounters::looks_fresh(uint64_t counter, uint64_t burst) {
  if (std::exchange(burst_, burst) != burst) {
    in_burst_.clear();
    while (!seen_.empty() && *seen_.begin() + kWindow <= *seen_.rbegin()) seen_.erase(seen_.begin());
    if (!seen_.empty()) newest_before_ = *seen_.rbegin();
  }
  if (counter >= kCounterEnd || (seen_.contains(counter) && !in_burst_.contains(counter))) return false;
  return !newest_before_ || counter + kWindow > *newest_before_;
}

bool SeenCounters::add(uint64_t counter) {
  if (!seen_.empty() && counter + kWindow <= *seen_.rbegin()) return false;
  if (!seen_.insert(counter).second) return false;
  in_burst_.insert(counter);
  return true;
}

Bytes packet(unsigned type, uint32_t route, const Bytes& payload) {
  Bytes out;
  put(out, type, 1);
  put(out, route, 4);
  put(out, payload.size(), 2);
  return out + payload;
}

Bytes Header::bytes() const {
  Bytes out{version_kind, hop_limit, epoch, class_ecn};
  put(out, link_index, 4);
  put(out, lane_counter, 8);
  return out;
}

Header read_header(std::span<const uint8_t> at) {
  return {at[0], at[1], at[2], at[3], static_cast<uint32_t>(get(at, 4, 4)), get(at, 8, 8)};
}

Bytes seal_frame(const Aead& key, const Header& header, const Bytes& inside) {
  const Bytes associated = header.bytes();
  if (header.kind() == FrameKind::clear) return associated + inside;
  const size_t sealed = sealed_bytes(header, inside.size());
  return associated + key.seal(header.lane_counter, associated, std::span(inside).first(sealed)) + part(inside, sealed);
}

std::optional<Bytes> open_frame(const Aead& key, std::span<const uint8_t> frame) {
  const Header header = read_header(frame);
  if (header.kind() == FrameKind::clear) return Bytes(frame.begin() + kHeaderBytes, frame.end());
  const auto inside = frame.subspan(kHeaderBytes + kTag);
  const size_t sealed = sealed_bytes(header, inside.size());
  auto opened =
      key.open(header.lane_counter, frame.first(kHeaderBytes), frame.subspan(kHeaderBytes, kTag), inside.first(sealed));
  if (opened) opened->insert(opened->end(), inside.begin() + static_cast<ptrdiff_t>(sealed), inside.end());
  return opened;
}

Bytes seal_datagram(const Aead& key, uint64_t session_id, unsigned epoch, unsigned stream, uint64_t counter,
                    const Bytes& inner) {
  const uint64_t word = uint64_t{epoch} << 62 | uint64_t{stream} << 48 | counter;
  Bytes out;
  put(out, word, 8);
  return out + key.seal(word, session_associated(session_id, epoch), inner);
}

std::optional<Bytes> open_datagram(const Aead& key, uint64_t session_id, const Bytes& datagram) {
  const uint64_t word = get(datagram, 0, 8);
  const auto all = std::span(datagram);
  return key.open(word, session_associated(session_id, word >> 62), all.subspan(8, kTag), all.subspan(24));
}

LinkPeer::LinkPeer(uint16_t its_link, uint16_t its_peer_index, uint64_t seed, Suite its_suite)
    : suite(its_suite),
      link(its_link),
      peer_index(its_peer_index),
      mac{2, 0, 0, 0, 1, static_cast<uint8_t>(its_link)},
      node_mac{},
      towards_secret(secret_of(seed * 2)),
      from_secret(secret_of(seed * 2 + 1)),
      towards_node(towards_secret, suite),
      from_node(from_secret, suite) {}

Bytes LinkPeer::ethernet_towards_node() const {
  Bytes out = mac_bytes(node_mac) + mac_bytes(mac);
  put(out, ether_type, 2);
  return out;
}

Bytes LinkPeer::ethernet_from_node() const {
  Bytes out = mac_bytes(mac) + mac_bytes(node_mac);
  put(out, ether_type, 2);
  return out;
}

Header LinkPeer::next_header(FrameKind its_kind) {
  if (its_kind == FrameKind::clear) return {.version_kind = 0x12, .link_index = link};
  return {.version_kind = static_cast<uint8_t>(0x10 | to_underlying(its_kind)),
          .epoch = static_cast<uint8_t>(parity << 7 | (step & 127)),
          .link_index = link,
          .lane_counter = uint64_t{lane} << 56 | counter++};
}

Bytes LinkPeer::seal(const Bytes& packet) {
  const bool sealed_header = packet[0] == 17 && packet.size() >= kHeaderSealed;
  const bool frame = get(packet, 1, 4) == 0 || (kind == FrameKind::header && !sealed_header);
  return seal(next_header(frame ? FrameKind::frame : kind), packet);
}

Bytes LinkPeer::seal(const Header& header, Bytes inside) {
  inside.resize(std::max(inside.size(), least_inside(header)));
  return ethernet_towards_node() + seal_frame(towards_node.step(step), header, inside);
}

std::optional<OpenedFrame> LinkPeer::open(std::span<const uint8_t> frame) {
  if (frame.size() < kEthernetBytes + kHeaderBytes + kTag + kLeastInside) return std::nullopt;
  if (!std::ranges::equal(frame.first(kEthernetBytes), ethernet_from_node())) return std::nullopt;
  const Header header = read_header(frame.subspan(kEthernetBytes));
  if (header.link_index != peer_index) return std::nullopt;
  if (header.kind() == FrameKind::clear ? header.epoch != 0 || header.lane_counter != 0 : header.epoch >> 7 != parity)
    return std::nullopt;
  // The wire has seven bits of the step: the one next to the newest heard.
  uint32_t its_step = from_step + ((header.epoch - from_step) & 127);
  if (its_step > from_step + 64 && its_step >= 128) its_step -= 128;
  auto inside = open_frame(from_node.step(its_step), frame.subspan(kEthernetBytes));
  if (!inside) return std::nullopt;
  if (header.kind() != FrameKind::clear) from_step = std::max(from_step, its_step);
  const size_t packet_bytes = 7 + get(*inside, 5, 2);
  if (inside->size() != std::max(packet_bytes, least_inside(header))) return std::nullopt;
  const bool padded = std::all_of(inside->begin() + static_cast<ptrdiff_t>(packet_bytes), inside->end(),
                                  [](uint8_t byte) { return byte == 0; });
  if (!padded) return std::nullopt;
  return OpenedFrame{header, std::move(*inside)};
}

Bytes LinkPeer::ping(bool hears, uint32_t interval_us, uint64_t sent_ns, uint64_t echoed_ns, unsigned worn) {
  Bytes payload;
  put(payload, (hears ? 1u : 0u) | worn << 4, 1);
  put(payload, 3, 1);
  put(payload, 0, 2);
  put(payload, interval_us, 4);
  put(payload, sent_ns, 8);
  put(payload, echoed_ns, 8);
  return seal(packet(8, 0, payload));
}

SessionPeer::SessionPeer(uint32_t its_session, uint64_t seed, Suite its_suite)
    : suite(its_suite),
      session(its_session),
      session_id(seed * 1'000'003),
      towards_secret(secret_of(seed * 2)),
      from_secret(secret_of(seed * 2 + 1)),
      towards_node(towards_secret, suite),
      from_node(from_secret, suite) {}

Bytes SessionPeer::seal(unsigned epoch, unsigned stream, uint64_t counter, const Bytes& inner) {
  return seal_datagram(towards_node.step(step), session_id, epoch, stream, counter, inner);
}

std::optional<SessionPeer::Opened> SessionPeer::open(const Bytes& datagram) {
  if (datagram.size() < 24) return std::nullopt;
  const uint64_t word = get(datagram, 0, 8);
  const auto epoch = static_cast<unsigned>(word >> 62);
  if (epoch >> 1 != parity) return std::nullopt;
  // The wire has one bit of the step: the newest heard, the next, or the one before.
  for (uint32_t of = from_step == 0 ? 0 : from_step - 1; of <= from_step + 1; ++of) {
    if ((of & 1) != (epoch & 1)) continue;
    auto inner = open_datagram(from_node.step(of), session_id, datagram);
    if (!inner) continue;
    from_step = std::max(from_step, of);
    return Opened{epoch, static_cast<unsigned>(word >> 48) & 0x3fff, word & 0xffffffffffff, std::move(*inner)};
  }
  return std::nullopt;
}

}  // namespace sky::test
