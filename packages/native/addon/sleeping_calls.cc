#include "sleeping_calls.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <mutex>
#include <utility>
#include <vector>

#include "instance.h"
#include "values.h"

namespace usrdrv {

namespace {

constexpr uint64_t kKickMs = 1;
/** A call's thread does nothing but the call. */
constexpr size_t kStackSize = 64 * 1024;

}  // namespace

int KickSignal() {
  // A real-time signal: those that have names belong to the program, and Node restarts calls after them.
  static const int signal = SIGRTMIN + 7;
  static std::once_flag once;
  std::call_once(once, [] {
    struct sigaction action = {};
    action.sa_handler = [](int) {};
    sigaction(signal, &action, nullptr);
  });
  return signal;
}

void SleepingCalls::Init() {
  if (handles_ > 0) return;
  uv_async_init(instance_->loop, &async_, OnFinished);
  uv_timer_init(instance_->loop, &kick_);
  async_.data = this;
  kick_.data = this;
  uv_unref(reinterpret_cast<uv_handle_t*>(&async_));
  uv_unref(reinterpret_cast<uv_handle_t*>(&kick_));
  handles_ = 2;
}

int64_t SleepingCalls::Start(uint64_t id, Kind kind, int fd, uint64_t address, uint64_t count,
                             Napi::FunctionReference done) {
  Init();
  int kick = KickSignal();
  int duplicate = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (duplicate < 0) return -errno;
  AddressSpace& memory = *instance_->memory;
  auto call = std::unique_ptr<Call>(
      new Call{kind, duplicate, count, memory.Reach(address, count), memory.AddHold(address, count), std::move(done)});
  call->finished = &async_;

  // The program's signals are for its own threads.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  sigdelset(&all, kick);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, kStackSize);
  int error = pthread_create(&call->thread, &attributes, Run, call.get());
  pthread_attr_destroy(&attributes);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (error != 0) {
    close(duplicate);
    memory.RemoveHold(call->hold);
    return -error;
  }
  if (calls_.empty()) uv_ref(reinterpret_cast<uv_handle_t*>(&async_));
  calls_.emplace(id, std::move(call));
  return 0;
}

/** In the call's own thread. */
void* SleepingCalls::Run(void* data) {
  auto* call = static_cast<Call*>(data);
  int64_t returned = call->kind == Kind::kRead ? read(call->fd, call->buffer.as<void>(), call->count)
                                               : write(call->fd, call->buffer.as<void>(), call->count);
  call->result = ResultOf(returned);
  // The file goes before anybody hears of the result.
  close(call->fd);
  uv_async_t* finished = call->finished;
  call->returned.store(true, std::memory_order_release);
  uv_async_send(finished);
  return nullptr;
}

bool SleepingCalls::Interrupt(uint64_t id) {
  auto at = calls_.find(id);
  if (at == calls_.end()) return false;
  at->second->interrupted = true;
  Kick();
  uv_timer_start(&kick_, OnKick, kKickMs, kKickMs);
  return true;
}

void SleepingCalls::Kick() {
  for (const auto& [id, call] : calls_) {
    if (call->interrupted && !call->returned.load(std::memory_order_acquire)) {
      pthread_kill(call->thread, KickSignal());
    }
  }
}

void SleepingCalls::OnKick(uv_timer_t* handle) {
  static_cast<SleepingCalls*>(handle->data)->Kick();
}

void SleepingCalls::OnFinished(uv_async_t* handle) {
  static_cast<SleepingCalls*>(handle->data)->Collect();
}

void SleepingCalls::Collect() {
  std::vector<std::unique_ptr<Call>> returned;
  bool kicking = false;
  for (auto at = calls_.begin(); at != calls_.end();) {
    if (!at->second->returned.load(std::memory_order_acquire)) {
      kicking = kicking || at->second->interrupted;
      at++;
      continue;
    }
    returned.push_back(std::move(at->second));
    at = calls_.erase(at);
  }
  if (returned.empty()) return;
  if (!kicking) uv_timer_stop(&kick_);
  if (calls_.empty()) uv_unref(reinterpret_cast<uv_handle_t*>(&async_));
  for (const auto& call : returned) {
    pthread_join(call->thread, nullptr);
    instance_->memory->RemoveHold(call->hold);
  }
  if (closing_) {
    if (calls_.empty()) Close(std::move(closed_));
    return;
  }
  for (auto& call : returned) instance_->Finish(std::move(call->done), call->result);
}

void SleepingCalls::Close(std::function<void()> closed) {
  closed_ = std::move(closed);
  closing_ = true;
  if (handles_ == 0) {
    closed_();
    return;
  }
  if (!calls_.empty()) {
    // Their threads come back first; the last one brings us here again.
    for (const auto& [id, call] : calls_) call->interrupted = true;
    Kick();
    uv_timer_start(&kick_, OnKick, kKickMs, kKickMs);
    return;
  }
  auto on_closed = [](uv_handle_t* handle) {
    auto* self = static_cast<SleepingCalls*>(handle->data);
    if (--self->handles_ == 0) self->closed_();
  };
  uv_close(reinterpret_cast<uv_handle_t*>(&async_), on_closed);
  uv_close(reinterpret_cast<uv_handle_t*>(&kick_), on_closed);
}

}  // namespace usrdrv
