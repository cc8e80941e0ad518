// A control plane's core between neighbours and users that mean ill and a dataplane that is honest: whatever they say,
// nothing that it installs is refused, what it sends is well formed, every question gets one answer, and its deadlines
// move on. With the first bit of an input set the dataplane lies too, and only the rest of that must hold.
#include <gtest/gtest.h>

#include <set>

#include "controlplane/session/handshake.h"
#include "tests/fuzz/input.h"
#include "tests/fuzz/neighbourhood.h"

namespace sky::fuzz {
namespace {

using namespace controlplane;

constexpr size_t kMostSent = 64;
constexpr unsigned kMostTicksAtOnce = 1'000;

const Neighbourhood& neighbourhood() {
  static const Neighbourhood made;
  return made;
}

class Siege {
 public:
  Siege(const Neighbourhood::Place& place, bool liar)
      : place_(place),
        liar_(liar),
        now_(around_.now_ns()),
        core_(around_.core(place, random_)),
        dataplane_(around_.dataplane(place)) {
    attach(place.rows);
  }

  void step(Input& input) {
    switch (const uint8_t head = input.byte(); head % 14) {
      case 0: {
        const LinkIndex from = link(input);
        return say(from, PacketType::signal, input.chunk());
      }
      case 1:
        return setup(input);
      case 2:
        return reply(input);
      case 3: {
        const LinkIndex from = link(input);
        return say(from, PacketType::signal, changed(input));
      }
      case 4:
        return handshake(input);
      case 5:
        return on_circuit(input);
      case 6:
        return any_packet(input);
      case 7:
      case 8:
        return pass(uint64_t{1} << input.below(41));
      case 9:
        return ask(input);
      case 10:
        return handle(TrafficSeen{.group = GroupIndex{input.byte() % 8u}, .slot = input.byte()});
      case 11: {
        auto message = input.plain<InstallMessage>();
        message.verb = static_cast<Verb>(to_underlying(Verb::link_state) + head / 14 % 4);
        return handle(DataplaneEvent{message});
      }
      case 12:
        handle(Detached{});
        return attach(dataplane_.attach(++fence_).rows);
      default:
        if (liar_) lie(input);
    }
  }

  void finish() {
    for (int seconds = 0; seconds < 6; ++seconds) pass(1'000'000'000);
    EXPECT_TRUE(open_.empty()) << "a question without an answer";
    const Snapshot snapshot = core_.snapshot(now_);
    EXPECT_LE(snapshot.circuits.size(), place_.config.dataplane.sizes.rules / 2);
    EXPECT_EQ(place_.peers.size(), snapshot.links.size());
  }

 private:
  void attach(std::vector<InstallMessage> rows) {
    handle(Attached{.boot_id = dataplane_.boot_id(), .fence = fence_, .rows = std::move(rows)});
  }

  void handle(const Event& event) {
    std::vector<Acked> acks;
    const auto act = [&](const Event& each) {
      for (const Action& action : core_.handle(each, now_)) carry_out(action, acks);
    };
    act(event);
    for (size_t i = 0; i < acks.size(); ++i) {
      const Acked ack = acks[i];
      act(ack);
      ASSERT_LT(i, kMostTicksAtOnce) << "it installs for ever";
    }
  }

  void carry_out(const Action& action, std::vector<Acked>& acks) {
    if (const auto* install = std::get_if<Install>(&action)) {
      EXPECT_LE(install->messages.size(), kMaxBatch);
      acks.push_back(dataplane_.install(*install, now_));
      if (!liar_) {
        EXPECT_EQ(InstallError::none, acks.back().error) << "message " << acks.back().index;
      }
    } else if (const auto* send = std::get_if<Send>(&action)) {
      judge(send->packet);
    } else if (const auto* answer = std::get_if<Answer>(&action)) {
      EXPECT_EQ(1u, open_.erase(answer->token)) << "an answer that nobody waits for";
    }
  }

  void judge(const ControlPacket& packet) {
    ASSERT_LE(packet.length, packet.payload.size());
    const std::span payload(packet.payload.data(), packet.length);
    if (packet.kind == SlotKind::handshake) {
      EXPECT_LT(to_underlying(packet.port), place_.config.ports.size());
    } else {
      EXPECT_LT(to_underlying(packet.link), place_.peers.size());
    }
    if (packet.type == to_underlying(PacketType::signal)) {
      EXPECT_TRUE(decode_signal(payload).has_value());
    }
    if (sent_.size() == kMostSent) sent_.erase(sent_.begin());
    sent_.push_back(packet);
  }

  // --- what the neighbours say

  LinkIndex link(Input& input) { return LinkIndex{static_cast<uint16_t>(input.byte() % place_.peers.size())}; }

  void say(LinkIndex from, PacketType type, const Bytes& bytes) {
    ControlPacket packet{.kind = SlotKind::link_packet, .type = to_underlying(type), .link = from, .at_ns = now_};
    arrive(packet, bytes);
  }
  void arrive(ControlPacket& packet, const Bytes& bytes) {
    if (bytes.empty()) return;
    packet.length = static_cast<uint16_t>(std::min(bytes.size(), packet.payload.size()));
    std::copy_n(bytes.begin(), packet.length, packet.payload.begin());
    handle(PacketIn{packet});
  }

  /// The link to that node; where there is none, one of the input's.
  LinkIndex link_to(const std::string& peer, Input& input) {
    const auto found = std::ranges::find(place_.peers, peer);
    return found == place_.peers.end() ? link(input) : LinkIndex{static_cast<uint16_t>(found - place_.peers.begin())};
  }

  /// A SETUP along a path that exists, with fields of the input's, vouched for or not.
  void setup(Input& input) {
    const auto& path = around_.paths()[input.byte() % around_.paths().size()];
    const uint8_t odd = input.byte();
    const auto self = std::ranges::find(path, place_.name) - path.begin();
    const bool lower = around_.address(path.front()) < around_.address(path.back());
    const auto stream = static_cast<uint16_t>((lower ? 0 : 8192) + input.byte() % 8 * 16);
    Setup setup{.refresh = (odd & 1) != 0,
                .standby = (odd & 2) != 0,
                .hop = static_cast<uint8_t>((odd & 4) != 0 ? input.byte() : self),
                .circuit = {static_cast<uint8_t>(input.byte() % 4), 9},
                .life_s = (odd & 8) != 0 ? input.number<uint32_t>() : 3600,
                .treatment = (odd & 16) != 0 ? input.byte() : uint8_t{2},
                .mtu = (odd & 32) != 0 ? input.number<uint16_t>() : uint16_t{1437},
                .return_route = RouteId{input.number<uint16_t>() | 0x10000u},
                .stream_to_egress = (odd & 64) != 0 ? input.number<uint16_t>() : stream,
                .stream_to_ingress = stream,
                .hop_limit = 50,
                .path = {},
                .blob = {}};
    for (size_t i = 0; i < path.size(); ++i) {
      setup.path.push_back({.address = around_.address(path[i]),
                            .link = i == 0 ? LinkId{} : around_.link_between(path[i - 1], path[i])});
    }
    const uint8_t blob = input.byte();
    if (blob % 4 == 1) setup.blob = initiation(path.front(), kSession, input);
    if (blob % 4 == 2) setup.blob = input.bytes(kMostBlobBytes);
    if (blob < 0xc0) vouch(setup, path.front(), path.back());
    const std::string before = self > 0 && self < std::ssize(path) ? path[static_cast<size_t>(self) - 1] : "";
    say(link_to(before, input), PacketType::signal, encode_signal(setup));
  }

  void vouch(Setup& setup, const std::string& from, const std::string& to) {
    HandshakeGate gate(around_.identity(from), random_);
    const auto handshake =
        Handshake::create(gate, {.key = around_.identity(to).key, .pre_shared = {}, .prologue = kSession});
    if (handshake) setup.proof = handshake->vouch("skyedge setup v1", proven_bytes(setup));
  }

  /// To the newest SETUP that went out.
  void reply(Input& input) {
    for (auto packet = sent_.rbegin(); packet != sent_.rend(); ++packet) {
      if (packet->type != to_underlying(PacketType::signal)) continue;
      const auto signal = decode_signal({packet->payload.data(), packet->length});
      const Setup* asked = signal ? std::get_if<Setup>(&*signal) : nullptr;
      if (asked == nullptr) continue;
      SetupReply reply{.hop = asked->hop,
                       .circuit = asked->circuit,
                       .forward_route = RouteId{input.number<uint16_t>() | 0x20000u},
                       .mtu = input.byte() == 0 ? input.number<uint16_t>() : asked->mtu,
                       .blob = {}};
      if (!asked->blob.empty())
        reply.blob = response(node_at(asked->path.back().address), kSession, asked->blob, input);
      if (input.byte() == 0) reply.blob = input.bytes(kMostBlobBytes);
      const LinkIndex from = input.byte() == 0 ? link(input) : packet->link;
      return say(from, PacketType::signal, encode_signal(reply));
    }
  }

  /// One that went out comes back, not quite the same.
  Bytes changed(Input& input) {
    if (sent_.empty()) return {};
    const ControlPacket& packet = sent_[input.byte() % sent_.size()];
    Bytes bytes(packet.payload.begin(), packet.payload.begin() + packet.length);
    for (unsigned changes = input.byte() % 4u; changes > 0 && !bytes.empty(); --changes) {
      const auto at = input.below(bytes.size());
      bytes[at] = input.byte();
    }
    return bytes;
  }

  std::string node_at(const Ipv6Address& address) const {
    const auto found = std::ranges::find_if(around_.nodes(),
                                            [&](const std::string& node) { return around_.address(node) == address; });
    return found == around_.nodes().end() ? "a1" : *found;
  }

  std::array<uint8_t, kTermsBytes> terms(const std::string& peer, const Prologue& prologue, Input& input) {
    Terms good{.receive_index = 1, .boot_id = 7, .run = 1 + input.byte() % 2u, .attempt = input.byte()};
    if (prologue.scope == Prologue::Scope::session) {
      for (const InstallMessage& row : place_.rows) {
        if (row.verb != Verb::put_session) continue;
        const auto session = row.as<SessionMessage>();
        if (session.peer == around_.address(peer)) good.session_id = session.session_id;
      }
    }
    auto bytes = encode(good);
    for (unsigned changes = input.byte() >> 6; changes > 0; --changes) {
      const auto at = input.byte() % bytes.size();
      bytes[at] = input.byte();
    }
    return bytes;
  }
  Bytes initiation(const std::string& from, const Prologue& prologue, Input& input) {
    const auto said = terms(from, prologue, input);
    return forge_initiation(around_.identity(from), around_.identity(place_.name).dh.public_key, prologue, said, 77,
                            random_);
  }
  Bytes response(const std::string& from, const Prologue& prologue, ByteView initiation, Input& input) {
    const auto said = terms(from, prologue, input);
    return forge_response(around_.identity(from), around_.identity(place_.name).dh.public_key, prologue, initiation,
                          said, 78, random_);
  }

  /// Of a link, bare or inside it: an initiation, a response to one that went out, or any bytes.
  void handshake(Input& input) {
    const uint8_t kind = input.byte();
    const LinkIndex from = link(input);
    const std::string& peer = place_.peers[to_underlying(from)];
    Bytes message;
    if (kind % 4 == 0) message = initiation(peer, kLink, input);
    if (kind % 4 == 1) {
      for (const ControlPacket& packet : sent_) {
        if (message.empty() && packet.type == to_underlying(PacketType::handshake))
          message = response(peer, kLink, std::span(packet.payload.data(), packet.length), input);
      }
    }
    if (kind % 4 == 2) message = changed(input);
    if (kind % 4 == 3) message = input.chunk();
    if ((kind & 0x80) != 0) return say(from, PacketType::handshake, message);
    ControlPacket packet{.kind = SlotKind::handshake,
                         .type = to_underlying(PacketType::handshake),
                         .link = kNoLink,
                         .port = PortIndex{to_underlying(from)},
                         .mac = {2, 0, 0, 0, 0, input.byte()},
                         .ether_type = kDefaultEtherType,
                         .header = {0x13},
                         .at_ns = now_};
    arrive(packet, message);
  }

  /// A session's handshake, or anything, by a rule that ends here.
  void on_circuit(Input& input) {
    std::vector<Rule> ends;
    for (const auto& [slot, row] : dataplane_.rules()) {
      if (row.rule.action == RuleAction::consume) ends.push_back(row.rule);
    }
    if (ends.empty()) return;
    const Rule& rule = ends[input.byte() % ends.size()];
    const uint8_t kind = input.byte();
    ControlPacket packet{.kind = SlotKind::route_packet,
                         .type = kind < 0xe0 ? to_underlying(PacketType::handshake) : to_underlying(PacketType::pong),
                         .link = rule.in_link,
                         .route = rule.route_id,
                         .at_ns = now_};
    const std::string peer = place_.name == "a1" ? "d1" : "a1";
    Bytes message;
    if (kind % 4 == 0) message = initiation(peer, kSession, input);
    if (kind % 4 == 1 && !sent_.empty()) {
      const ControlPacket& asked = sent_[input.byte() % sent_.size()];
      message = response(peer, kSession, std::span(asked.payload.data(), asked.length), input);
    }
    if (kind % 4 == 2) message = changed(input);
    if (kind % 4 == 3) message = input.chunk();
    arrive(packet, message);
  }

  void any_packet(Input& input) {
    ControlPacket packet;
    input.head(packet, offsetof(ControlPacket, payload));
    packet.length = 0;
    arrive(packet, input.chunk());
  }

  // --- time, users, and a dataplane that lies

  void pass(uint64_t ns) {
    now_ += ns;
    for (unsigned ticks = 0; core_.next_deadline() <= now_; ++ticks) {
      ASSERT_LT(ticks, kMostTicksAtOnce) << "its deadline does not move on";
      handle(Tick{});
    }
  }

  void ask(Input& input) {
    const uint8_t head = input.byte();
    const std::string node = head < 0x80 ? around_.nodes()[head % around_.nodes().size()] : input.chunk_text(20);
    open_.insert(++token_);
    head % 2 == 0 ? handle(PingRequest{token_, node}) : handle(TraceRequest{token_, node});
  }

  void lie(Input& input) {
    switch (const uint8_t head = input.byte(); head % 3) {
      case 0:
        return handle(Acked{.generation = input.byte() + core_.snapshot(now_).install.generation - 1,
                            .error = InstallError{input.byte()},
                            .index = input.number<uint32_t>()});
      case 1:
        return handle(Detached{});
      default: {
        auto rows = dataplane_.attach(++fence_).rows;
        for (unsigned changes = input.byte() % 8u; changes > 0 && !rows.empty(); --changes) {
          auto& row = rows[input.byte() % rows.size()];
          const auto at = input.byte() % row.body.size();
          row.body[at] = input.byte();
        }
        if (input.byte() % 4 == 0) rows.push_back(input.plain<InstallMessage>());
        handle(Detached{});
        return attach(std::move(rows));
      }
    }
  }

  const Neighbourhood& around_ = neighbourhood();
  const Neighbourhood::Place& place_;
  bool liar_;
  uint64_t now_;
  SeededRandom random_{1};
  Core core_;
  sim::Dataplane dataplane_;
  uint64_t fence_ = 1;
  uint64_t token_ = 0;
  std::set<uint64_t> open_;
  std::vector<ControlPacket> sent_;
};

}  // namespace
}  // namespace sky::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sky::fuzz;
  Input input(data, size);
  const uint8_t head = input.byte();
  Siege siege(neighbourhood().place(head >> 1), (head & 1) != 0);
  for (int steps = 0; !input.empty() && steps < 100; ++steps) siege.step(input);
  siege.finish();
  return 0;
}
