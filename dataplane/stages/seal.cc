#include "dataplane/stages/seal.h"

#include <cstring>

namespace sky::dataplane {

namespace {

/// Zeros, also where a frame that passes through had something else: what hides there goes no further.
void pad(Slot& slot) noexcept {
  const size_t packet = sizeof(PacketHeader) + packet_header(slot.data).size.get();
  if (packet >= kMinSealedBytes) return;
  std::memset(slot.data + kLinkOverhead + packet, 0, kMinSealedBytes - packet);
  slot.length = kLinkOverhead + kMinSealedBytes;
}

bool prepare(Context& context, const SealLimits& limits, Slot& slot, AeadOp& op) noexcept {
  const LinkConfig& config = *slot.link->config.load(std::memory_order_acquire);
  pad(slot);
  if (slot.length > config.put.mtu) {
    drop(slot, Drop::too_big);
    return false;
  }
  const KeySlot* key = slot.link->send.now();
  if (key == nullptr) {
    drop(slot, Drop::no_send_key);
    return false;
  }
  const uint64_t counter = slot.link->lanes[context.number].send.next(key->generation, slot.length, limits);
  if (counter == SealCounter::kStopped) {
    drop(slot, Drop::key_exhausted);
    return false;
  }
  std::memcpy(slot.data - sizeof(EthernetHeader), &config.ethernet, sizeof(EthernetHeader));
  const LinkHeader header{.version_kind = version_kind(FrameKind::frame),
                          .hop_limit = slot.hop_limit,
                          .epoch = key->epoch,
                          .class_ecn = static_cast<uint8_t>(slot.queue_class & 0xe0),
                          .link_index = Be32(config.put.peer_index),
                          .lane_counter = Be64(uint64_t{context.number} << 56 | counter)};
  std::memcpy(slot.data, &header, sizeof(header));
  op.key = &key->key;
  op.data = slot.data + kLinkOverhead;
  op.length = slot.length - static_cast<uint32_t>(kLinkOverhead);
  op.tag = link_tag(slot.data);
  op.associated = slot.data;
  op.associated_length = sizeof(LinkHeader);
  std::memcpy(op.nonce.data(), key->salt.data(), sizeof(Salt));
  std::memcpy(op.nonce.data() + sizeof(Salt), &header.lane_counter, sizeof(header.lane_counter));
  return true;
}

}  // namespace

void seal(Context& context, Batch& batch) noexcept {
  const SealLimits limits = context.tables.config().link_keys.seal_limits(kLinkCounters);
  unsigned n = 0;
  for (Slot& slot : batch) {
    if (!prepare(context, limits, slot, context.ops[n])) continue;
    slot.verdict = Verdict::next;
    ++n;
  }
  context.aead.seal({context.ops.data(), n});
}

}  // namespace sky::dataplane
