#include "instance.h"

#include <unistd.h>

#include <utility>

#include "values.h"

namespace usrdrv {

Instance::Instance(Napi::Env environment)
    : env(environment),
      loop(LoopOf(environment)),
      memory(std::make_shared<AddressSpace>(environment, &mmio)),
      poller(this, true),
      aside(this, false),
      calls(this) {
  napi_add_async_cleanup_hook(env, CleanUp, this, &cleanup_);
}

uv_loop_t* Instance::LoopOf(napi_env env) {
  uv_loop_t* loop = nullptr;
  napi_get_uv_event_loop(env, &loop);
  return loop;
}

int64_t Instance::AddFd(int64_t fd) {
  if (fd >= 0) files_.insert_or_assign(static_cast<int>(fd), OpenFile{});
  return fd;
}

void Instance::Finish(Napi::FunctionReference done, int64_t result) {
  Napi::HandleScope scope(env);
  Call(done.Value(), Result(env, result));
}

void Instance::Call(Napi::Function function, napi_value argument) {
  // Opens a callback scope, so that who waits for the promise that this settles goes on at once. Where the thread is about
  // to end no JavaScript runs any more, and the result is nobody's.
  napi_status status = napi_make_callback(env, nullptr, function, function, 1, &argument, nullptr);
  if (status != napi_pending_exception) return;
  napi_value error;
  if (napi_get_and_clear_last_exception(env, &error) == napi_ok) napi_fatal_exception(env, error);
}

int OwnFd(const Napi::CallbackInfo& info, size_t argument) {
  auto* instance = static_cast<Instance*>(info.Data());
  int fd;
  return ToInt(info.Env(), info[argument], &fd) && instance->HasFd(fd) ? fd : -1;
}

/** The thread ends. Its handles close first; each that has is told off in OnClosed. */
void Instance::CleanUp(napi_async_cleanup_hook_handle, void* data) {
  auto* self = static_cast<Instance*>(data);
  self->watchdog.Stop();
  self->turn.Reset();
  self->closing_ = 3;
  self->poller.Close([self] { self->OnClosed(); });
  self->aside.Close([self] { self->OnClosed(); });
  self->calls.Close([self] { self->OnClosed(); });
}

void Instance::OnClosed() {
  if (--closing_ > 0) return;
  // Nothing sleeps any more. Devices first: their release turns bus mastering off, and only then may memory go (U2).
  for (const auto& [fd, file] : std::exchange(files_, {})) close(fd);
  memory->Close();
  napi_remove_async_cleanup_hook(cleanup_);
}

}  // namespace usrdrv
