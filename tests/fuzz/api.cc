// The API: requests as they come out of HTTP, and HTTP's bytes themselves through the server's socket, in pieces, by
// clients that leave when they like. Names in what is shown and words of the counter page are the fuzzer's.
#include "controlplane/api/api.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <filesystem>
#include <map>

#include "tests/fuzz/input.h"
#include "tests/support/fake_dataplane.h"

namespace sky::fuzz {
namespace {

using namespace controlplane;

constexpr uint64_t kNow = 100'000'000'000;
constexpr std::array<std::string_view, 14> kPaths{
    "/v1/health",  "/v1/links", "/v1/paths", "/v1/circuits", "/v1/groups",       "/v1/sessions", "/v1/ports",
    "/v1/workers", "/v1/ping",  "/v1/trace", "/v1/counters", "/v1/destinations", "/v1/drops",    "/v1/"};

/// A node whose texts and counters are whatever the input says.
class Backend final : public ApiBackend {
 public:
  explicit Backend(Input& input) {
    const std::string text = input.chunk_text(40);
    StatsHeader& header = *static_cast<StatsHeader*>(page_.data());
    std::memset(page_.data(), 0, layout_.bytes);
    for (size_t at = sizeof(StatsHeader); at + 8 <= layout_.bytes && !input.empty(); at += 8 * (1 + input.byte() % 8u))
      std::memset(static_cast<uint8_t*>(page_.data()) + at, input.byte(), 8);
    header.magic = kStatsMagic;
    header.abi_version = kAbiVersion;
    header.counters = kCounters;
    header.drop_reasons = kDropReasons;
    header.stages = kStages;
    header.workers = header.ports = header.links = 1;
    header.groups = 4;
    counters_.emplace(*Counters::view(page_));
    fill(text);
    names_ = {"a1", "g1", text};
  }

  std::optional<Json> show(std::string_view what) override {
    return view(what, {.snapshot = snapshot_,
                       .router = router_,
                       .counters = &*counters_,
                       .dataplane_error = names_.back(),
                       .kernel_error = names_.back(),
                       .setups_sent = 5,
                       .now_ns = kNow});
  }
  void ask(Event&& question) override {
    if (const auto* ping = std::get_if<PingRequest>(&question)) open.push_back(ping->token);
    if (const auto* trace = std::get_if<TraceRequest>(&question)) open.push_back(trace->token);
  }
  const std::vector<std::string>& nodes() const override { return names_; }
  bool watch(const WatchMessage& message) override {
    watched = message;
    return true;
  }
  const PacketWatch::Names& names() const override { return watch_names_; }

  std::optional<WatchMessage> watched;  ///< the last

  std::vector<uint64_t> open;  ///< questions that nobody answered yet

 private:
  void fill(const std::string& text) {
    router_.ports.resize(1);
    router_.ports[0].name = router_.ports[0].device = text;
    router_.dataplane.workers = {3};
    snapshot_.node = snapshot_.domain = text;
    snapshot_.install.attached = true;
    LinkSnapshot& link = snapshot_.links.emplace_back();
    link.name = link.peer = link.last_refusal = text;
    link.state = "handshaking";
    GroupSnapshot& group = snapshot_.groups.emplace_back();
    group.index = GroupIndex{2};
    group.node = group.state = text;
    group.members.emplace_back().slot = 1;
    snapshot_.paths.emplace_back().to = text;
    CircuitSnapshot& circuit = snapshot_.circuits.emplace_back();
    circuit.from = circuit.state = text;
    circuit.nodes = {text, text};
    circuit.member = true;
    circuit.group = group.index;
    snapshot_.sessions.emplace_back().peer = text;
    snapshot_.destinations.emplace_back().prefix = text;
  }

  StatsLayout layout_ = StatsLayout::of(1, 1, 1, 4);
  Descriptor fd_ = test::make_memfd(layout_.bytes);
  Mapping page_{fd_.get(), layout_.bytes, PROT_READ | PROT_WRITE};
  std::optional<Counters> counters_;
  Snapshot snapshot_;
  RouterConfig router_;
  std::vector<std::string> names_;
  PacketWatch::Names watch_names_{{"p0"}, {"a1-g1"}};
};

constexpr std::array<std::string_view, 3> kWatchPaths{"/v1/watch", "/v1/watch/next", "/v1/watch/end"};

/// What the dataplane sends of a watch, which an Attachment found possible.
void see(Api& api, const Backend& backend, Input& input) {
  if (!backend.watched) return;
  SeenPacket record;
  input.head(record, offsetof(SeenPacket, bytes));
  record.request = backend.watched->request;
  record.stage = static_cast<Stage>(input.byte() % kStageNames.size());
  record.verdict = static_cast<uint8_t>(record.verdict % kVerdictNames.size());
  record.reason = static_cast<uint8_t>(record.reason % kDropReasons);
  record.form = static_cast<Form>(to_underlying(record.form) % kForms);
  record.kept = std::min<uint16_t>(record.kept, record.bytes.size());
  api.packets().seen(record);
}

void judge(const Response& response) {
  EXPECT_TRUE(response.status == 200 || (response.status >= 400 && response.status <= 504)) << response.status;
  const Json body = Json::parse(response.body, nullptr, false);
  ASSERT_FALSE(body.is_discarded()) << response.body;
  if (response.status != 200) {
    EXPECT_FALSE(body["error"].get<std::string>().empty());
  }
}

Answer answer_of(uint64_t token, Input& input) {
  Answer answer{.token = token, .error = {}, .circuits = {}};
  if (input.byte() % 2 == 0) answer.error = input.chunk_text(20);
  answer.circuits.push_back({.circuit = input.chunk_text(20), .hops = {}});
  answer.circuits.back().hops.push_back({.node = input.chunk_text(20), .link = {}, .delay_ns = -1});
  return answer;
}

void answer_one(Api& api, Backend& backend, Input& input) {
  if (backend.open.empty()) return api.answer(answer_of(input.number<uint64_t>(), input));  // nobody asked
  const uint64_t token = backend.open.back();
  backend.open.pop_back();
  api.answer(answer_of(token, input));
}

/// Each request is answered once; whoever may only read changes and asks nothing.
void requests(Input input) {
  Backend backend(input);
  Api api(backend);
  std::vector<unsigned> answers;
  answers.reserve(200);
  while (!input.empty() && answers.size() < 200) {
    const uint8_t head = input.byte();
    if (head >= 0xf0) {
      see(api, backend, input);
      continue;
    }
    if (head >= 0xe0) {
      answer_one(api, backend, input);
      continue;
    }
    const bool watch = (head & 15) == 15;
    const bool odd_path = (head & 15) >= kPaths.size();
    const Request request{.method = head & 0x20   ? "POST"
                                    : head & 0x40 ? "GET"
                                                  : input.chunk_text(8),
                          .path = watch      ? std::string(kWatchPaths[input.byte() % kWatchPaths.size()])
                                  : odd_path ? input.chunk_text(40)
                                             : std::string(kPaths[head & 15]),
                          .body = watch && (head & 0x80) != 0 ? R"({"points": ["rx", "dropped"], "count": 3})"
                                  : (head & 0x80) != 0        ? R"({"node": "g1"})"
                                                              : input.chunk_text(300),
                          .admin = (head & 0x10) != 0};
    const size_t asked = backend.open.size(), at = answers.size();
    answers.push_back(0);
    api.handle(request, [&answers, at](const Response& response) {
      ++answers[at];
      judge(response);
    });
    const bool waits = backend.open.size() > asked || (watch && answers[at] == 0);
    EXPECT_EQ(waits ? 0u : 1u, answers[at]);
    if (waits) {
      EXPECT_TRUE(request.admin && request.method == "POST");
    }
    EXPECT_LE(backend.open.size(), Api::kMostQuestions);
  }
  while (!backend.open.empty()) answer_one(api, backend, input);
  api.packets().tick();
  for (const unsigned times : answers) EXPECT_EQ(1u, times);
}

/// One server for all inputs; whose requests these are changes.
class Http {
 public:
  static constexpr size_t kClients = 4;

  Http() {
    auto made = HttpServer::listen(path_, [this](const Request& request, HttpServer::Responder respond) {
      EXPECT_LE(request.body.size(), HttpServer::kMostBodyBytes);
      api_->handle(request, std::move(respond));
    });
    if (made) server_ = std::move(*made);
  }

  void run(Input input) {
    ASSERT_NE(nullptr, server_);
    Backend backend(input);
    Api api(backend);
    api_ = &api;
    for (int steps = 0; !input.empty() && steps < 100; ++steps) step(backend, input);
    while (!backend.open.empty()) answer_one(api, backend, input);
    for (size_t i = 0; i < kClients; ++i) hang_up(i);
    turn();
    turn();
  }

 private:
  void step(Backend& backend, Input& input) {
    const uint8_t head = input.byte();
    const size_t who = head % kClients;
    if (head >= 0xf0) return hang_up(who);
    if (head >= 0xe0) {
      answer_one(*api_, backend, input);
      return turn();
    }
    if (!clients_[who]) connect(who);
    const std::string text = input.chunk_text(600);
    if (send(clients_[who].get(), text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT) < 0) hang_up(who);
    turn();
    listen(who);
  }
  void connect(size_t who) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path_.copy(address.sun_path, sizeof(address.sun_path) - 1);
    clients_[who] = Descriptor(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    ASSERT_EQ(0, ::connect(clients_[who].get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)));
  }
  void turn() {
    for (int times = 0; times < 3; ++times) server_->run(0);
  }
  void listen(size_t who) {
    std::array<char, 4096> bytes;
    for (ssize_t got = 1; got > 0 && clients_[who];) {
      got = recv(clients_[who].get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
      if (got > 0 && heard_[who].size() < 5) heard_[who].append(bytes.data(), static_cast<size_t>(got));
      if (got == 0) hang_up(who);
    }
    if (heard_[who].size() >= 5) {
      EXPECT_EQ("HTTP/", heard_[who].substr(0, 5));
    }
  }
  void hang_up(size_t who) {
    clients_[who] = Descriptor();
    heard_[who].clear();
  }

  std::string path_ = std::filesystem::temp_directory_path() / ("skyedge-fuzz-api-" + std::to_string(getpid()));
  std::array<Descriptor, kClients> clients_;
  std::array<std::string, kClients> heard_;
  Api* api_ = nullptr;
  std::unique_ptr<HttpServer> server_;
};

}  // namespace
}  // namespace sky::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static sky::fuzz::Http http;
  sky::fuzz::Input input(data, size);
  input.byte() % 2 == 0 ? sky::fuzz::requests(input) : http.run(input);
  return 0;
}
