#include "drivers/lane_socket.h"

#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

namespace sky::drivers {
namespace {

constexpr uint32_t kLastOfSource = 11;
constexpr int kBufferBytes = 16 << 20;  ///< each way: as many frames as a ring of a thousand slots of any size

constexpr uint16_t network_order(uint16_t value) {
  return std::endian::native == std::endian::little ? static_cast<uint16_t>(value << 8 | value >> 8) : value;
}

}  // namespace

Result<> take_lanes(int socket, LaneShare share) {
  sock_filter program[] = {
      {BPF_LD | BPF_B | BPF_ABS, 0, 0, kLastOfSource},
      {BPF_ALU | BPF_MOD | BPF_K, 0, 0, share.queues},
      {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, share.queue},
      {BPF_RET | BPF_K, 0, 0, UINT32_MAX},
      {BPF_RET | BPF_K, 0, 0, 0},
  };
  const sock_fprog filter{.len = std::size(program), .filter = program};
  if (setsockopt(socket, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter)) == 0) return {};
  return fail("a packet socket takes no filter on lanes: {}", std::strerror(errno));
}

Result<std::unique_ptr<LaneSocket>> LaneSocket::open(const std::string& interface, LaneShare share) {
  // Without a protocol it hears nothing until it is bound, with the filter in place.
  const int descriptor = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (descriptor < 0) return fail("no packet socket: {}; CAP_NET_RAW is needed", std::strerror(errno));
  std::unique_ptr<LaneSocket> lane(new LaneSocket(descriptor));
  if (auto done = take_lanes(descriptor, share); !done) return std::unexpected(done.error());
  const int one = 1;
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = network_order(ETH_P_ALL);
  address.sll_ifindex = static_cast<int>(if_nametoindex(interface.c_str()));
  if (setsockopt(descriptor, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one)) != 0 ||
      setsockopt(descriptor, SOL_SOCKET, SO_RCVBUFFORCE, &kBufferBytes, sizeof(int)) != 0 ||
      setsockopt(descriptor, SOL_SOCKET, SO_SNDBUFFORCE, &kBufferBytes, sizeof(int)) != 0 ||
      bind(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return fail("packet socket on {}: {}; CAP_NET_ADMIN is needed", interface, std::strerror(errno));
  }
  return lane;
}

LaneSocket::~LaneSocket() {
  rte_pktmbuf_free_bulk(spare_.data(), spares_);
  close(socket_);
}

bool LaneSocket::refill(rte_mempool* pool) noexcept {
  const unsigned wanted = kBurst - spares_;
  if (wanted == 0 || rte_pktmbuf_alloc_bulk(pool, spare_.data() + spares_, wanted) != 0) return spares_ > 0;
  spares_ = kBurst;
  return true;
}

uint16_t LaneSocket::receive(rte_mempool* pool, rte_mbuf** out, uint16_t most) noexcept {
  if (!refill(pool)) return 0;
  std::array<mmsghdr, kBurst> messages{};
  std::array<iovec, kBurst> places;
  const uint16_t wanted = std::min(most, spares_);
  for (uint16_t i = 0; i < wanted; ++i) {
    places[i] = {.iov_base = rte_pktmbuf_mtod(spare_[i], void*), .iov_len = rte_pktmbuf_tailroom(spare_[i])};
    messages[i].msg_hdr.msg_iov = &places[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }
  const int got = recvmmsg(socket_, messages.data(), wanted, MSG_DONTWAIT, nullptr);
  if (got <= 0) return 0;
  uint16_t count = 0;
  for (int i = 0; i < got; ++i) {
    rte_mbuf* frame = spare_[static_cast<size_t>(i)];
    const mmsghdr& message = messages[static_cast<size_t>(i)];
    if ((message.msg_hdr.msg_flags & MSG_TRUNC) != 0) {
      rte_pktmbuf_free(frame);
      continue;
    }
    frame->data_len = static_cast<uint16_t>(message.msg_len);
    frame->pkt_len = message.msg_len;
    out[count++] = frame;
  }
  std::copy(spare_.begin() + got, spare_.begin() + spares_, spare_.begin());
  spares_ = static_cast<uint16_t>(spares_ - got);
  return count;
}

uint16_t LaneSocket::send(rte_mbuf** buffers, uint16_t count) noexcept {
  std::array<mmsghdr, kBurst> messages{};
  std::array<iovec, kBurst> places;
  uint16_t sent = 0;
  while (sent < count) {
    const uint16_t batch = std::min<uint16_t>(kBurst, count - sent);
    for (uint16_t i = 0; i < batch; ++i) {
      rte_mbuf* frame = buffers[sent + i];
      places[i] = {.iov_base = rte_pktmbuf_mtod(frame, void*), .iov_len = rte_pktmbuf_data_len(frame)};
      messages[i].msg_hdr.msg_iov = &places[i];
      messages[i].msg_hdr.msg_iovlen = 1;
    }
    const int taken = sendmmsg(socket_, messages.data(), batch, MSG_DONTWAIT);
    if (taken <= 0) break;
    rte_pktmbuf_free_bulk(buffers + sent, static_cast<unsigned>(taken));
    sent = static_cast<uint16_t>(sent + taken);
    if (taken < batch) break;
  }
  return sent;
}

}  // namespace sky::drivers
