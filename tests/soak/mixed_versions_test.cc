// A29: the contract and the wire with an older and a newer version at the other end. Each is refused in words, and what
// stands goes on forwarding.
#include <filesystem>
#include <iostream>

#include "tests/packet/crossroads.h"
#include "tests/soak/table_rows.h"
#include "tests/support/contract.h"
#include "tests/support/fake_dataplane.h"
#include "tests/unit/agent/client.h"

namespace sky::soak {
namespace {

using namespace sky::test;
using dataplane::test::Client;

/// The sizes as versions before and after this one may have them: each field less and more, and all at once.
std::vector<AbiSizes> other_sizes() {
  std::vector<AbiSizes> all;
  for (const uint32_t AbiSizes::*field : {&AbiSizes::abi_version, &AbiSizes::message_bytes, &AbiSizes::slot_bytes,
                                          &AbiSizes::rule_bytes, &AbiSizes::install_slots, &AbiSizes::ack_slots,
                                          &AbiSizes::event_slots, &AbiSizes::packet_slots, &AbiSizes::seen_slots}) {
    for (const int by : {-1, 1}) {
      AbiSizes sizes;
      auto& value = sizes.*const_cast<uint32_t AbiSizes::*>(field);
      value += field == &AbiSizes::abi_version ? by : by * 8;
      all.push_back(sizes);
    }
  }
  all.push_back({.abi_version = 2, .message_bytes = 128, .slot_bytes = 4096, .rule_bytes = 64});
  return all;
}

class MixedVersions : public Crossroads {
 protected:
  void expect_traffic() {
    only(send(left, packet(17, kRoute, Bytes(100))), right);
    ++frames_;
  }
  unsigned frames_ = 0;
};

TEST_F(MixedVersions, ControlPlanesOfOtherVersionsAreRefusedAndTheTablesStand) {
  Contract contract(node);
  contract.attach();
  ASSERT_TRUE(contract.install({{message(forward_put(kRoute, left.link, right.link, kNext))}}));
  const Rows standing = rows_of(contract.attach());
  contract.detach();
  unsigned refused = 0;
  for (const AbiSizes& sizes : other_sizes()) {
    AttachRequest request;
    request.sizes = sizes;
    Client other(contract.socket_path(), request);
    for (int turn = 0; turn < 3; ++turn) contract.main_turn();
    const auto reply = other.reply();
    ASSERT_TRUE(reply.has_value());
    EXPECT_EQ(reply->status, AttachStatus::wrong_abi);
    EXPECT_EQ(reply->sizes, AbiSizes{}) << "it learns what would be right";
    EXPECT_TRUE(other.sent_away());
    EXPECT_EQ(contract.endpoint().owner(), nullptr);
    expect_traffic();
    ++refused;
  }
  // A request that is shorter or longer than ours, as structures that gained or lost a field are.
  for (const size_t bytes :
       {size_t{0}, size_t{4}, sizeof(uint64_t), sizeof(AttachRequest) - 4, sizeof(AttachRequest) + 4, size_t{4096}}) {
    const int other = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
    contract.socket_path().copy(address.sun_path, sizeof(address.sun_path) - 1);
    ASSERT_EQ(connect(other, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
    std::vector<uint8_t> request(bytes, 0);
    const AttachRequest ours;
    std::memcpy(request.data(), &ours, std::min(bytes, sizeof(ours)));
    ASSERT_EQ(::send(other, request.data(), bytes, MSG_NOSIGNAL), static_cast<ssize_t>(bytes));
    for (int turn = 0; turn < 3; ++turn) contract.main_turn();
    AttachReply reply;
    ASSERT_EQ(recv(other, &reply, sizeof(reply), MSG_DONTWAIT), static_cast<ssize_t>(sizeof(reply))) << bytes;
    EXPECT_EQ(reply.status, bytes < sizeof(uint64_t) ? AttachStatus::wrong_magic : AttachStatus::wrong_abi) << bytes;
    EXPECT_EQ(contract.endpoint().owner(), nullptr);
    close(other);
    expect_traffic();
    ++refused;
  }
  EXPECT_TRUE(same(standing, rows_of(contract.attach()))) << "and the right version is welcome afterwards";
  std::cout << "figure: " << refused << " attach requests of other versions refused, " << frames_ << " frames passed\n";
}

TEST_F(MixedVersions, DataplanesOfOtherVersionsAreRefusedInWords) {
  const std::string path = std::filesystem::temp_directory_path() / ("skyedge-mixed-" + std::to_string(getpid()));
  FakeDataplane other(path);
  unsigned refused = 0;
  for (const AbiSizes& sizes : other_sizes()) {
    other.reply.sizes = sizes;
    // As such a dataplane does: it refuses first, and where it does not, we do.
    for (const AttachStatus status : {AttachStatus::wrong_abi, AttachStatus::ok, AttachStatus{9}}) {
      other.reply.status = status;
      auto socket = controlplane::ask_to_attach(path);
      ASSERT_TRUE(socket);
      ASSERT_TRUE(other.accept());
      const auto handover = controlplane::take_handover(*socket);
      ASSERT_FALSE(handover);
      const std::string& text = handover.error().message;
      const char* wanted = status == AttachStatus::ok          ? "found ABI version"
                           : status == AttachStatus::wrong_abi ? "speaks another version of the contract: restart it"
                                                               : "for a reason that this version does not know";
      EXPECT_NE(text.find(wanted), std::string::npos) << text;
      ++refused;
    }
  }
  std::filesystem::remove(path);
  std::cout << "figure: " << refused << " handovers of other versions refused\n";
}

TEST_F(MixedVersions, FramesOfOtherVersionsAreDroppedByName) {
  node.install({message(forward_put(kRoute, left.link, right.link, kNext))});
  node.change();
  for (unsigned version = 0; version < 16; ++version) {
    if (version == 1) continue;
    for (unsigned kind = 0; kind < 16; ++kind) {
      Bytes frame = left.seal(packet(17, kRoute, Bytes(100)));
      frame[14] = static_cast<uint8_t>(version << 4 | kind);
      EXPECT_TRUE(node.exchange(0, {frame}).empty());
      EXPECT_EQ((Change{.received = 1, .bad_version = 1}), node.change()) << version << " " << kind;
    }
  }
  expect_traffic();
  std::cout << "figure: 15 frame versions dropped by name\n";
}

}  // namespace
}  // namespace sky::soak
