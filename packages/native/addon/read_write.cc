#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <optional>

#include "calls.h"
#include "instance.h"
#include "values.h"

// read(2) and write(2). A read that sleeps waits in the event loop, and is made when there is something; only one of a file
// that cannot be polled, and a write that sleeps, has a thread of its own.

namespace usrdrv {

namespace {

using Kind = SleepingCalls::Kind;

/**
 * Whether a read or write of the file can go to sleep for as long as it likes: not on a disk or in sysfs, where it is done
 * when it is done; but in procfs, where the irq file is.
 */
bool MaySleep(int fd) {
  int flags = fcntl(fd, F_GETFL);
  if (flags < 0 || (flags & O_NONBLOCK) != 0) return false;
  struct stat stat;
  if (fstat(fd, &stat) != 0) return false;
  if (S_ISDIR(stat.st_mode) || S_ISBLK(stat.st_mode)) return false;
  if (!S_ISREG(stat.st_mode)) return true;
  struct statfs fs;
  return fstatfs(fd, &fs) == 0 && fs.f_type == PROC_SUPER_MAGIC;
}

int64_t Make(Kind kind, int fd, void* buffer, uint64_t count) {
  int64_t result;
  do {
    result = ResultOf(kind == Kind::kRead ? read(fd, buffer, count) : write(fd, buffer, count));
  } while (result == -EINTR);
  return result;
}

/** -EAGAIN where it would sleep, -EOPNOTSUPP where the file cannot tell. */
int64_t MakeAtOnce(Kind kind, int fd, void* buffer, uint64_t count) {
  iovec vector = {buffer, count};
  int64_t result;
  do {
    result = ResultOf(kind == Kind::kRead ? preadv2(fd, &vector, 1, -1, RWF_NOWAIT)
                                          : pwritev2(fd, &vector, 1, -1, RWF_NOWAIT));
  } while (result == -EINTR);
  return result;
}

/** A read that sleeps. The line of an irq file is unmasked by the poll that its wait begins with (P10). */
class SleepingRead {
 public:
  SleepingRead(Instance* instance, uint64_t address, uint64_t count, bool tells)
      : memory_(instance->memory),
        buffer_(memory_->Reach(address, count)),
        hold_(memory_->AddHold(address, count)),
        count_(count),
        tells_(tells) {}
  SleepingRead(const SleepingRead&) = delete;
  SleepingRead& operator=(const SleepingRead&) = delete;
  ~SleepingRead() { memory_->RemoveHold(hold_); }

  /** The result; nothing where somebody else was faster, and it has to go on waiting. */
  std::optional<int64_t> Look(int fd) const {
    int64_t result = tells_ ? MakeAtOnce(Kind::kRead, fd, buffer_.as<void>(), count_) : LookNonblocking(fd);
    return result == -EAGAIN ? std::nullopt : std::optional(result);
  }

 private:
  /** What is open was opened here, and with O_CLOEXEC: its flags are nobody else's. */
  int64_t LookNonblocking(int fd) const {
    int flags = fcntl(fd, F_GETFL);
    fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    int64_t result = Make(Kind::kRead, fd, buffer_.as<void>(), count_);
    fcntl(fd, F_SETFL, flags);
    return result;
  }

  std::shared_ptr<AddressSpace> memory_;
  UserPointer buffer_;
  AddressSpace::Hold hold_;
  uint64_t count_;
  /** Whether the file takes RWF_NOWAIT. */
  bool tells_;
};

int64_t Sleep(Instance* instance, Kind kind, uint64_t call, int fd, uint64_t address, uint64_t count, bool tells,
              const Napi::Function& done) {
  if (kind == Kind::kRead) {
    auto read = std::make_shared<SleepingRead>(instance, address, count, tells);
    auto look = [read](std::vector<pollfd>* fds) { return read->Look(fds->front().fd); };
    int64_t started = instance->poller.Wait(call, {{fd, POLLIN, 0}}, -1, look, Napi::Persistent(done));
    if (started != -EPERM) return started;
  }
  return instance->calls.Start(call, kind, fd, address, count, Napi::Persistent(done));
}

Napi::Value ReadOrWrite(const Napi::CallbackInfo& info, Kind kind) {
  auto* instance = static_cast<Instance*>(info.Data());
  Napi::Env env = info.Env();
  int fd;
  uint64_t address;
  int64_t count;
  if (!ToInt(env, info[0], &fd) || !instance->HasFd(fd)) return Result(env, -EBADF);
  if (!ToUint64(env, info[1], &address)) return Result(env, -EFAULT);
  if (!ToInteger(env, info[2], &count)) return Result(env, -EINVAL);
  if (!info[3].IsFunction()) return Result(env, -EINVAL);

  int64_t result;
  {
    UserPointer buffer = instance->memory->Reach(address, count);
    // A count below 0 is refused by read(2) in words of its own.
    if (count < 0 || !MaySleep(fd)) return Result(env, Make(kind, fd, buffer.as<void>(), count));
    result = MakeAtOnce(kind, fd, buffer.as<void>(), count);
    if (result != -EAGAIN && result != -EOPNOTSUPP) return Result(env, result);
  }
  uint64_t call = instance->NextCall();
  bool tells = result == -EAGAIN;
  return Started(env, call, Sleep(instance, kind, call, fd, address, count, tells, info[3].As<Napi::Function>()));
}

/** read(fd, address, count, done) */
Napi::Value Read(const Napi::CallbackInfo& info) {
  return ReadOrWrite(info, Kind::kRead);
}

/** write(fd, address, count, done) */
Napi::Value Write(const Napi::CallbackInfo& info) {
  return ReadOrWrite(info, Kind::kWrite);
}

/**
 * readCount(fd): read(2) of one native int, which sleeps in this thread, the event loop with it. The int, or -errno: EINTR
 * where the watchdog kicks. A bare call: it stands between an interrupt and its handler.
 */
napi_value ReadCount(napi_env env, napi_callback_info info) {
  size_t arguments = 1;
  napi_value argument;
  void* data;
  napi_get_cb_info(env, info, &arguments, &argument, nullptr, &data);
  int fd;
  int64_t result = -EBADF;
  if (ToInt(env, argument, &fd) && static_cast<Instance*>(data)->HasFd(fd)) {
    int32_t count = 0;
    result = ResultOf(read(fd, &count, sizeof(count)));
    if (result >= 0) result = result == sizeof(count) ? count : -EIO;
  }
  napi_value value = nullptr;
  napi_create_int32(env, static_cast<int32_t>(result), &value);
  return value;
}

}  // namespace

void DefineReadWriteCalls(Exports* exports) {
  exports->Add<Read>("read");
  exports->Add<Write>("write");
  exports->AddBare("readCount", ReadCount);
}

}  // namespace usrdrv
