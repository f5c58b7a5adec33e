#pragma once

#include <napi.h>
#include <poll.h>
#include <uv.h>

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <unordered_map>
#include <vector>

namespace usrdrv {

class Instance;

/**
 * Waits of calls that sleep, without a thread: an epoll set of the descriptors that somebody waits for, watched by the
 * event loop through one uv_poll. A descriptor is in it only while somebody waits for it, because the kernel asks what is in
 * it, and so unmasks an interrupt line (P10), whenever it has been ready.
 *
 * Where one descriptor is all that anybody waits for, the thread sleeps on it and on the event loop's descriptor together,
 * in the loop's place, and in a call that JavaScript makes: an interrupt then finds its reader without two epoll sets and a
 * turn of the loop in between, and V8 comes back from a call faster than it enters a function.
 */
class Poller {
 public:
  /** What a wait ends with: looks again, and returns the result, or nothing where it has to go on waiting. */
  using Look = std::function<std::optional<int64_t>(std::vector<pollfd>*)>;

  /** @param keeps_alive whether the thread goes on for the sake of those who wait, and may sleep for one of them alone */
  Poller(Instance* instance, bool keeps_alive) : instance_(instance), keeps_alive_(keeps_alive) {}

  /**
   * Waits until one of the descriptors is ready for its events and `look` finds something, or the time is up: 0 then.
   * @param timeout_ns below 0: for ever
   * @return 0 or -errno, in which case `done` is never called: -EPERM for a file that cannot be polled
   */
  int64_t Wait(uint64_t call, std::vector<pollfd> fds, int64_t timeout_ns, Look look, Napi::FunctionReference done);
  /** Ends a wait without a word to `done`. False where there is none of that name. */
  bool Interrupt(uint64_t call);
  /** Somebody closes the descriptor: who waits for it holds on to the file, as a sleeping poll(2) does (P8). */
  void OnClose(int fd);
  /** The sleep, called by `Instance::turn`; nothing where the loop is not about to sleep, or there is something else to do. */
  std::optional<int64_t> SleepInTurn();

  /** The thread ends. */
  void Close(std::function<void()> closed);

 private:
  struct Waiter {
    std::vector<pollfd> fds;
    /** Duplicates of descriptors that were closed meanwhile. */
    std::vector<int> held;
    /** On uv_hrtime's clock. */
    uint64_t deadline;
    Look look;
    Napi::FunctionReference done;

    bool IsFor(int fd) const;
  };
  using Waiters = std::map<uint64_t, Waiter>;

  static void OnReady(uv_poll_t* handle, int status, int events);
  static void OnTime(uv_timer_t* handle);
  static void OnPrepare(uv_prepare_t* handle);

  int64_t Start();
  void Sleep();
  std::optional<pollfd> Only() const;
  int64_t Watch(int fd);
  int64_t WatchFor(int fd, uint32_t events);
  void Unwatch(int fd);
  void Forget(int fd);
  std::vector<int> Ready() const;
  void LookAgain(const std::vector<uint64_t>& calls);
  void LookAgain(Waiters::iterator at);
  Waiters::node_type Remove(Waiters::iterator at);
  void LetGo(const Waiter& waiter);
  void SetTimer();
  std::vector<uint64_t> WaitersOf(int fd) const;

  Instance* instance_;
  const bool keeps_alive_;
  int epfd_ = -1;
  uv_poll_t poll_;
  uv_timer_t timer_;
  uv_prepare_t prepare_;
  Waiters waiters_;
  /** The descriptors in the set, and for which events. */
  std::unordered_map<int, uint32_t> watched_;
  /** The one that the thread sleeps on itself, in the set for no events; -1 for none. */
  int slept_on_ = -1;
  int handles_ = 0;
  /** Of a turn: whether it may sleep, has nothing but more sleep to follow, and whose wait it has ended. */
  bool may_sleep_ = false;
  bool goes_on_ = false;
  Waiters::node_type gone_;
  std::function<void()> closed_;
};

}  // namespace usrdrv
