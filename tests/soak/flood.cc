// Puts frames of a file on a wire again and again, each from a sender of its own, as fast as it is told.
//
//   flood DEVICE FILE --rate FRAMES_PER_SECOND --seconds S --spoof mac|udp [--seed N]
//
// FILE: frames from the Ethernet header on, each behind its length (u16, little-endian). `mac` draws the source MAC
// address at random, `udp` the source of an IPv4 packet: address in 10.0.0.0/8, port; the UDP checksum goes to 0.
// Like inject.py, it is not heard by taps of the device it sends on. Prints {"frames": N, "bytes": N, "seconds": S}.
#include <arpa/inet.h>
#include <fmt/format.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <sys/socket.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <chrono>
#include <cstring>
#include <fstream>
#include <random>
#include <thread>
#include <vector>

namespace {

using Frame = std::vector<uint8_t>;
using Clock = std::chrono::steady_clock;

constexpr size_t kBurst = 64;
constexpr size_t kIp = 14, kIpSource = kIp + 12, kIpChecksum = kIp + 10, kIpHeader = 20, kUdp = kIp + kIpHeader;

std::vector<Frame> read_frames(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::vector<Frame> frames;
  for (uint16_t size; file.read(reinterpret_cast<char*>(&size), sizeof(size));) {
    frames.emplace_back(size);
    file.read(reinterpret_cast<char*>(frames.back().data()), size);
  }
  return frames;
}

void spoof_mac(Frame& frame, uint64_t chance) {
  std::memcpy(&frame[6], &chance, 6);
  frame[6] = static_cast<uint8_t>((frame[6] & 0xfc) | 2);  // one station, made up locally
}

void spoof_udp(Frame& frame, uint64_t chance) {
  std::memcpy(&frame[kIpSource], &chance, 4);
  frame[kIpSource] = 10;
  std::memcpy(&frame[kUdp], reinterpret_cast<uint8_t*>(&chance) + 4, 2);
  std::memset(&frame[kIpChecksum], 0, 2);
  std::memset(&frame[kUdp + 6], 0, 2);
  uint32_t sum = 0;
  for (size_t at = kIp; at < kIp + kIpHeader; at += 2) sum += static_cast<uint32_t>(frame[at] << 8 | frame[at + 1]);
  sum = (sum & 0xffff) + (sum >> 16);
  const uint16_t checksum = htons(static_cast<uint16_t>(~(sum + (sum >> 16))));
  std::memcpy(&frame[kIpChecksum], &checksum, 2);
}

int open_wire(const std::string& device) {
  const int wire = socket(AF_PACKET, SOCK_RAW, 0);
  const int yes = 1;
  setsockopt(wire, SOL_PACKET, PACKET_QDISC_BYPASS, &yes, sizeof(yes));
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_ifindex = static_cast<int>(if_nametoindex(device.c_str()));
  return address.sll_ifindex != 0 && bind(wire, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0 ? wire
                                                                                                             : -1;
}

}  // namespace

int main(int argc, char** argv) {
  std::string device, path, spoof = "mac";
  double rate = 100'000, seconds = 1;
  uint64_t seed = 1;
  CLI::App app("Floods a wire with frames from senders that do not exist.", "flood");
  app.add_option("device", device)->required();
  app.add_option("file", path)->required();
  app.add_option("--rate", rate);
  app.add_option("--seconds", seconds);
  app.add_option("--spoof", spoof)->check(CLI::IsMember({"mac", "udp"}));
  app.add_option("--seed", seed);
  CLI11_PARSE(app, argc, argv);

  std::vector<Frame> frames = read_frames(path);
  const int wire = open_wire(device);
  if (frames.size() < kBurst || wire < 0) {
    fmt::print(stderr, "flood: found {} frames and descriptor {}, wanted {} and a device\n", frames.size(), wire,
               kBurst);
    return 2;
  }
  std::mt19937_64 chance(seed);
  std::array<iovec, kBurst> parts;
  std::array<mmsghdr, kBurst> messages{};
  uint64_t sent = 0, bytes = 0;
  const auto start = Clock::now();
  const auto since = [&] { return std::chrono::duration<double>(Clock::now() - start).count(); };
  for (size_t next = 0; since() < seconds;) {
    for (size_t i = 0; i < kBurst; ++i, next = (next + 1) % frames.size()) {
      Frame& frame = frames[next];
      spoof == "mac" ? spoof_mac(frame, chance()) : spoof_udp(frame, chance());
      parts[i] = {frame.data(), frame.size()};
      messages[i].msg_hdr.msg_iov = &parts[i];
      messages[i].msg_hdr.msg_iovlen = 1;
    }
    const int done = sendmmsg(wire, messages.data(), kBurst, 0);
    for (int i = 0; i < done; ++i) bytes += parts[static_cast<size_t>(i)].iov_len;
    sent += static_cast<uint64_t>(std::max(done, 0));
    const double ahead = static_cast<double>(sent) / rate - since();
    if (ahead > 0) std::this_thread::sleep_for(std::chrono::duration<double>(ahead));
  }
  fmt::print("{{\"frames\": {}, \"bytes\": {}, \"seconds\": {:.3f}}}\n", sent, bytes, since());
  close(wire);
  return 0;
}
