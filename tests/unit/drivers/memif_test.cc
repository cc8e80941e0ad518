// The path of a memif server: what a killed one left is removed, what someone uses or needs is not.
#include "drivers/memif.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>

namespace sky::drivers {
namespace {

class SocketPath : public testing::Test {
 protected:
  SocketPath() {
    std::string folder = (std::filesystem::temp_directory_path() / "skyedge-memif-XXXXXX").string();
    folder_ = mkdtemp(folder.data());
    path = folder_ / "m.sock";
  }
  ~SocketPath() override { std::filesystem::remove_all(folder_); }

  /// A listening socket at the path.
  int serve() const {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
    const int socket = ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0);
    EXPECT_EQ(bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
    EXPECT_EQ(listen(socket, 1), 0);
    return socket;
  }

  std::filesystem::path folder_;
  std::filesystem::path path;
};

TEST_F(SocketPath, NothingThereIsFine) {
  EXPECT_TRUE(clear_socket_path(path).has_value());
}

TEST_F(SocketPath, WhatAKilledServerLeftIsRemoved) {
  close(serve());
  ASSERT_TRUE(std::filesystem::exists(path));
  EXPECT_TRUE(clear_socket_path(path).has_value());
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST_F(SocketPath, WhoeverServesThereKeepsItAndDoesNotNotice) {
  const int socket = serve();
  const auto cleared = clear_socket_path(path);
  ASSERT_FALSE(cleared.has_value());
  EXPECT_EQ(cleared.error().message, path.string() + ": found a process that serves there, wanted a path of its own");
  EXPECT_TRUE(std::filesystem::exists(path));
  EXPECT_EQ(accept4(socket, nullptr, nullptr, 0), -1) << "somebody connected";
  close(socket);
}

TEST_F(SocketPath, AFileIsNoSocket) {
  std::ofstream(path) << "precious";
  const auto cleared = clear_socket_path(path);
  ASSERT_FALSE(cleared.has_value());
  EXPECT_TRUE(std::filesystem::exists(path));
}

}  // namespace
}  // namespace sky::drivers
