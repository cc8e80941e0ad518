#include "controlplane/cli/client.h"

#include <curl/curl.h>

#include <memory>

namespace sky::controlplane {
namespace {

constexpr size_t kMostReplyBytes = size_t{1} << 30;

size_t collect(char* data, size_t size, size_t count, void* into) {
  auto& text = *static_cast<std::string*>(into);
  if (text.size() + size * count > kMostReplyBytes) return 0;
  text.append(data, size * count);
  return size * count;
}

}  // namespace

Reply ApiClient::perform(const std::string& path, const std::string& body) const {
  const std::unique_ptr<CURL, void (*)(CURL*)> curl(curl_easy_init(), curl_easy_cleanup);
  const std::string url = "http://skyedge" + path;
  std::string text;
  curl_easy_setopt(curl.get(), CURLOPT_UNIX_SOCKET_PATH, socket_.c_str());
  curl_easy_setopt(curl.get(), CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl.get(), CURLOPT_TIMEOUT_MS, kTimeoutMs);
  curl_easy_setopt(curl.get(), CURLOPT_NOPROXY, "*");
  curl_easy_setopt(curl.get(), CURLOPT_WRITEFUNCTION, collect);
  curl_easy_setopt(curl.get(), CURLOPT_WRITEDATA, &text);
  if (!body.empty()) curl_easy_setopt(curl.get(), CURLOPT_COPYPOSTFIELDS, body.c_str());

  Reply reply;
  const CURLcode code = curl_easy_perform(curl.get());
  if (code != CURLE_OK) {
    reply.error =
        fmt::format("no answer at {}: {}; is skyedge-controlplane running?", socket_, curl_easy_strerror(code));
    return reply;
  }
  curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &reply.status);
  reply.body = Json::parse(text, nullptr, false);
  if (reply.status == 200 && !reply.body.is_discarded()) return reply;
  reply.error = reply.body.is_object() && reply.body.contains("error") && reply.body["error"].is_string()
                    ? reply.body["error"].get<std::string>()
                    : fmt::format("found HTTP status {} and {} bytes that are no JSON", reply.status, text.size());
  return reply;
}

}  // namespace sky::controlplane
