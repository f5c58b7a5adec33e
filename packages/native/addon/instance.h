#pragma once

#include <napi.h>
#include <uv.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <unordered_map>

#include "address_space.h"
#include "mmio.h"
#include "poller.h"
#include "realtime.h"
#include "sleeping_calls.h"

namespace usrdrv {

/** What is known of an open file, and does not change. */
struct OpenFile {
  /** Whether its calls can sleep for as long as they like. */
  std::optional<bool> may_sleep;
  /** Whether it takes RWF_NOWAIT, until it has said that it does not. */
  bool tells_read = true;
  bool tells_write = true;
  /** Whether a read has asked. */
  bool asked = false;
};

/**
 * Everything that one JavaScript thread, the main one or a worker, has opened, mapped and waits for. It is nobody else's,
 * so nothing here needs a lock, and it goes when the thread ends.
 */
class Instance {
 public:
  explicit Instance(Napi::Env env);

  /** Whether a descriptor was opened here: the others of the process, Node's own among them, are not reached. */
  bool HasFd(int fd) const { return files_.count(fd) != 0; }
  /** Of a descriptor that was opened here. */
  OpenFile* FileOf(int fd) { return &files_.at(fd); }
  /** Takes in a descriptor: the result of the call that opened it, or its -errno. */
  int64_t AddFd(int64_t fd);
  void RemoveFd(int fd) { files_.erase(fd); }

  /** What names a call that sleeps; never used again. */
  uint64_t NextCall() { return ++last_call_; }
  /** Hands the result of a call that slept to JavaScript. */
  void Finish(Napi::FunctionReference done, int64_t result);
  /** Calls a function from the event loop. */
  void Call(Napi::Function function, napi_value argument);

  const Napi::Env env;
  uv_loop_t* const loop;

  MmioRegions mmio;
  const std::shared_ptr<AddressSpace> memory;
  Poller poller;
  /** For waits that the thread does not go on for: those of drivers that wait alone stay alone. */
  Poller aside;
  SleepingCalls calls;
  Watchdog watchdog;
  /**
   * Called where the thread is about to sleep for one wait alone, with its function: what sleeps, and passes on what comes.
   * Empty where the event loop sleeps for all.
   */
  Napi::FunctionReference turn;

 private:
  static void CleanUp(napi_async_cleanup_hook_handle handle, void* data);
  static uv_loop_t* LoopOf(napi_env env);
  void OnClosed();

  /** By descriptor. */
  std::unordered_map<int, OpenFile> files_;
  uint64_t last_call_ = 0;
  napi_async_cleanup_hook_handle cleanup_ = nullptr;
  /** What still has to close before the thread can end. */
  int closing_ = 0;
};

/** The descriptor in an argument where it was opened in this thread, or -1. */
int OwnFd(const Napi::CallbackInfo& info, size_t argument);

}  // namespace usrdrv
