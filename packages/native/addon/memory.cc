#include <cerrno>

#include "calls.h"
#include "instance.h"
#include "values.h"

namespace usrdrv {

namespace {

/** mmap(address, length, prot, flags, fd, offset): the address as a bigint, or -errno. */
Napi::Value Mmap(const Napi::CallbackInfo& info) {
  auto* instance = static_cast<Instance*>(info.Data());
  Napi::Env env = info.Env();
  uint64_t address;
  int64_t length;
  int prot;
  int flags;
  int fd;
  uint64_t offset;
  if (!ToUint64(env, info[0], &address) || !ToInteger(env, info[1], &length) || !ToInt(env, info[2], &prot) ||
      !ToInt(env, info[3], &flags) || !ToInt(env, info[4], &fd) || !ToUint64(env, info[5], &offset)) {
    return Result(env, -EINVAL);
  }
  if ((flags & MAP_ANONYMOUS) != 0) {
    fd = -1;
  } else if (!instance->HasFd(fd)) {
    return Result(env, -EBADF);
  }
  int64_t result = instance->memory->Map(address, length, prot, flags, fd, offset);
  if (result < 0) return Result(env, result);
  return Napi::BigInt::New(env, static_cast<uint64_t>(result));
}

/** munmap(address, length) */
Napi::Value Munmap(const Napi::CallbackInfo& info) {
  auto* instance = static_cast<Instance*>(info.Data());
  uint64_t address;
  int64_t length;
  if (!ToUint64(info.Env(), info[0], &address) || !ToInteger(info.Env(), info[1], &length)) {
    return Result(info.Env(), -EINVAL);
  }
  return Result(info.Env(), instance->memory->Unmap(address, length));
}

/** bytes(address, length): a Uint8Array, or -errno. */
Napi::Value Bytes(const Napi::CallbackInfo& info) {
  auto* instance = static_cast<Instance*>(info.Data());
  uint64_t address;
  int64_t length;
  if (!ToUint64(info.Env(), info[0], &address)) return Result(info.Env(), -EFAULT);
  if (!ToInteger(info.Env(), info[1], &length) || length < 0) return Result(info.Env(), -EINVAL);
  return instance->memory->Bytes(address, length);
}

}  // namespace

void DefineMemoryCalls(Exports* exports) {
  exports->Add<Mmap>("mmap");
  exports->Add<Munmap>("munmap");
  exports->Add<Bytes>("bytes");
}

}  // namespace usrdrv
