#pragma once

#include <time.h>

#include <cstdint>

namespace usrdrv {

/**
 * Interrupts the system calls of one thread now and then, so that a thread that sleeps in `readSync` comes back to
 * JavaScript, where it notices that it has been told to end.
 */
class Watchdog {
 public:
  ~Watchdog() { Stop(); }
  /** For the calling thread: 0 or -errno. */
  int64_t Start();
  void Stop();

 private:
  timer_t timer_;
  bool running_ = false;
};

}  // namespace usrdrv
