// skyctl: what an operator types. Files are read here, everything else is asked of the control plane's API.
// Exit codes: 0 fine, 1 no answer or unhealthy, 2 error.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "controlplane/cli/client.h"
#include "controlplane/cli/dot.h"
#include "controlplane/cli/packets.h"
#include "controlplane/cli/pcapng.h"
#include "controlplane/cli/show.h"
#include "controlplane/cli/table.h"
#include "controlplane/cli/top.h"
#include "controlplane/cli/watch.h"
#include "controlplane/topology/as_json.h"
#include "controlplane/topology/check.h"
#include "controlplane/topology/reader.h"
#include "dataplane/base/key_file.h"
#include "dataplane/base/key_text.h"
#include "dataplane/base/units.h"

namespace {

using namespace sky::controlplane;

constexpr int kFine = 0, kNoAnswer = 1, kWrong = 2;

struct Options {
  std::string socket = "/run/skyedge/api.sock";
  std::string output = "table";
  std::string word;  ///< the command's own: a file, a table's name, a node
  std::vector<std::string> files;
  bool is_template = false;
  uint32_t count = 1;
  uint32_t frames = 0;  ///< of a capture; 0: until interrupted
  std::vector<std::string> matches;
  std::vector<std::string> points;
  std::string write = "-";
  double interval_s = 1;
  bool once = false;
};

void print(const std::string& text) {
  std::fputs(text.c_str(), stdout);
}

int complain(const std::string& text, int code) {
  fmt::print(stderr, "skyctl: {}\n", text);
  return code;
}

/// No answer (of the process, or of the network in its words) is 1; a question that was wrong is 2.
int complain(const Reply& reply) {
  const bool is_silence = reply.status == 0 || reply.status >= 500;
  return complain(reply.error, is_silence ? kNoAnswer : kWrong);
}

int keygen(const Options& options) {
  auto key = sky::generate_secret_key();
  if (!key) return complain(key.error().message, kWrong);
  const std::string file = options.word.empty() ? "node.key" : options.word;
  if (auto written = sky::write_secret_key(file, *key); !written) {
    return complain(written.error().message, kWrong);
  }
  print(sky::format_key(sky::public_key_of(*key)) + "\n");
  return kFine;
}

int check(const Options& options) {
  const auto errors = check_files(options.files, {.is_template = options.is_template});
  if (!errors.empty()) {
    fmt::print(stderr, "{}", sky::to_string(errors));
    return kWrong;
  }
  for (const std::string& file : options.files) print(file + ": fine\n");
  return kFine;
}

/// The router's, or that of a file.
int topology(const Options& options) {
  Json shown;
  if (options.word.empty()) {
    const Reply reply = ApiClient(options.socket).get("/v1/topology");
    if (!reply.error.empty()) return complain(reply);
    shown = reply.body;
  } else {
    const auto read = read_topology(options.word, {.keys_required = false});
    if (!read) {
      fmt::print(stderr, "{}", sky::to_string(read.error()));
      return kWrong;
    }
    shown = as_json(*read);
  }
  print(options.output == "json" ? shown.dump(2) + "\n" : dot_of(shown));
  return kFine;
}

int show(const Options& options) {
  const Reply reply = ApiClient(options.socket).get("/v1/" + options.word);
  if (!reply.error.empty()) return complain(reply);
  print(options.output == "json" ? reply.body.dump(2) + "\n" : show_text(options.word, reply.body));
  return kFine;
}

int health(const Options& options) {
  const Reply reply = ApiClient(options.socket).get("/v1/health");
  if (!reply.error.empty()) return complain(reply);
  print(options.output == "json" ? reply.body.dump(2) + "\n" : health_text(reply.body));
  return reply.body.value("status", Json()) == "ok" ? kFine : kNoAnswer;
}

int top(const Options& options) {
  const auto interval_ns = static_cast<uint64_t>(options.interval_s * sky::kSecondNs);
  const Reply reply = run_top(ApiClient(options.socket), interval_ns, options.once);
  return reply.error.empty() ? kFine : complain(reply);
}

/// The round trip to each traced circuit's last hop; null where it did not answer.
std::vector<Json> far_ends(const Json& body) {
  std::vector<Json> delays;
  for (const Json& circuit : body.value("circuits", Json::array())) {
    const Json hops = circuit.value("hops", Json::array());
    delays.push_back(hops.empty() ? Json() : hops.back().value("delay_us", Json()));
  }
  return delays;
}

bool any_answered(const Json& body) {
  for (const Json& delay : far_ends(body)) {
    if (delay.is_number()) return true;
  }
  return false;
}

std::string ping_text(const std::string& node, const Json& body) {
  std::string text;
  const auto delays = far_ends(body);
  for (size_t i = 0; i < delays.size(); ++i) {
    const std::string circuit = body["circuits"][i].value("circuit", "").substr(0, 8);
    text += fmt::format("{} over circuit {}: {}\n", node, circuit,
                        delays[i].is_number() ? human_duration(delays[i].get<uint64_t>() * 1000) : "no answer");
  }
  return text.empty() ? node + ": no circuit\n" : text;
}

int ping(const Options& options) {
  bool answered = false;
  for (unsigned round = 0; round < options.count; ++round) {
    if (round > 0) std::this_thread::sleep_for(std::chrono::seconds(1));
    const Reply reply = ApiClient(options.socket).post("/v1/ping", Json::object({{"node", options.word}}));
    if (reply.error.empty()) {
      answered |= any_answered(reply.body);
      print(options.output == "json" ? reply.body.dump() + "\n" : ping_text(options.word, reply.body));
    } else if (const int code = complain(reply); code == kWrong) {
      return code;
    }
    std::fflush(stdout);
  }
  return answered ? kFine : kNoAnswer;
}

int trace(const Options& options) {
  const Reply reply = ApiClient(options.socket).post("/v1/trace", Json::object({{"node", options.word}}));
  if (!reply.error.empty()) return complain(reply);
  print(options.output == "json" ? reply.body.dump(2) + "\n" : trace_text(reply.body));
  return any_answered(reply.body) ? kFine : kNoAnswer;
}

/// Takes records until the end; what was missed and what went wrong is told on standard error.
int watch(const Options& options, Json points, uint32_t count, const std::function<void()>& begun,
          const std::function<bool(const Json&)>& take) {
  const auto match = read_matches(options.matches);
  if (!match) return complain(match.error().message, kWrong);
  const ApiClient client(options.socket);
  PacketFeed feed(client);
  const Reply reply = feed.run({{"points", std::move(points)}, {"match", *match}, {"count", count}}, begun, take);
  if (feed.missed() > 0)
    complain(fmt::format("{} records missed: they came faster than they went", feed.missed()), kFine);
  return reply.error.empty() ? kFine : complain(reply);
}

int trace_packets(const Options& options) {
  PacketTraces traces;
  const int code = watch(
      options, Json::array({"stages"}), options.count, [] {},
      [&](const Json& record) {
        print(options.output == "json" ? record.dump() + "\n" : traces.add(record));
        return std::fflush(stdout) == 0;
      });
  print(traces.rest());
  return code;
}

int capture(const Options& options) {
  const bool to_stdout = options.write == "-";
  if (to_stdout && isatty(STDOUT_FILENO) != 0)
    return complain("found a terminal, wanted --write FILE or a pipe: a capture is no text", kWrong);
  const std::unique_ptr<FILE, int (*)(FILE*)> file(
      to_stdout ? fdopen(dup(STDOUT_FILENO), "wb") : std::fopen(options.write.c_str(), "wb"), std::fclose);
  if (!file) return complain(fmt::format("{}: {}", options.write, std::strerror(errno)), kWrong);
  const auto write = [&](const std::string& blocks) {
    return std::fwrite(blocks.data(), 1, blocks.size(), file.get()) == blocks.size() && std::fflush(file.get()) == 0;
  };
  Pcapng pcapng;
  const uint32_t count = options.frames == 0 ? UINT32_MAX : options.frames;
  bool written = true;
  const int code = watch(
      options, options.points, count, [&] { written = write(Pcapng::begin()); },
      [&](const Json& record) { return written = written && write(pcapng.add(record)); });
  return written ? code : complain(fmt::format("{}: {}", options.write, std::strerror(errno)), kWrong);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app(
      "Asks a Skyedge router, and checks its files.\n"
      "Exit codes: 0 fine, 1 no answer or unhealthy, 2 error.");
  app.require_subcommand(1);
  app.fallthrough();
  Options options;
  app.add_option("--socket", options.socket, "the control plane's API socket")->capture_default_str();
  int (*run)(const Options&) = nullptr;
  const auto command = [&](const char* name, const char* about, int (*function)(const Options&)) {
    CLI::App* made = app.add_subcommand(name, about);
    made->callback([&run, function] { run = function; });
    return made;
  };
  const auto with_output = [&](CLI::App* made) {
    made->add_option("-o,--output", options.output, "how it is printed")->check(CLI::IsMember({"table", "json"}));
    return made;
  };
  with_output(command("health", "the first look: what is wrong, and what to type next", health));
  with_output(command("show", "one table of the router", show))
      ->add_option("WHAT", options.word)
      ->required()
      ->check(CLI::IsMember(show_words()));
  CLI::App* moving = command("top", "what moves: rates of ports, links and workers, and what is dropped", top);
  moving->add_option("--interval", options.interval_s, "seconds between two screens")
      ->check(CLI::Range(0.1, 3600.0))
      ->capture_default_str();
  moving->add_flag("--once", options.once, "one screen, an interval's worth");
  CLI::App* pinged = with_output(command("ping", "round trip to a node over each circuit to it", ping));
  pinged->add_option("NODE", options.word)->required();
  pinged->add_option("-c", options.count, "how many, one a second")->check(CLI::Range(1, 1'000'000));
  with_output(command("trace", "round trip to each hop of each circuit to a node", trace))
      ->add_option("NODE", options.word)
      ->required();
  const auto with_match = [&](CLI::App* made, uint32_t& count) {
    made->add_option("--match", options.matches,
                     "port=NAME, link=NAME, route=NUMBER, type=NAME or NUMBER, drop=REASON: all must fit")
        ->type_name("KEY=VALUE");
    made->add_option("--count", count, "how many")->check(CLI::Range(1u, UINT32_MAX));
    return made;
  };
  with_output(with_match(command("trace-packets", "what packets meet at each stage, and their headers", trace_packets),
                         options.count));
  CLI::App* captured = with_match(
      command("capture", "packets as pcapng, for Wireshark; until interrupted, or --count", capture), options.frames);
  captured->add_option("--point", options.points, "rx, tx, dropped, opened; several may be given")
      ->required()
      ->check(CLI::IsMember({"rx", "tx", "dropped", "opened"}));
  captured->add_option("--write", options.write, "a file; -, which is standard output")->capture_default_str();
  CLI::App* checked = command("check", "what is wrong with router.yaml and topology.yaml", check);
  checked->add_option("FILE", options.files)->required();
  checked->add_flag("--template", options.is_template, "keys may be missing");
  command("keygen", "a new node key in FILE; its public half is printed", keygen)
      ->add_option("FILE", options.word, "where it goes; without one, node.key");
  CLI::App* drawn = command("topology", "the network, as a picture for dot(1) or as JSON", topology);
  drawn->add_option("FILE", options.word, "topology.yaml; without one, what the router knows");
  drawn->add_option("-o,--output", options.output, "how it is printed")->check(CLI::IsMember({"dot", "json"}));
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kFine : kWrong;
  }
  try {
    return run(options);
  } catch (const Json::exception& error) {
    return complain(fmt::format("found an answer of another shape: {}", error.what()), kWrong);
  }
}
