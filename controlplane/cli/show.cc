#include "controlplane/cli/show.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "controlplane/cli/rows.h"
#include "controlplane/cli/table.h"

namespace sky::controlplane {
namespace {

const std::map<std::string, Columns, std::less<>>& tables() {
  using enum Form;
  static const std::map<std::string, Columns, std::less<>> all{
      {"links",
       {{"LINK", "link"},
        {"PEER", "peer"},
        {"PORT", "port"},
        {"STATE", "state"},
        {"FOR", "age_ns", age},
        {"RTT", "rtt_us", delay},
        {"FLAPS", "flaps"},
        {"PROTECT", "protection"},
        {"KEYS", "key_age_ns", age},
        {"RECEIVED", "received"},
        {"SENT", "transmitted"},
        {"BAD TAGS", "bad_tags"},
        {"LAST REFUSAL", "last_refusal"}}},
      {"paths",
       {{"TO", "to"},
        {"RANK", "rank"},
        {"DELAY", "delay_us", delay},
        {"CIRCUIT", "circuit", short_id},
        {"PATH", "nodes", path}}},
      {"circuits",
       {{"CIRCUIT", "circuit", short_id},
        {"ROLE", "role"},
        {"STATE", "state"},
        {"FROM", "from"},
        {"TO", "to"},
        {"LIVE", "live", yes_no},
        {"RTT", "rtt_us", delay},
        {"MTU", "mtu"},
        {"AGE", "age_ns", age},
        {"EXPIRES", "expires_in_ns", age},
        {"PATH", "nodes", path}}},
      {"groups",
       {{"GROUP", "group"},
        {"NODE", "node"},
        {"STATE", "state"},
        {"SLOT", "slot"},
        {"CIRCUIT", "circuit", short_id},
        {"LIVE", "live", yes_no},
        {"WEIGHT", "weight"},
        {"RTT", "rtt_us", delay},
        {"PACKETS", "packets"},
        {"BYTES", "bytes", bytes},
        {"COPIES", "copies"},
        {"PATH", "nodes", path}}},
      {"sessions",
       {{"SESSION", "session"},
        {"PEER", "peer"},
        {"STATE", "state"},
        {"KEYS", "key_age_ns", age},
        {"HANDSHAKES", "handshakes"},
        {"CIRCUITS", "circuits"},
        {"LAST REFUSAL", "last_refusal"}}},
      {"ports",
       {{"PORT", "port"},
        {"DEVICE", "device"},
        {"MTU", "mtu"},
        {"UP", "up", yes_no},
        {"RECEIVED", "received"},
        {"BYTES", "received_bytes", bytes},
        {"SENT", "transmitted"},
        {"BYTES", "transmitted_bytes", bytes},
        {"QUEUED", "queued"},
        {"FULL", "full"}}},
      {"queues",
       {{"PORT", "port"},
        {"QUEUE", "queue"},
        {"SENT", "transmitted"},
        {"BYTES", "transmitted_bytes", bytes},
        {"QUEUED", "queued"}}},
      {"workers",
       {{"WORKER", "worker"},
        {"CORE", "core"},
        {"BUSY", "busy_ns", age},
        {"STRETCH", "timer_stretch"},
        {"TURNS", "loops"},
        {"SLEEPS", "sleeps"},
        {"RECEIVED", "received"},
        {"SENT", "transmitted"},
        {"DROPS", "drops"},
        {"LAST TURN", "heartbeat_ago_ns", age}}},
      {"stages",
       {{"WORKER", "worker"},
        {"STAGE", "stage"},
        {"CALLS", "calls"},
        {"PACKETS", "packets"},
        {"PACKETS/CALL", "packets_per_call"},
        {"CLOCKS", "clocks"},
        {"CLOCKS/PACKET", "clocks_per_packet"}}},
      {"destinations",
       {{"PREFIX", "prefix"}, {"NODE", "node"}, {"DOMAIN", "domain"}, {"STATE", "state"}, {"GROUP", "group"}}},
  };
  return all;
}

/// A row for each member of each group, the group's fields beside it.
Json member_rows(const Json& groups) {
  Json rows = Json::array();
  for (const Json& group : groups) {
    if (!group.is_object()) continue;
    Json head = group;
    head.erase("members");
    rows.push_back(head);
    const Json members = group.value("members", Json::array());
    if (!members.empty()) rows.erase(rows.size() - 1);
    for (const Json& member : members) {
      Json row = head;
      row.update(member);
      rows.push_back(std::move(row));
    }
  }
  return rows;
}

std::string drops_text(const Json& drops) {
  Table table({"REASON", "PACKETS"});
  for (const auto& [reason, count] : drops.items()) {
    if (count != 0) table.add({reason, plain(count)});
  }
  if (drops.empty()) return "no dataplane is attached\n";
  return table.empty() ? "nothing was dropped\n" : table.text();
}

std::string counters_text(const Json& counters) {
  Table table({"COUNTER", "VALUE"});
  for (const auto& [name, value] : counters.items()) {
    const bool is_time = name.ends_with("_ns") && value.is_number_unsigned();
    table.add({name, is_time ? human_duration(value.get<uint64_t>()) : plain(value)});
  }
  std::string text = table.text();
  if (counters.contains("accounting_in")) {
    text += fmt::format(
        "\nreceived + injected + copied = {} = transmitted + delivered + punted + drops + held = {}, "
        "under way {}\n",
        plain(counters["accounting_in"]), plain(counters.value("accounting_out", Json())),
        plain(counters.value("under_way", Json())));
  }
  return text;
}

std::string up_of_all(const Json& body, const char* what) {
  const Json part = body.value(what, Json::object());
  if (!part.is_object()) return "";
  return fmt::format("{} {}/{} up", what, plain(part.value("up", Json())), plain(part.value("all", Json())));
}

}  // namespace

const std::vector<std::string>& show_words() {
  static const std::vector<std::string> words{"links",  "paths",   "circuits", "groups",   "sessions", "ports",
                                              "queues", "workers", "stages",   "counters", "drops",    "destinations"};
  return words;
}

std::string show_text(std::string_view what, const Json& body) {
  if (what == "drops") return drops_text(body);
  if (what == "counters") return counters_text(body);
  if (what == "groups") return rows_text(tables().find(what)->second, member_rows(body));
  const auto found = tables().find(what);
  return found == tables().end() ? body.dump(2) + "\n" : rows_text(found->second, body);
}

std::string health_text(const Json& body) {
  const auto word = [&](const char* key) { return printable(plain(body.value(key, Json()))); };
  std::string text = fmt::format("{}  domain {}, AS {}  {}  up {}\n", word("node"), word("domain"), word("as_number"),
                                 word("address"), human_duration(body.value("uptime_ns", uint64_t{0})));
  text += fmt::format("{}   {}   {}   {} destinations\n", up_of_all(body, "links"), up_of_all(body, "circuits"),
                      up_of_all(body, "sessions"), word("destinations"));
  const Json faults = body.value("faults", Json::array());
  if (faults.empty()) return text + "\nhealthy\n";
  return text + "\n" + rows_text({{"FAULT", "fault"}, {"NEXT", "next"}}, faults);
}

std::string trace_text(const Json& body) {
  std::string text;
  for (const Json& circuit : body.value("circuits", Json::array())) {
    Table table({"HOP", "NODE", "OVER", "ROUND TRIP"});
    size_t number = 0;
    for (const Json& hop : circuit.value("hops", Json::array())) {
      const std::string delay = cell(hop, {"", "delay_us", Form::delay});
      table.add({std::to_string(number++), printable(cell(hop, {"", "node"})), printable(cell(hop, {"", "link"})),
                 hop.value("delay_us", Json()).is_null() ? "no answer" : delay});
    }
    text += fmt::format("{}circuit {}\n{}", text.empty() ? "" : "\n", cell(circuit, {"", "circuit", Form::short_id}),
                        table.text());
  }
  return text;
}

}  // namespace sky::controlplane
