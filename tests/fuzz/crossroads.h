// The node of the frame and open targets: three links on three ports, up and keyed, one session, rules of both actions,
// a group of two members, destinations. An input is a sequence of frames (and of packets and time steps where the
// target wants these); after each of them every frame, packet and buffer must be accounted for.
#pragma once

#include "tests/fuzz/router.h"
#include "tests/support/installs.h"

namespace sky::fuzz {

class Crossroads {
 public:
  /// `stub`: tags always hold, at a hop and end to end.
  explicit Crossroads(bool stub);

  /// One input; `frames_only`: no packets from TUN and control plane, and time stands still.
  void run(Input input, bool frames_only);

 private:
  void begin();
  void bring_up();
  void step(Input& input, bool frames_only);
  void arrive(unsigned port, const test::Bytes& frame, bool chained, bool tag_holds);
  test::Bytes sealed(unsigned link, Input& input);
  test::Bytes seal(test::LinkPeer& peer, const test::Header& header, const test::Bytes& inside);
  void from_tun(Input& input);
  void from_control_plane(Input& input);
  void pass(Input& input);

  /// After each step: what came out, and that all of it is accounted for. Returns what happened.
  test::Change judge(int64_t pushed);
  void judge_frame(test::LinkPeer& peer, const test::Bytes& frame);
  void judge_delivered(const test::Bytes& packet);

  bool stub_;
  Router router_;
  std::vector<test::LinkPeer> peers_;
};

}  // namespace sky::fuzz
