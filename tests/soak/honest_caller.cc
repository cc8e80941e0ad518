// An honest neighbour who makes one new handshake after the other, each with no cookie and no keys from the one before,
// by the control plane's own machine (controlplane/session) on a raw socket: as a router that was just started.
//
//   honest_caller DEVICE --mac OWN --to MAC --key FILE --peer PUBLIC_KEY --seconds S --every MS
//
// Its X25519 key has to be the lower one, so that its initiation counts where the peer calls too. Prints one line of
// JSON: {"handshakes": N, "unfinished": 0 or 1, "ms": [sorted], "cookies": N, "tries": N}. Bytes of answers that are
// not for it are counted as well: {"answered_frames", "answered_bytes"}, of all handshake frames that came, retries
// apart.
#include <arpa/inet.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstring>

#include "controlplane/session/handshake.h"
#include "dataplane/base/address.h"
#include "dataplane/base/key_file.h"
#include "dataplane/base/key_text.h"
#include "dataplane/protocol/frame.h"

namespace {

using namespace sky;
using namespace sky::controlplane;

constexpr size_t kHeaders = sizeof(EthernetHeader) + sizeof(LinkHeader);
constexpr uint8_t kHandshake = kFrameVersion << 4 | static_cast<uint8_t>(FrameKind::handshake);

uint64_t now_ns() {
  return static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
}

class Wire {
 public:
  Wire(const std::string& device, const MacAddress& own, const MacAddress& peer) : own_(own), peer_(peer) {
    socket_ = ::socket(AF_PACKET, SOCK_RAW, htons(kDefaultEtherType));
    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_protocol = htons(kDefaultEtherType);
    address.sll_ifindex = static_cast<int>(if_nametoindex(device.c_str()));
    const int yes = 1;
    ok_ = bind(socket_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0 &&
          setsockopt(socket_, SOL_PACKET, PACKET_IGNORE_OUTGOING, &yes, sizeof(yes)) == 0;
  }
  ~Wire() { close(socket_); }
  Wire(const Wire&) = delete;
  Wire& operator=(const Wire&) = delete;
  bool ok() const { return ok_; }

  void send(ByteView message) {
    Bytes frame(kHeaders);
    const EthernetHeader ethernet{peer_, own_, Be16(kDefaultEtherType)};
    std::memcpy(frame.data(), &ethernet, sizeof(ethernet));
    frame[sizeof(ethernet)] = kHandshake;
    frame.insert(frame.end(), message.begin(), message.end());
    frame.resize(std::max<size_t>(frame.size(), 60));
    static_cast<void>(::send(socket_, frame.data(), frame.size(), 0));
  }

  /// The next handshake message to us; empty after `wait_ms`. What comes for others is counted.
  Bytes receive(int wait_ms) {
    pollfd waiting{socket_, POLLIN, 0};
    while (poll(&waiting, 1, wait_ms) == 1) {
      Bytes frame(2048);
      const ssize_t size = recv(socket_, frame.data(), frame.size(), 0);
      if (size < static_cast<ssize_t>(kHeaders) || frame[sizeof(EthernetHeader)] != kHandshake) return {};
      ++answered_frames;
      answered_bytes += static_cast<uint64_t>(size);
      if (!std::equal(own_.begin(), own_.end(), frame.begin())) continue;
      return {frame.begin() + kHeaders, frame.begin() + size};
    }
    return {};
  }

  uint64_t answered_frames = 0, answered_bytes = 0;

 private:
  MacAddress own_, peer_;
  int socket_ = -1;
  bool ok_ = false;
};

struct Sums {
  std::vector<double> ms;
  uint64_t cookies = 0, tries = 0, unfinished = 0;
};

/// One new handshake; false when `until_ns` came first.
bool call(Wire& wire, const Identity& own, const PublicKey& peer, uint32_t number, uint64_t until_ns, Sums& sums) {
  SodiumRandom random;
  HandshakeGate gate(own, random);
  const Prologue prologue{.scope = Prologue::Scope::link, .header = {kHandshake, 0, 0, 0}, .carrier = 1};
  auto handshake = Handshake::create(gate, {.key = peer, .pre_shared = {}, .prologue = prologue});
  if (!handshake) return false;
  const Terms offer{.receive_index = number, .boot_id = number};
  const uint64_t start_ns = now_ns();
  handshake->want(start_ns);
  for (uint64_t now = start_ns; now < until_ns; now = now_ns()) {
    if (const auto due = handshake->deadline_ns(); due && *due <= now) {
      if (const auto message = handshake->on_timer(offer, now); message && !message->empty()) {
        ++sums.tries;
        wire.send(*message);
      }
    }
    Bytes answer = wire.receive(5);
    if (answer.empty()) continue;
    const auto type = static_cast<MessageType>(answer[0]);
    if (type == MessageType::cookie && answer.size() >= sizeof(CookieMessage)) {
      answer.resize(sizeof(CookieMessage));  // Ethernet's padding
      const auto again = handshake->on_cookie(answer, now_ns());
      if (!again) continue;
      ++sums.cookies;
      wire.send(*again);
    } else if (type == MessageType::response && handshake->on_response(answer, now_ns())) {
      sums.ms.push_back(static_cast<double>(now_ns() - start_ns) / 1e6);
      return true;
    }
  }
  return false;
}

}  // namespace

int main(int argc, char** argv) {
  std::string device, own_mac, peer_mac, key_file, peer_key;
  double seconds = 5;
  uint64_t every_ms = 200;
  CLI::App app("A neighbour that makes one new handshake after the other.", "honest_caller");
  app.add_option("device", device)->required();
  app.add_option("--mac", own_mac)->required();
  app.add_option("--to", peer_mac)->required();
  app.add_option("--key", key_file)->required();
  app.add_option("--peer", peer_key)->required();
  app.add_option("--seconds", seconds);
  app.add_option("--every", every_ms);
  CLI11_PARSE(app, argc, argv);

  const auto seed = read_secret_key(key_file);
  const auto peer = parse_public_key(peer_key);
  const auto mac = parse_mac(own_mac), to = parse_mac(peer_mac);
  if (!seed || !peer || !mac || !to) return 2;
  const Identity own = Identity::from_seed(seed->bytes());
  if (!(own.dh.public_key < *dh_key_of(*peer))) {
    fmt::print(stderr, "honest_caller: its key is not the lower one\n");
    return 3;
  }
  Wire wire(device, *mac, *to);
  if (!wire.ok()) return 2;
  Sums sums;
  const uint64_t end_ns = now_ns() + static_cast<uint64_t>(seconds * 1e9);
  for (uint32_t number = 1; now_ns() < end_ns; ++number) {
    // Who began in time is waited for: else the slow ones would not count.
    if (!call(wire, own, *peer, number, end_ns + 10'000'000'000, sums)) ++sums.unfinished;
    usleep(static_cast<useconds_t>(every_ms * 1000));
  }
  std::ranges::sort(sums.ms);
  fmt::print("{{\"handshakes\": {}, \"unfinished\": {}, \"ms\": [{:.2f}], \"cookies\": {}, \"tries\": {}, ",
             sums.ms.size(), sums.unfinished, fmt::join(sums.ms, ", "), sums.cookies, sums.tries);
  fmt::print("\"answered_frames\": {}, \"answered_bytes\": {}}}\n", wire.answered_frames, wire.answered_bytes);
  return 0;
}
