#pragma once

#include <napi.h>
#include <pthread.h>
#include <uv.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>

#include "address_space.h"

namespace usrdrv {

class Instance;

/** The signal that makes a call return EINTR. Its handler does nothing, and is there after this. */
int KickSignal();

/** read(2) and write(2) that the poller cannot wait for: each in a thread of its own, asleep in the kernel like any other. */
class SleepingCalls {
 public:
  enum class Kind { kRead, kWrite };

  explicit SleepingCalls(Instance* instance) : instance_(instance) {}

  /**
   * Starts a call. It holds the file and the memory until it has returned (P8).
   * @return 0 or -errno, in which case `done` is never called
   */
  int64_t Start(uint64_t call, Kind kind, int fd, uint64_t address, uint64_t count, Napi::FunctionReference done);
  /** A signal for the thread that makes the call: it returns EINTR, unless it is just coming back with a result. */
  bool Interrupt(uint64_t call);

  /** The thread ends. */
  void Close(std::function<void()> closed);

 private:
  struct Call {
    Kind kind;
    int fd;
    uint64_t count;
    UserPointer buffer;
    AddressSpace::Hold hold;
    Napi::FunctionReference done;
    bool interrupted = false;
    pthread_t thread = 0;
    uv_async_t* finished = nullptr;
    int64_t result = 0;
    std::atomic<bool> returned{false};
  };

  static void* Run(void* data);
  static void OnFinished(uv_async_t* handle);
  static void OnKick(uv_timer_t* handle);

  void Init();
  void Kick();
  void Collect();

  Instance* instance_;
  std::map<uint64_t, std::unique_ptr<Call>> calls_;
  uv_async_t async_;
  /** A kick that comes before its thread is asleep is lost: they are repeated until the call is back. */
  uv_timer_t kick_;
  int handles_ = 0;
  bool closing_ = false;
  std::function<void()> closed_;
};

}  // namespace usrdrv
