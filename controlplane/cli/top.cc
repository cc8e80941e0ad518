#include "controlplane/cli/top.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <utility>

#include "controlplane/cli/interrupt.h"
#include "controlplane/cli/rows.h"
#include "controlplane/cli/show.h"
#include "dataplane/base/units.h"

namespace sky::controlplane {
namespace {

/// A field `to` of what the counter `from` grew by in a second, `times` as much.
struct Rate {
  const char* to;
  const char* from;
  double times = 1;
};

constexpr Rate kTraffic[] = {{"in", "received"},     {"in_bits", "received_bytes", 8},
                             {"out", "transmitted"}, {"out_bits", "transmitted_bytes", 8},
                             {"full_rate", "full"},  {"bad_tag_rate", "bad_tags"}};
constexpr Rate kWork[] = {{"share", "busy_ns", 1.0 / kSecondNs},
                          {"turns", "loops"},
                          {"sleep_rate", "sleeps"},
                          {"in", "received"},
                          {"out", "transmitted"},
                          {"drop_rate", "drops"}};

const Columns kPorts{{"PORT", "port"},
                     {"UP", "up", Form::yes_no},
                     {"RECEIVED", "in", Form::rate},
                     {"BITS", "in_bits", Form::bit_rate},
                     {"SENT", "out", Form::rate},
                     {"BITS", "out_bits", Form::bit_rate},
                     {"FULL", "full_rate", Form::rate}};
const Columns kQueueRows{{"PORT", "port"},
                         {"QUEUE", "queue"},
                         {"SENT", "out", Form::rate},
                         {"BITS", "out_bits", Form::bit_rate},
                         {"QUEUED", "queued"}};
const Columns kLinks{{"LINK", "link"},
                     {"PEER", "peer"},
                     {"STATE", "state"},
                     {"RTT", "rtt_us", Form::delay},
                     {"RECEIVED", "in", Form::rate},
                     {"BITS", "in_bits", Form::bit_rate},
                     {"SENT", "out", Form::rate},
                     {"BITS", "out_bits", Form::bit_rate},
                     {"BAD TAGS", "bad_tag_rate", Form::rate}};
const Columns kWorkers{{"WORKER", "worker"},
                       {"CORE", "core"},
                       {"BUSY", "share", Form::share},
                       {"TURNS", "turns", Form::rate},
                       {"SLEEPS", "sleep_rate", Form::rate},
                       {"RECEIVED", "in", Form::rate},
                       {"SENT", "out", Form::rate},
                       {"DROPS", "drop_rate", Form::rate},
                       {"QUEUED", "queued"},
                       {"HELD", "held"}};
const Columns kDrops{{"DROPPED FOR", "reason"}, {"RATE", "rate", Form::rate}, {"IN ALL", "packets"}};

/// What a counter grew by in a second; nothing where it is missing or went back.
std::optional<double> rate_of(const Json& before, const Json& now, const char* key, double seconds) {
  const auto first = before.find(key), last = now.find(key);
  if (first == before.end() || last == now.end() || !first->is_number_unsigned() || !last->is_number_unsigned())
    return {};
  const auto from = first->get<uint64_t>(), to = last->get<uint64_t>();
  if (to < from || seconds <= 0) return {};
  return static_cast<double>(to - from) / seconds;
}

/// The rows of now with rates since `before`; which is which `names` tell.
Json with_rates(const Json& before, const Json& now, std::initializer_list<const char*> names,
                std::span<const Rate> rates, double seconds) {
  Json rows = Json::array();
  for (Json row : now) {
    const auto has = [&](const char* name) { return row.is_object() && row.contains(name); };
    if (!std::ranges::all_of(names, has)) continue;
    const auto same = [&](const Json& old) {
      return old.is_object() &&
             std::ranges::all_of(names, [&](const char* name) { return old.value(name, Json()) == row[name]; });
    };
    const auto old = std::ranges::find_if(before, same);
    for (const Rate& rate : rates) {
      const auto grown = old == before.end() ? std::nullopt : rate_of(*old, row, rate.from, seconds);
      if (grown) row[rate.to] = *grown * rate.times;
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

/// Reasons for which something was lost since then, the most frequent first.
Json drop_rates(const Json& before, const Json& now, double seconds) {
  std::multimap<double, Json, std::greater<>> rows;
  for (const auto& [reason, count] : now.items()) {
    const double rate = rate_of(before, now, reason.c_str(), seconds).value_or(0);
    if (rate > 0) rows.emplace(rate, Json{{"reason", reason}, {"rate", rate}, {"packets", count}});
  }
  Json sorted = Json::array();
  for (auto& [rate, row] : rows) sorted.push_back(std::move(row));
  return sorted;
}

/// Who this is and how much of it is up, as `skyctl health` begins, and how much is wrong.
std::string head_text(const Reading& now) {
  std::string text = health_text(now.health);
  text.resize(text.find("\n\n") + 1);
  const size_t faults = now.health.value("faults", Json::array()).size();
  text += faults == 0 ? "healthy" : fmt::format("{} wrong: skyctl health", faults);
  const auto word = [&](const char* key) { return plain(now.counters.value(key, Json())); };
  if (now.counters.contains("buffers"))
    text += fmt::format("   {} of {} buffers free", word("buffers_free"), word("buffers"));
  return text + "\n";
}

Reply read(const ApiClient& client, Reading& reading) {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  reading.at_ns = static_cast<uint64_t>(std::chrono::nanoseconds(now).count());
  for (const auto& [what, into] :
       {std::pair{"health", &reading.health}, std::pair{"ports", &reading.ports}, std::pair{"queues", &reading.queues},
        std::pair{"links", &reading.links}, std::pair{"workers", &reading.workers}, std::pair{"drops", &reading.drops},
        std::pair{"counters", &reading.counters}}) {
    Reply reply = client.get(std::string("/v1/") + what);
    if (!reply.error.empty()) return reply;
    *into = std::move(reply.body);
  }
  return {};
}

/// Standard output: a terminal of some size that is drawn upon, or text line by line.
class Screen {
 public:
  explicit Screen(bool drawn) : drawn_(drawn) {
    if (drawn_) print("\x1b[?1049h\x1b[?25l");  // the other screen, no cursor
  }
  ~Screen() {
    if (drawn_) print("\x1b[?25h\x1b[?1049l");
  }
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  /// False when nobody reads any more.
  bool show(const std::string& text) {
    if (!drawn_) return print((std::exchange(first_, false) ? "" : "\n") + text);
    winsize size{};
    const bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 && size.ws_col > 0;
    return print(known ? redrawn(text, size.ws_row, size.ws_col) : redrawn(text, 24, 80));
  }

 private:
  static bool print(const std::string& text) {
    return std::fputs(text.c_str(), stdout) >= 0 && std::fflush(stdout) == 0;
  }

  bool drawn_;
  bool first_ = true;
};

}  // namespace

std::string top_text(const Reading& before, const Reading& now) {
  const double seconds = static_cast<double>(now.at_ns - before.at_ns) / kSecondNs;
  std::string text = head_text(now);
  text += "\n" + rows_text(kPorts, with_rates(before.ports, now.ports, {"port"}, kTraffic, seconds));
  text += "\n" + rows_text(kQueueRows, with_rates(before.queues, now.queues, {"port", "queue"}, kTraffic, seconds));
  text += "\n" + rows_text(kLinks, with_rates(before.links, now.links, {"link"}, kTraffic, seconds));
  text += "\n" + rows_text(kWorkers, with_rates(before.workers, now.workers, {"worker"}, kWork, seconds));
  const Json drops = drop_rates(before.drops, now.drops, seconds);
  return text + "\n" + (drops.empty() ? "nothing is dropped\n" : rows_text(kDrops, drops));
}

std::string redrawn(const std::string& text, size_t rows, size_t columns) {
  std::string screen = "\x1b[H";
  size_t at = 0;
  for (size_t row = 0; row < rows && at < text.size(); ++row) {
    const size_t end = std::min(text.find('\n', at), text.size());
    // No newline at the last row: it would move all up.
    screen += (row == 0 ? "" : "\n") + text.substr(at, std::min(end - at, columns)) + "\x1b[K";
    at = end + 1;
  }
  return screen + "\x1b[J";
}

Reply run_top(const ApiClient& client, uint64_t interval_ns, bool once) {
  if (!once) stop_on_signals();
  Screen screen(!once && isatty(STDOUT_FILENO) != 0);
  Reading before;
  Reply reply = read(client, before);
  while (reply.error.empty() || !once) {
    poll(nullptr, 0, static_cast<int>(interval_ns / kMillisecondNs));
    if (interrupted()) return reply;
    Reading now;
    const bool comparable = reply.error.empty();
    reply = read(client, now);
    const bool shown = !reply.error.empty() ? (once || screen.show(reply.error + "\n"))
                                            : !comparable || screen.show(top_text(before, now));
    before = std::move(now);
    if (once || !shown) return reply;
  }
  return reply;
}

}  // namespace sky::controlplane
