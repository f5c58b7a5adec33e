#include "realtime.h"

#include <napi.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstring>

#include "calls.h"
#include "instance.h"
#include "values.h"

// Some C libraries do not name it.
#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

namespace usrdrv {

namespace {

/** How long an end that somebody asked for may have to wait. */
constexpr long kIntervalNs = 50'000'000;

}  // namespace

int64_t Watchdog::Start() {
  if (running_) return 0;
  sigevent event = {};
  event.sigev_notify = SIGEV_THREAD_ID;
  event.sigev_signo = KickSignal();
  event.sigev_notify_thread_id = static_cast<pid_t>(syscall(SYS_gettid));
  if (timer_create(CLOCK_MONOTONIC, &event, &timer_) != 0) return -errno;
  itimerspec interval = {{0, kIntervalNs}, {0, kIntervalNs}};
  timer_settime(timer_, 0, &interval, nullptr);
  running_ = true;
  return 0;
}

void Watchdog::Stop() {
  if (running_) timer_delete(timer_);
  running_ = false;
}

namespace {

/** watchdog(on): for the calling thread. */
Napi::Value SetWatchdog(const Napi::CallbackInfo& info) {
  auto* instance = static_cast<Instance*>(info.Data());
  if (!info[0].IsBoolean()) return Result(info.Env(), -EINVAL);
  if (info[0].As<Napi::Boolean>()) return Result(info.Env(), instance->watchdog.Start());
  instance->watchdog.Stop();
  return Result(info.Env(), 0);
}

/** A mapping that V8 did not make: of a file, the C library's heap, the first thread's stack. */
bool IsProgram(const char* path) {
  if (path[0] == '/') return strncmp(path, "/dev/", 5) != 0;
  return strcmp(path, "[heap]") == 0 || strcmp(path, "[stack]") == 0;
}

/**
 * lockMemory(): mlockall(2), but for the JavaScript heap. V8 gives pages of it back with madvise(2), which fails on locked
 * ones, and that V8 takes for the end of the world.
 */
Napi::Value LockMemory(const Napi::CallbackInfo& info) {
  FILE* maps = fopen("/proc/self/maps", "re");
  if (maps == nullptr) return Result(info.Env(), -errno);
  char line[PATH_MAX + 128];
  int64_t result = 0;
  while (result == 0 && fgets(line, sizeof(line), maps) != nullptr) {
    unsigned long start;
    unsigned long end;
    char readable;
    int path = 0;
    if (sscanf(line, "%lx-%lx %c%*s %*s %*s %*s %n", &start, &end, &readable, &path) != 3 || path == 0) continue;
    line[strcspn(line, "\n")] = '\0';
    if (readable != 'r' || !IsProgram(line + path)) continue;
    result = ResultOf(mlock(reinterpret_cast<void*>(start), end - start));
  }
  fclose(maps);
  if (result < 0) munlockall();
  return Result(info.Env(), result);
}

Napi::Value UnlockMemory(const Napi::CallbackInfo& info) {
  return Result(info.Env(), ResultOf(munlockall()));
}

/** schedSetscheduler(policy, priority): of the calling thread. */
Napi::Value SchedSetscheduler(const Napi::CallbackInfo& info) {
  int policy;
  sched_param param = {};
  if (!ToInt(info.Env(), info[0], &policy) || !ToInt(info.Env(), info[1], &param.sched_priority)) {
    return Result(info.Env(), -EINVAL);
  }
  return Result(info.Env(), ResultOf(sched_setscheduler(0, policy, &param)));
}

Napi::Value SchedGetPriorityMax(const Napi::CallbackInfo& info) {
  int policy;
  if (!ToInt(info.Env(), info[0], &policy)) return Result(info.Env(), -EINVAL);
  return Result(info.Env(), ResultOf(sched_get_priority_max(policy)));
}

}  // namespace

void DefineRealtimeCalls(Exports* exports) {
  exports->Add<SetWatchdog>("watchdog");
  exports->Add<LockMemory>("lockMemory");
  exports->Add<UnlockMemory>("unlockMemory");
  exports->Add<SchedSetscheduler>("schedSetscheduler");
  exports->Add<SchedGetPriorityMax>("schedGetPriorityMax");
}

}  // namespace usrdrv
