#include "poller.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <limits>

#include "instance.h"
#include "values.h"

namespace usrdrv {

namespace {

constexpr uint64_t kNever = std::numeric_limits<uint64_t>::max();
constexpr int kBatch = 64;
constexpr uint64_t kNanosecondsInMs = 1'000'000;

}  // namespace

int64_t Poller::Start() {
  if (epfd_ >= 0) return 0;
  int fd = epoll_create1(EPOLL_CLOEXEC);
  if (fd < 0) return -errno;
  int error = uv_poll_init(instance_->loop, &poll_, fd);
  if (error != 0) {
    close(fd);
    return error;
  }
  epfd_ = fd;
  uv_timer_init(instance_->loop, &timer_);
  handles_ = 2;
  poll_.data = this;
  timer_.data = this;
  // Always on, because that costs no system calls; it keeps the thread alive only while somebody waits.
  uv_poll_start(&poll_, UV_READABLE, OnReady);
  uv_unref(reinterpret_cast<uv_handle_t*>(&poll_));
  uv_unref(reinterpret_cast<uv_handle_t*>(&timer_));
  return 0;
}

int64_t Poller::Wait(uint64_t call, std::vector<pollfd> fds, int64_t timeout_ns, Look look,
                     Napi::FunctionReference done, bool keeps_alive) {
  int64_t started = Start();
  if (started < 0) return started;
  uint64_t deadline = timeout_ns < 0 ? kNever : uv_hrtime() + static_cast<uint64_t>(timeout_ns);
  auto [at, inserted] =
      waiters_.emplace(call, Waiter{std::move(fds), {}, deadline, std::move(look), std::move(done), keeps_alive});
  if (keeps_alive && keeping_++ == 0) uv_ref(reinterpret_cast<uv_handle_t*>(&poll_));
  if (std::optional<int64_t> failed = WatchAgain(at->second)) {
    Remove(at);
    return *failed;
  }
  SetTimer();
  return 0;
}

/** Arms the descriptor's entry for all that anybody waits for. This asks the file, as each pass of poll(2) does. */
int64_t Poller::Watch(int fd) {
  epoll_event event = {};
  event.data.fd = fd;
  for (const auto& [call, waiter] : waiters_) {
    for (const pollfd& entry : waiter.fds) {
      if (entry.fd == fd) event.events |= static_cast<uint16_t>(entry.events);
    }
  }
  auto armed = armed_.find(fd);
  if (armed != armed_.end() && armed->second == event.events) return 0;
  uint32_t events = event.events;
  event.events |= EPOLLONESHOT;
  // An entry that fired is still there, but for the descriptor of a file that was closed.
  int result = epoll_ctl(epfd_, EPOLL_CTL_MOD, fd, &event);
  if (result < 0 && errno == ENOENT) result = epoll_ctl(epfd_, EPOLL_CTL_ADD, fd, &event);
  if (result < 0) return -errno;
  armed_[fd] = events;
  return 0;
}

/** For another round of a wait: nothing, or what it ends with. */
std::optional<int64_t> Poller::WatchAgain(const Waiter& waiter) {
  for (const pollfd& entry : waiter.fds) {
    int64_t watched = entry.fd < 0 ? 0 : Watch(entry.fd);
    if (watched < 0) return watched;
  }
  return std::nullopt;
}

bool Poller::Interrupt(uint64_t call) {
  auto at = waiters_.find(call);
  if (at == waiters_.end()) return false;
  Remove(at);
  SetTimer();
  return true;
}

Poller::Waiter Poller::Remove(Waiters::iterator at) {
  Waiter waiter = std::move(at->second);
  waiters_.erase(at);
  Unwatch(waiter);
  for (int fd : waiter.held) close(fd);
  if (waiter.keeps_alive && --keeping_ == 0) uv_unref(reinterpret_cast<uv_handle_t*>(&poll_));
  return waiter;
}

/** Nobody may be woken, and no line unmasked, on behalf of one who has gone. */
void Poller::Unwatch(const Waiter& waiter) {
  for (const pollfd& entry : waiter.fds) {
    if (armed_.count(entry.fd) == 0 || !WaitersOf(entry.fd).empty()) continue;
    armed_.erase(entry.fd);
    epoll_ctl(epfd_, EPOLL_CTL_DEL, entry.fd, nullptr);
  }
}

std::vector<uint64_t> Poller::WaitersOf(int fd) const {
  std::vector<uint64_t> calls;
  for (const auto& [call, waiter] : waiters_) {
    for (const pollfd& entry : waiter.fds) {
      if (entry.fd != fd) continue;
      calls.push_back(call);
      break;
    }
  }
  return calls;
}

void Poller::OnClose(int fd) {
  std::vector<uint64_t> calls = WaitersOf(fd);
  if (armed_.erase(fd) != 0) epoll_ctl(epfd_, EPOLL_CTL_DEL, fd, nullptr);
  for (uint64_t call : calls) {
    Waiter& waiter = waiters_.at(call);
    int held = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    // Out of descriptors: the wait goes on for what else it waits for, and for its time.
    if (held >= 0) waiter.held.push_back(held);
    for (pollfd& entry : waiter.fds) {
      if (entry.fd == fd) entry.fd = held;
    }
    if (held >= 0) Watch(held);
  }
}

void Poller::OnReady(uv_poll_t* handle, int, int) {
  auto* self = static_cast<Poller*>(handle->data);
  epoll_event events[kBatch];
  int count = epoll_wait(self->epfd_, events, kBatch, 0);
  std::vector<uint64_t> calls;
  for (int i = 0; i < count; i++) {
    self->armed_.erase(events[i].data.fd);
    for (uint64_t call : self->WaitersOf(events[i].data.fd)) calls.push_back(call);
  }
  self->LookAgain(calls);
}

void Poller::LookAgain(const std::vector<uint64_t>& calls) {
  for (uint64_t call : calls) {
    // JavaScript runs in between, and may have interrupted it.
    auto at = waiters_.find(call);
    if (at == waiters_.end()) continue;
    std::optional<int64_t> result = at->second.look(&at->second.fds);
    if (!result && at->second.deadline <= uv_hrtime()) result = 0;
    if (!result) result = WatchAgain(at->second);
    if (!result) continue;
    Waiter waiter = Remove(at);
    instance_->Finish(std::move(waiter.done), *result);
  }
  SetTimer();
}

void Poller::SetTimer() {
  if (handles_ == 0) return;
  uint64_t first = kNever;
  for (const auto& [call, waiter] : waiters_) first = std::min(first, waiter.deadline);
  if (first == kNever) {
    uv_timer_stop(&timer_);
    return;
  }
  uint64_t now = uv_hrtime();
  // libuv's time stands still while JavaScript runs, and its timers count from it; never early, at most 1 ms late.
  uv_update_time(instance_->loop);
  uint64_t left = first > now ? first - now : 0;
  uv_timer_start(&timer_, OnTime, (left + kNanosecondsInMs - 1) / kNanosecondsInMs, 0);
}

void Poller::OnTime(uv_timer_t* handle) {
  auto* self = static_cast<Poller*>(handle->data);
  uint64_t now = uv_hrtime();
  std::vector<uint64_t> calls;
  for (const auto& [call, waiter] : self->waiters_) {
    if (waiter.deadline <= now) calls.push_back(call);
  }
  self->LookAgain(calls);
}

void Poller::Close(std::function<void()> closed) {
  closed_ = std::move(closed);
  for (auto& [call, waiter] : waiters_) {
    for (int fd : waiter.held) close(fd);
  }
  waiters_.clear();
  armed_.clear();
  if (handles_ == 0) {
    closed_();
    return;
  }
  auto on_closed = [](uv_handle_t* handle) {
    auto* self = static_cast<Poller*>(handle->data);
    if (--self->handles_ > 0) return;
    close(self->epfd_);
    self->epfd_ = -1;
    self->closed_();
  };
  uv_close(reinterpret_cast<uv_handle_t*>(&poll_), on_closed);
  uv_close(reinterpret_cast<uv_handle_t*>(&timer_), on_closed);
}

}  // namespace usrdrv
