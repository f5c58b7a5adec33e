#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

#include "calls.h"
#include "instance.h"
#include "values.h"

namespace usrdrv {

namespace {

/** Where an integer cannot be taken for an address: the lowest pages belong to nobody (vm.mmap_min_addr). */
constexpr int64_t kNoAddress = 65536;

template <typename Call>
int64_t Retry(Call call) {
  int64_t returned;
  do {
    returned = call();
  } while (returned == -1 && errno == EINTR);
  return ResultOf(returned);
}

/** open(path, flags). Always with O_CLOEXEC: a device is not for children that know nothing of it. */
Napi::Value Open(const Napi::CallbackInfo& info) {
  auto* instance = static_cast<Instance*>(info.Data());
  Napi::Env env = info.Env();
  int flags;
  if (!info[0].IsString()) return Result(env, -EFAULT);
  if (!ToInt(env, info[1], &flags)) return Result(env, -EINVAL);
  std::string path = info[0].As<Napi::String>().Utf8Value();
  if (path.find('\0') != std::string::npos) return Result(env, -ENOENT);
  return Result(env, instance->AddFd(Retry([&] { return open(path.c_str(), flags | O_CLOEXEC, 0666); })));
}

Napi::Value Close(const Napi::CallbackInfo& info) {
  auto* instance = static_cast<Instance*>(info.Data());
  int fd = OwnFd(info, 0);
  if (fd < 0) return Result(info.Env(), -EBADF);
  instance->poller.OnClose(fd);
  instance->aside.OnClose(fd);
  instance->RemoveFd(fd);
  int64_t result = ResultOf(close(fd));
  // Linux closes it all the same.
  return Result(info.Env(), result == -EINTR ? 0 : result);
}

Napi::Value Dup(const Napi::CallbackInfo& info) {
  auto* instance = static_cast<Instance*>(info.Data());
  int fd = OwnFd(info, 0);
  if (fd < 0) return Result(info.Env(), -EBADF);
  return Result(info.Env(), instance->AddFd(ResultOf(fcntl(fd, F_DUPFD_CLOEXEC, 0))));
}

/** fcntl(fd, cmd, arg): of the commands those whose argument is no pointer. */
Napi::Value Fcntl(const Napi::CallbackInfo& info) {
  int fd = OwnFd(info, 0);
  int cmd;
  int arg = 0;
  if (fd < 0) return Result(info.Env(), -EBADF);
  if (!ToInt(info.Env(), info[1], &cmd)) return Result(info.Env(), -EINVAL);
  if (cmd != F_GETFL && cmd != F_SETFL) return Result(info.Env(), -EINVAL);
  if (!info[2].IsUndefined() && !ToInt(info.Env(), info[2], &arg)) return Result(info.Env(), -EINVAL);
  return Result(info.Env(), ResultOf(fcntl(fd, cmd, arg)));
}

Napi::Value Lseek(const Napi::CallbackInfo& info) {
  int fd = OwnFd(info, 0);
  int64_t offset;
  int whence;
  if (fd < 0) return Result(info.Env(), -EBADF);
  if (!ToInteger(info.Env(), info[1], &offset) || !ToInt(info.Env(), info[2], &whence)) {
    return Result(info.Env(), -EINVAL);
  }
  return Result(info.Env(), ResultOf(lseek(fd, offset, whence)));
}

/**
 * ioctl(fd, request, argument): the argument is a small integer, or a Uint8Array that is copied in, handed to the kernel
 * and copied back. What the request makes of addresses within those bytes is between the caller and the kernel.
 */
Napi::Value Ioctl(const Napi::CallbackInfo& info) {
  int fd = OwnFd(info, 0);
  int64_t request;
  int64_t integer = 0;
  if (fd < 0) return Result(info.Env(), -EBADF);
  if (!ToInteger(info.Env(), info[1], &request) || request < 0 || request > UINT32_MAX) {
    return Result(info.Env(), -EINVAL);
  }
  if (!info[2].IsTypedArray() || info[2].As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array) {
    if (!info[2].IsUndefined() && !ToInteger(info.Env(), info[2], &integer)) return Result(info.Env(), -EFAULT);
    if (integer < 0 || integer >= kNoAddress) return Result(info.Env(), -EFAULT);
    return Result(info.Env(), Retry([&] { return ioctl(fd, request, integer); }));
  }

  // On pages of its own, with room to spare: a request does not have to say how much it writes.
  auto bytes = info[2].As<Napi::Uint8Array>();
  size_t length = bytes.ByteLength();
  size_t size = (length + 2 * kPageSize - 1) & ~(kPageSize - 1);
  void* pages = mmap(nullptr, size + kPageSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED) return Result(info.Env(), -ENOMEM);
  mprotect(static_cast<char*>(pages) + size, kPageSize, PROT_NONE);
  if (length > 0) memcpy(pages, bytes.Data(), length);
  int64_t result = Retry([&] { return ioctl(fd, request, pages); });
  if (length > 0) memcpy(bytes.Data(), pages, length);
  munmap(pages, size + kPageSize);
  return Result(info.Env(), result);
}

/** eventfd(count, flags): eventfd(2). */
Napi::Value Eventfd(const Napi::CallbackInfo& info) {
  auto* instance = static_cast<Instance*>(info.Data());
  int64_t count;
  int flags;
  if (!ToInteger(info.Env(), info[0], &count) || count < 0 || count > UINT32_MAX) return Result(info.Env(), -EINVAL);
  if (!ToInt(info.Env(), info[1], &flags)) return Result(info.Env(), -EINVAL);
  return Result(info.Env(), instance->AddFd(ResultOf(eventfd(static_cast<unsigned>(count), flags | EFD_CLOEXEC))));
}

Napi::Value EpollCreate1(const Napi::CallbackInfo& info) {
  auto* instance = static_cast<Instance*>(info.Data());
  int flags;
  if (!ToInt(info.Env(), info[0], &flags)) return Result(info.Env(), -EINVAL);
  return Result(info.Env(), instance->AddFd(ResultOf(epoll_create1(flags | EPOLL_CLOEXEC))));
}

/** epollCtl(epfd, op, fd, events, data): `data`, a number, comes back as it is. */
Napi::Value EpollCtl(const Napi::CallbackInfo& info) {
  int epfd = OwnFd(info, 0);
  int op;
  int fd = OwnFd(info, 2);
  int64_t events;
  double data;
  if (epfd < 0 || fd < 0) return Result(info.Env(), -EBADF);
  if (!ToInt(info.Env(), info[1], &op)) return Result(info.Env(), -EINVAL);
  if (!ToInteger(info.Env(), info[3], &events) || events < INT32_MIN || events > UINT32_MAX) {
    return Result(info.Env(), -EINVAL);
  }
  if (napi_get_value_double(info.Env(), info[4], &data) != napi_ok) return Result(info.Env(), -EINVAL);
  epoll_event event = {};
  event.events = static_cast<uint32_t>(events);
  static_assert(sizeof(event.data) == sizeof(data));
  memcpy(&event.data, &data, sizeof(data));
  return Result(info.Env(), ResultOf(epoll_ctl(epfd, op, fd, &event)));
}

}  // namespace

void DefineDescriptorCalls(Exports* exports) {
  exports->Add<Open>("open");
  exports->Add<Close>("close");
  exports->Add<Dup>("dup");
  exports->Add<Fcntl>("fcntl");
  exports->Add<Lseek>("lseek");
  exports->Add<Ioctl>("ioctl");
  exports->Add<Eventfd>("eventfd");
  exports->Add<EpollCreate1>("epollCreate1");
  exports->Add<EpollCtl>("epollCtl");
}

}  // namespace usrdrv
