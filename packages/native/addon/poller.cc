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
  uv_prepare_init(instance_->loop, &prepare_);
  handles_ = 3;
  poll_.data = this;
  timer_.data = this;
  prepare_.data = this;
  // Always on, because that costs no system calls; it keeps the thread alive only while somebody waits.
  uv_poll_start(&poll_, UV_READABLE, OnReady);
  uv_prepare_start(&prepare_, OnPrepare);
  uv_unref(reinterpret_cast<uv_handle_t*>(&poll_));
  uv_unref(reinterpret_cast<uv_handle_t*>(&timer_));
  uv_unref(reinterpret_cast<uv_handle_t*>(&prepare_));
  return 0;
}

int64_t Poller::Wait(uint64_t call, std::vector<pollfd> fds, int64_t timeout_ns, Look look,
                     Napi::FunctionReference done) {
  int64_t started = Start();
  if (started < 0) return started;
  uint64_t deadline = timeout_ns < 0 ? kNever : uv_hrtime() + static_cast<uint64_t>(timeout_ns);
  auto [at, inserted] =
      waiters_.emplace(call, Waiter{std::move(fds), {}, deadline, std::move(look), std::move(done)});
  if (keeps_alive_ && waiters_.size() == 1) uv_ref(reinterpret_cast<uv_handle_t*>(&poll_));
  for (const pollfd& entry : at->second.fds) {
    // What the thread sleeps on itself is seen to before it sleeps again.
    int64_t watched = entry.fd < 0 || entry.fd == slept_on_ ? 0 : Watch(entry.fd);
    if (watched == 0) continue;
    Interrupt(call);
    return watched;
  }
  if (deadline != kNever) SetTimer();
  return 0;
}

/**
 * Enters the descriptor for all that anybody waits for. This asks the file, as each pass of poll(2) does; and one that is
 * entered already is asked by the event loop, as soon as it has been ready again.
 */
int64_t Poller::Watch(int fd) {
  uint32_t events = 0;
  for (const auto& [call, waiter] : waiters_) {
    for (const pollfd& entry : waiter.fds) {
      if (entry.fd == fd) events |= static_cast<uint16_t>(entry.events);
    }
  }
  if (fd == slept_on_) slept_on_ = -1;
  return WatchFor(fd, events);
}

int64_t Poller::WatchFor(int fd, uint32_t events) {
  epoll_event event = {};
  event.events = events;
  event.data.fd = fd;
  auto watched = watched_.find(fd);
  if (watched != watched_.end() && watched->second == events) return 0;
  int op = watched == watched_.end() ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
  if (epoll_ctl(epfd_, op, fd, &event) < 0) return -errno;
  watched_[fd] = events;
  return 0;
}

bool Poller::Interrupt(uint64_t call) {
  auto at = waiters_.find(call);
  if (at == waiters_.end()) return false;
  Waiters::node_type gone = Remove(at);
  LetGo(gone.mapped());
  return true;
}

/** Takes a waiter out of the books, and closes what it held open; what it waits for is still watched. */
Poller::Waiters::node_type Poller::Remove(Waiters::iterator at) {
  Waiters::node_type gone = waiters_.extract(at);
  for (int fd : gone.mapped().held) {
    Unwatch(fd);
    close(fd);
  }
  return gone;
}

/** What is no more for the sake of one that has been removed. */
void Poller::LetGo(const Waiter& waiter) {
  for (const pollfd& entry : waiter.fds) Unwatch(entry.fd);
  if (waiters_.empty()) uv_unref(reinterpret_cast<uv_handle_t*>(&poll_));
  if (waiter.deadline != kNever) SetTimer();
}

/** Nobody may be woken, and no line unmasked, on behalf of one who has gone. */
void Poller::Unwatch(int fd) {
  if (watched_.count(fd) == 0) return;
  for (const auto& [call, waiter] : waiters_) {
    if (waiter.IsFor(fd)) return;
  }
  Forget(fd);
}

void Poller::Forget(int fd) {
  if (watched_.erase(fd) != 0) epoll_ctl(epfd_, EPOLL_CTL_DEL, fd, nullptr);
  if (fd == slept_on_) slept_on_ = -1;
}

bool Poller::Waiter::IsFor(int fd) const {
  for (const pollfd& entry : fds) {
    if (entry.fd == fd) return true;
  }
  return false;
}

std::vector<uint64_t> Poller::WaitersOf(int fd) const {
  std::vector<uint64_t> calls;
  for (const auto& [call, waiter] : waiters_) {
    if (waiter.IsFor(fd)) calls.push_back(call);
  }
  return calls;
}

void Poller::OnClose(int fd) {
  std::vector<uint64_t> calls = WaitersOf(fd);
  Forget(fd);
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

/** The event loop is about to sleep. */
void Poller::OnPrepare(uv_prepare_t* handle) {
  auto* self = static_cast<Poller*>(handle->data);
  if (self->waiters_.empty()) return;
  if (self->keeps_alive_) self->Sleep();
  // Whoever waits for it now has the loop to wake it.
  if (self->slept_on_ >= 0) self->Watch(self->slept_on_);
}

/** Sleeps for as long as the event loop would, and not at all where it has anything to do first. */
void Poller::Sleep() {
  if (instance_->turn.IsEmpty()) return;
  do {
    if (!Only() || uv_backend_timeout(instance_->loop) == 0) return;
    may_sleep_ = true;
    goes_on_ = false;
    Napi::HandleScope scope(instance_->env);
    instance_->Call(instance_->turn.Value(), waiters_.begin()->second.done.Value());
    may_sleep_ = false;
    // Not before: who waits again right away finds the descriptor watched, and the thread alive.
    if (!gone_.empty()) LetGo(Waiters::node_type(std::move(gone_)).mapped());
  } while (goes_on_);
}

std::optional<int64_t> Poller::SleepInTurn() {
  std::optional<pollfd> only = may_sleep_ ? Only() : std::nullopt;
  if (!only) return std::nullopt;
  may_sleep_ = false;
  // In the set it would wake the loop as well.
  if (only->fd != slept_on_ && WatchFor(only->fd, 0) == 0) slept_on_ = only->fd;
  pollfd fds[] = {*only, {uv_backend_fd(instance_->loop), POLLIN, 0}};
  int ready = poll(fds, 2, uv_backend_timeout(instance_->loop));
  uv_update_time(instance_->loop);
  goes_on_ = ready > 0 && fds[1].revents == 0;
  if (ready <= 0 || fds[0].revents == 0) return std::nullopt;
  auto at = waiters_.begin();
  std::optional<int64_t> result = at->second.look(&at->second.fds);
  if (result) gone_ = Remove(at);
  return result;
}

/** The one descriptor that anybody waits for. */
std::optional<pollfd> Poller::Only() const {
  if (waiters_.size() != 1) return std::nullopt;
  const Waiter& waiter = waiters_.begin()->second;
  if (waiter.fds.size() != 1 || waiter.fds.front().fd < 0) return std::nullopt;
  return waiter.fds.front();
}

void Poller::OnReady(uv_poll_t* handle, int, int) {
  auto* self = static_cast<Poller*>(handle->data);
  // One that waits alone is a driver that waits for its interrupt: no lists on the way.
  if (self->waiters_.size() == 1 && self->watched_.size() == 1) {
    self->LookAgain(self->waiters_.begin());
    return;
  }
  std::vector<uint64_t> calls;
  for (int fd : self->Ready()) {
    for (uint64_t call : self->WaitersOf(fd)) calls.push_back(call);
  }
  self->LookAgain(calls);
}

/** The descriptors that may be ready. */
std::vector<int> Poller::Ready() const {
  epoll_event events[kBatch];
  int count = epoll_wait(epfd_, events, kBatch, 0);
  std::vector<int> ready;
  for (int i = 0; i < count; i++) ready.push_back(events[i].data.fd);
  return ready;
}

void Poller::LookAgain(const std::vector<uint64_t>& calls) {
  for (uint64_t call : calls) {
    // JavaScript runs in between, and may have interrupted it.
    auto at = waiters_.find(call);
    if (at != waiters_.end()) LookAgain(at);
  }
}

void Poller::LookAgain(Waiters::iterator at) {
  Waiter& waiter = at->second;
  std::optional<int64_t> result = waiter.look(&waiter.fds);
  if (!result && waiter.deadline != kNever && waiter.deadline <= uv_hrtime()) result = 0;
  if (!result) return;
  Waiters::node_type gone = Remove(at);
  instance_->Finish(std::move(waiter.done), *result);
  // Not before: who waits again right away finds the descriptor watched, and the thread alive.
  LetGo(waiter);
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
  self->SetTimer();
}

void Poller::Close(std::function<void()> closed) {
  closed_ = std::move(closed);
  for (auto& [call, waiter] : waiters_) {
    for (int fd : waiter.held) close(fd);
  }
  waiters_.clear();
  watched_.clear();
  slept_on_ = -1;
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
  uv_close(reinterpret_cast<uv_handle_t*>(&prepare_), on_closed);
}

}  // namespace usrdrv
