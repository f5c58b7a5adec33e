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
 * Whether a read or write of the file can go to sleep for as long as it likes, but for O_NONBLOCK: not on a disk or in sysfs,
 * where it is done when it is done; but in procfs, where the irq file is.
 */
bool MaySleep(int fd) {
  struct stat stat;
  if (fstat(fd, &stat) != 0) return false;
  if (S_ISDIR(stat.st_mode) || S_ISBLK(stat.st_mode)) return false;
  if (!S_ISREG(stat.st_mode)) return true;
  struct statfs fs;
  return fstatfs(fd, &fs) == 0 && fs.f_type == PROC_SUPER_MAGIC;
}

/** How a read keeps from sleeping. */
enum class Manner {
  /** RWF_NOWAIT, which not every file takes. */
  kNoWait,
  /** The file has O_NONBLOCK. */
  kNonblocking,
  /** The file gets O_NONBLOCK for this one call. What is open was opened here, and with O_CLOEXEC: its flags are nobody else's. */
  kMadeNonblocking,
};

int64_t Make(Kind kind, int fd, void* buffer, uint64_t count) {
  int64_t result;
  do {
    result = ResultOf(kind == Kind::kRead ? read(fd, buffer, count) : write(fd, buffer, count));
  } while (result == -EINTR);
  return result;
}

/** -EAGAIN where it would sleep, -EOPNOTSUPP where the file cannot tell. */
int64_t MakeNoWait(Kind kind, int fd, void* buffer, uint64_t count) {
  iovec vector = {buffer, count};
  int64_t result;
  do {
    result = ResultOf(kind == Kind::kRead ? preadv2(fd, &vector, 1, -1, RWF_NOWAIT)
                                          : pwritev2(fd, &vector, 1, -1, RWF_NOWAIT));
  } while (result == -EINTR);
  return result;
}

/** A read that does not sleep: nothing where it would have to. */
std::optional<int64_t> ReadNow(int fd, void* buffer, uint64_t count, Manner manner) {
  int64_t result;
  if (manner == Manner::kNoWait) {
    result = MakeNoWait(Kind::kRead, fd, buffer, count);
  } else if (manner == Manner::kNonblocking) {
    result = Make(Kind::kRead, fd, buffer, count);
  } else {
    int flags = fcntl(fd, F_GETFL);
    fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    result = Make(Kind::kRead, fd, buffer, count);
    fcntl(fd, F_SETFL, flags);
  }
  return result == -EAGAIN ? std::nullopt : std::optional(result);
}

/** A read that sleeps. The line of an irq file is unmasked by the poll that its wait begins with (P10). */
class SleepingRead {
 public:
  SleepingRead(Instance* instance, uint64_t address, uint64_t count, Manner manner)
      : memory_(instance->memory),
        buffer_(memory_->Reach(address, count)),
        hold_(memory_->AddHold(address, count)),
        count_(count),
        manner_(manner) {}
  SleepingRead(const SleepingRead&) = delete;
  SleepingRead& operator=(const SleepingRead&) = delete;
  ~SleepingRead() { memory_->RemoveHold(hold_); }

  std::optional<int64_t> Look(int fd) const { return ReadNow(fd, buffer_.as<void>(), count_, manner_); }

 private:
  std::shared_ptr<AddressSpace> memory_;
  UserPointer buffer_;
  AddressSpace::Hold hold_;
  uint64_t count_;
  Manner manner_;
};

/** The arguments of a call that transfers bytes. */
struct Transfer {
  int fd;
  uint64_t address;
  int64_t count;
  napi_value done;
};

/** (fd, address, count, done): 0 or -errno. */
int64_t ToTransfer(Instance* instance, napi_env env, napi_value (&arguments)[4], Transfer* out) {
  if (!ToInt(env, arguments[0], &out->fd) || !instance->HasFd(out->fd)) return -EBADF;
  if (!ToUint64(env, arguments[1], &out->address)) return -EFAULT;
  if (!ToInteger(env, arguments[2], &out->count)) return -EINVAL;
  napi_valuetype type;
  if (napi_typeof(env, arguments[3], &type) != napi_ok || type != napi_function) return -EINVAL;
  out->done = arguments[3];
  return 0;
}

int64_t Sleep(Instance* instance, Kind kind, uint64_t call, const Transfer& transfer, Manner manner) {
  if (kind == Kind::kRead) {
    auto read = std::make_shared<SleepingRead>(instance, transfer.address, transfer.count, manner);
    auto look = [read](std::vector<pollfd>* fds) { return read->Look(fds->front().fd); };
    auto done = Napi::Persistent(Napi::Function(instance->env, transfer.done));
    int64_t started = instance->poller.Wait(call, {{transfer.fd, POLLIN, 0}}, -1, look, std::move(done));
    if (started != -EPERM) return started;
  }
  auto done = Napi::Persistent(Napi::Function(instance->env, transfer.done));
  return instance->calls.Start(call, kind, transfer.fd, transfer.address, transfer.count, std::move(done));
}

napi_value ReadOrWrite(Instance* instance, const Transfer& transfer, Kind kind) {
  auto [fd, address, count, done] = transfer;
  Napi::Env env = instance->env;
  OpenFile* file = instance->FileOf(fd);
  if (!file->may_sleep) file->may_sleep = MaySleep(fd);
  bool& tells = kind == Kind::kRead ? file->tells_read : file->tells_write;
  {
    UserPointer buffer = instance->memory->Reach(address, count);
    // Of a count below 0 read(2) has words of its own, and of 0 too: preadv2(2) does not ask the file then.
    if (count <= 0 || !*file->may_sleep) return Result(env, Make(kind, fd, buffer.as<void>(), count));
    if (tells) {
      int64_t result = MakeNoWait(kind, fd, buffer.as<void>(), count);
      tells = result != -EOPNOTSUPP;
      if (tells && result != -EAGAIN) return Result(env, result);
    }
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || (flags & O_NONBLOCK) != 0) return Result(env, tells ? -EAGAIN : Make(kind, fd, buffer.as<void>(), count));
  }
  uint64_t call = instance->NextCall();
  Manner manner = tells ? Manner::kNoWait : Manner::kMadeNonblocking;
  return Started(env, call, Sleep(instance, kind, call, transfer, manner));
}

napi_value ReadOrWrite(napi_env env, napi_callback_info info, Kind kind) {
  size_t count = 4;
  napi_value arguments[4];
  void* data;
  napi_get_cb_info(env, info, &count, arguments, nullptr, &data);
  auto* instance = static_cast<Instance*>(data);
  Transfer transfer;
  int64_t wrong = ToTransfer(instance, env, arguments, &transfer);
  return wrong < 0 ? Result(env, wrong) : ReadOrWrite(instance, transfer, kind);
}

/** read(fd, address, count, done) */
napi_value Read(napi_env env, napi_callback_info info) {
  return ReadOrWrite(env, info, Kind::kRead);
}

/** write(fd, address, count, done) */
napi_value Write(napi_env env, napi_callback_info info) {
  return ReadOrWrite(env, info, Kind::kWrite);
}

/** What a read of an unsigned integer says: the integer, or -errno. */
int64_t Integer(int64_t result, int bytes, uint64_t integer) {
  if (result < 0) return result;
  return result == bytes ? static_cast<int64_t>(integer) : -EIO;
}

/** Of a file and the size of what it counts in: 0 or -errno. */
int64_t ToCounter(Instance* instance, napi_env env, const napi_value* arguments, int* fd, int* bytes) {
  if (!ToInt(env, arguments[0], fd) || !instance->HasFd(*fd)) return -EBADF;
  return ToInt(env, arguments[1], bytes) && (*bytes == 4 || *bytes == 8) ? 0 : -EINVAL;
}

/** As long as the file is what it is: one with O_NONBLOCK has to keep that for as long as somebody waits. */
Manner MannerOf(int fd, const OpenFile& file) {
  if (file.tells_read) return Manner::kNoWait;
  int flags = fcntl(fd, F_GETFL);
  return flags >= 0 && (flags & O_NONBLOCK) != 0 ? Manner::kNonblocking : Manner::kMadeNonblocking;
}

/**
 * waitForCount(fd, bytes, done): a read of an unsigned integer of 4 or 8 bytes, made when there is one: the integer. Nothing of
 * JavaScript's but the function is touched until then.
 */
napi_value WaitForCount(napi_env env, napi_callback_info info) {
  size_t count = 3;
  napi_value arguments[3];
  void* data;
  napi_get_cb_info(env, info, &count, arguments, nullptr, &data);
  auto* instance = static_cast<Instance*>(data);
  int fd;
  int bytes;
  int64_t wrong = ToCounter(instance, env, arguments, &fd, &bytes);
  napi_valuetype type;
  if (wrong == 0 && (napi_typeof(env, arguments[2], &type) != napi_ok || type != napi_function)) wrong = -EINVAL;
  if (wrong < 0) return Result(env, wrong);

  OpenFile* file = instance->FileOf(fd);
  if (!file->asked) {
    // The first time, to hear whether it takes RWF_NOWAIT.
    uint64_t integer = 0;
    int64_t result = MakeNoWait(Kind::kRead, fd, &integer, bytes);
    file->asked = true;
    file->tells_read = result != -EOPNOTSUPP;
    if (file->tells_read && result != -EAGAIN) return Result(env, Integer(result, bytes, integer));
  }
  auto look = [bytes, manner = MannerOf(fd, *file)](std::vector<pollfd>* fds) -> std::optional<int64_t> {
    uint64_t integer = 0;
    std::optional<int64_t> result = ReadNow(fds->front().fd, &integer, bytes, manner);
    return result ? std::optional(Integer(*result, bytes, integer)) : std::nullopt;
  };
  uint64_t call = instance->NextCall();
  auto done = Napi::Persistent(Napi::Function(env, arguments[2]));
  return Started(env, call, instance->poller.Wait(call, {{fd, POLLIN, 0}}, -1, look, std::move(done)));
}

/**
 * readCount(fd, bytes): the same at once, in this thread, which sleeps and the event loop with it: the integer, or -errno; EINTR
 * where the watchdog kicks. A bare call: it stands between an interrupt and its handler.
 */
napi_value ReadCount(napi_env env, napi_callback_info info) {
  size_t count = 2;
  napi_value arguments[2];
  void* data;
  napi_get_cb_info(env, info, &count, arguments, nullptr, &data);
  int fd;
  int bytes;
  int64_t result = ToCounter(static_cast<Instance*>(data), env, arguments, &fd, &bytes);
  if (result == 0) {
    uint64_t integer = 0;
    result = ResultOf(read(fd, &integer, bytes));
    result = Integer(result, bytes, integer);
  }
  napi_value value = nullptr;
  napi_create_double(env, static_cast<double>(result), &value);
  return value;
}

}  // namespace

void DefineReadWriteCalls(Exports* exports) {
  exports->AddBare("read", Read);
  exports->AddBare("write", Write);
  exports->AddBare("waitForCount", WaitForCount);
  exports->AddBare("readCount", ReadCount);
}

}  // namespace usrdrv
