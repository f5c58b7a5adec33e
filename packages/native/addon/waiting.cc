#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cmath>
#include <cstring>
#include <memory>
#include <optional>
#include <vector>

#include "calls.h"
#include "instance.h"
#include "values.h"

// poll(2) and epoll_wait(2), and what ends a call that sleeps.

namespace usrdrv {

namespace {

using TypedArray = std::shared_ptr<Napi::Reference<Napi::TypedArray>>;

constexpr double kNanosecondsInMs = 1e6;
/** Some hundred years: longer than anybody waits, and far from overflowing. */
constexpr double kLongestNs = 9e18;

/** A timeout in nanoseconds, below 0 for ever. False where it is none. */
bool ToTimeout(napi_env env, napi_value value, int64_t* out) {
  double ms;
  if (napi_get_value_double(env, value, &ms) != napi_ok || std::isnan(ms)) return false;
  double ns = ms * kNanosecondsInMs;
  *out = ms < 0 || ns >= kLongestNs ? -1 : static_cast<int64_t>(std::ceil(ns));
  return true;
}

/** The array's elements, or null where it is of another type or has been detached. */
template <typename T>
T* Elements(const Napi::Value& value, napi_typedarray_type type, size_t* length) {
  if (!value.IsTypedArray()) return nullptr;
  napi_typedarray_type is;
  void* data = nullptr;
  if (napi_get_typedarray_info(value.Env(), value, &is, length, &data, nullptr, nullptr) != napi_ok) return nullptr;
  return is == type && *length > 0 ? static_cast<T*>(data) : nullptr;
}

int64_t PollOnce(std::vector<pollfd>* fds) {
  return ResultOf(poll(fds->data(), fds->size(), 0));
}

/** An entry of poll(2) is three elements: fd, events, revents. */
constexpr size_t kPollEntry = 3;

void StoreRevents(const std::vector<pollfd>& fds, const Napi::Value& array) {
  size_t length = 0;
  auto* elements = Elements<int32_t>(array, napi_int32_array, &length);
  for (size_t i = 0; elements != nullptr && i < fds.size() && kPollEntry * i + 2 < length; i++) {
    elements[kPollEntry * i + 2] = static_cast<uint16_t>(fds[i].revents);
  }
}

/**
 * poll(entries: Int32Array, timeoutMs, done, aside): `revents` are filled in. With `aside` true the wait does not keep the
 * thread alive.
 */
Napi::Value Poll(const Napi::CallbackInfo& info) {
  auto* instance = static_cast<Instance*>(info.Data());
  Napi::Env env = info.Env();
  size_t length = 0;
  auto* elements = Elements<int32_t>(info[0], napi_int32_array, &length);
  int64_t timeout;
  if (!ToTimeout(env, info[1], &timeout)) return Result(env, -EINVAL);
  if (elements == nullptr) length = 0;
  if (!info[0].IsTypedArray() || length % kPollEntry != 0) return Result(env, -EFAULT);
  if (!info[2].IsFunction()) return Result(env, -EINVAL);

  std::vector<pollfd> fds;
  for (size_t i = 0; i < length; i += kPollEntry) {
    int fd = elements[i];
    // What was not opened here is not there (POLLNVAL).
    if (fd >= 0 && !instance->HasFd(fd)) fd = INT_MAX;
    fds.push_back({fd, static_cast<short>(elements[i + 1]), 0});
  }
  int64_t result = PollOnce(&fds);
  if (result != 0 || timeout == 0) {
    if (result >= 0) StoreRevents(fds, info[0]);
    return Result(env, result);
  }
  auto array = std::make_shared<Napi::Reference<Napi::TypedArray>>(Napi::Persistent(info[0].As<Napi::TypedArray>()));
  auto look = [array](std::vector<pollfd>* fds) -> std::optional<int64_t> {
    int64_t ready = PollOnce(fds);
    if (ready == 0) return std::nullopt;
    Napi::HandleScope scope(array->Env());
    if (ready > 0) StoreRevents(*fds, array->Value());
    return ready;
  };
  uint64_t call = instance->NextCall();
  auto done = Napi::Persistent(info[2].As<Napi::Function>());
  bool aside = info[3].IsBoolean() && info[3].As<Napi::Boolean>().Value();
  Poller& poller = aside ? instance->aside : instance->poller;
  return Started(env, call, poller.Wait(call, std::move(fds), timeout, look, std::move(done)));
}

/** An event of epoll_wait(2) is two elements: events, data. */
constexpr size_t kEpollEvent = 2;
/** As many events as one call fetches; the rest stays ready. */
constexpr size_t kMaxEvents = 256;

int64_t EpollOnce(int epfd, const Napi::Value& array) {
  size_t length = 0;
  auto* elements = Elements<double>(array, napi_float64_array, &length);
  size_t max = std::min(length / kEpollEvent, kMaxEvents);
  if (elements == nullptr || max == 0) return -EFAULT;
  epoll_event events[kMaxEvents];
  int64_t count = ResultOf(epoll_wait(epfd, events, static_cast<int>(max), 0));
  for (int64_t i = 0; i < count; i++) {
    elements[kEpollEvent * i] = events[i].events;
    memcpy(&elements[kEpollEvent * i + 1], &events[i].data, sizeof(double));
  }
  return count;
}

/** epollWait(epfd, events: Float64Array, timeoutMs, done): fills in as many events as are ready, and there is room for. */
Napi::Value EpollWait(const Napi::CallbackInfo& info) {
  auto* instance = static_cast<Instance*>(info.Data());
  Napi::Env env = info.Env();
  int epfd;
  int64_t timeout;
  if (!ToInt(env, info[0], &epfd) || !instance->HasFd(epfd)) return Result(env, -EBADF);
  if (!ToTimeout(env, info[2], &timeout)) return Result(env, -EINVAL);
  if (!info[3].IsFunction()) return Result(env, -EINVAL);

  int64_t result = EpollOnce(epfd, info[1]);
  if (result != 0 || timeout == 0) return Result(env, result);
  auto array = std::make_shared<Napi::Reference<Napi::TypedArray>>(Napi::Persistent(info[1].As<Napi::TypedArray>()));
  auto look = [array](std::vector<pollfd>* fds) -> std::optional<int64_t> {
    Napi::HandleScope scope(array->Env());
    int64_t count = EpollOnce(fds->front().fd, array->Value());
    return count == 0 ? std::nullopt : std::optional(count);
  };
  uint64_t call = instance->NextCall();
  auto done = Napi::Persistent(info[3].As<Napi::Function>());
  return Started(env, call, instance->poller.Wait(call, {{epfd, POLLIN, 0}}, timeout, look, std::move(done)));
}

/**
 * interrupt(call): true where the call has ended by that, and its function will not be called; false where the function
 * has been called, or will be, with EINTR or whatever else came first.
 */
Napi::Value Interrupt(const Napi::CallbackInfo& info) {
  auto* instance = static_cast<Instance*>(info.Data());
  uint64_t call;
  if (!ToUint64(info.Env(), info[0], &call)) return Napi::Boolean::New(info.Env(), false);
  bool ended = instance->poller.Interrupt(call) || instance->aside.Interrupt(call);
  if (!ended) instance->calls.Interrupt(call);
  return Napi::Boolean::New(info.Env(), ended);
}

/** sleepBy(turn): `turn(done)` is called where the thread is about to sleep for the wait of `done` alone. */
Napi::Value SleepBy(const Napi::CallbackInfo& info) {
  if (!info[0].IsFunction()) return Result(info.Env(), -EINVAL);
  static_cast<Instance*>(info.Data())->turn = Napi::Persistent(info[0].As<Napi::Function>());
  return Result(info.Env(), 0);
}

/** sleep(): for a turn. What the wait ended with, or undefined. */
napi_value Sleep(napi_env env, napi_callback_info info) {
  size_t count = 0;
  void* data;
  napi_get_cb_info(env, info, &count, nullptr, nullptr, &data);
  std::optional<int64_t> result = static_cast<Instance*>(data)->poller.SleepInTurn();
  napi_value value = nullptr;
  if (result) napi_create_double(env, static_cast<double>(*result), &value);
  return value;
}

}  // namespace

void DefineWaitingCalls(Exports* exports) {
  exports->Add<Poll>("poll");
  exports->Add<EpollWait>("epollWait");
  exports->Add<Interrupt>("interrupt");
  exports->Add<SleepBy>("sleepBy");
  exports->AddBare("sleep", Sleep);
}

}  // namespace usrdrv
