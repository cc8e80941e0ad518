// Preloaded into a program, moves or stops the wall clock that it sees, and no other: WALL_CLOCK_FILE has two i64,
// seconds to add and, where it is not 0, the second at which the clock stands still. libfaketime would do, but fakes
// timers of CLOCK_MONOTONIC as well, whatever it is told, which no machine's clock does.
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <ctime>

namespace {

struct WallClock {
  volatile int64_t added_s;
  volatile int64_t stopped_s;
};

WallClock* map_file() {
  const char* path = std::getenv("WALL_CLOCK_FILE");
  const int file = path == nullptr ? -1 : open(path, O_RDONLY | O_CLOEXEC);
  void* memory = file < 0 ? MAP_FAILED : mmap(nullptr, sizeof(WallClock), PROT_READ, MAP_SHARED, file, 0);
  if (file >= 0) close(file);
  return memory == MAP_FAILED ? nullptr : static_cast<WallClock*>(memory);
}

void move(timespec& time) {
  static const WallClock* wall_clock = map_file();
  if (wall_clock == nullptr) return;
  if (wall_clock->stopped_s != 0) {
    time = {.tv_sec = wall_clock->stopped_s, .tv_nsec = 0};
  } else {
    time.tv_sec += wall_clock->added_s;
  }
}

}  // namespace

extern "C" {

int clock_gettime(clockid_t which, timespec* time) {
  static const auto real = reinterpret_cast<int (*)(clockid_t, timespec*)>(dlsym(RTLD_NEXT, "clock_gettime"));
  const int code = real(which, time);
  if (code == 0 && (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE)) move(*time);
  return code;
}

int gettimeofday(timeval* time, void*) {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  *time = {.tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000};
  return 0;
}

time_t time(time_t* out) {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  if (out != nullptr) *out = now.tv_sec;
  return now.tv_sec;
}

}  // extern "C"
