#include "usr_pci.h"

#include <fcntl.h>
#include <napi.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "calls.h"
#include "instance.h"
#include "values.h"

// The first argument of each call says how the kernel is reached: -1 by its system calls, else by ioctls on this descriptor
// of /dev/usrdrv/pci. No descriptor is -EINVAL, because that is what these calls say of every wrong one (U3 to U5).

namespace usrdrv {

namespace {

constexpr int kBySystemCalls = -1;

class UsrPciCall {
 public:
  explicit UsrPciCall(const Napi::CallbackInfo& info)
      : info_(info), env_(info.Env()), instance_(static_cast<Instance*>(info.Data())) {
    if (ToInt(env_, info[0], &via_)) valid_ = via_ == kBySystemCalls || instance_->HasFd(via_);
    if (!ToInt(env_, info[1], &fd_) || !instance_->HasFd(fd_)) fd_ = -1;
  }

  Napi::Value Open();
  Napi::Value GetConsistent();
  Napi::Value Mmap();
  Napi::Value Munmap();
  Napi::Value IrqVectors();

 private:
  template <typename Request, typename... Arguments>
  int64_t Make(SystemCall number, unsigned long request, Request argument, Arguments... arguments) {
    int64_t returned;
    do {
      returned = via_ == kBySystemCalls ? syscall(number, arguments...) : ioctl(via_, request, &argument);
    } while (returned == -1 && errno == EINTR);
    return ResultOf(returned);
  }

  /** The pointer in an argument; what is no address leads nowhere. */
  uint64_t Address(size_t argument) {
    uint64_t address;
    return ToUint64(env_, info_[argument], &address) ? address : AddressSpace::Nowhere().address();
  }
  bool Unsigned(size_t argument, uint32_t* out) {
    int64_t integer;
    if (!ToInteger(env_, info_[argument], &integer) || integer < 0 || integer > UINT32_MAX) return false;
    *out = static_cast<uint32_t>(integer);
    return true;
  }
  int64_t DoGetConsistent(uint64_t size, uint64_t vaddrp, uint64_t dmaaddrp);
  int64_t DoMmap(uint64_t mapping);

  const Napi::CallbackInfo& info_;
  Napi::Env env_;
  Instance* instance_;
  int via_ = kBySystemCalls;
  bool valid_ = false;
  int fd_ = -1;
};

Napi::Value UsrPciCall::Open() {
  uint32_t bus;
  uint32_t slot;
  uint32_t function;
  uint64_t mask;
  uint32_t domain;
  if (!valid_) return Result(env_, -EINVAL);
  if (!Unsigned(1, &bus) || !Unsigned(5, &domain)) return Result(env_, -ENOENT);
  if (!Unsigned(2, &slot) || !Unsigned(3, &function)) return Result(env_, -ENOENT);
  if (!ToUint64(env_, info_[4], &mask)) return Result(env_, -EINVAL);
  OpenRequest request = {bus, slot, function, domain, mask};
  int64_t fd = Make(kSysOpen, kIocOpen, request, bus, slot, function, mask, domain);
  // A device is not for children that know nothing of it.
  if (fd >= 0) fcntl(static_cast<int>(fd), F_SETFD, FD_CLOEXEC);
  return Result(env_, instance_->AddFd(fd));
}

Napi::Value UsrPciCall::GetConsistent() {
  int64_t size;
  if (!valid_ || !ToInteger(env_, info_[2], &size)) return Result(env_, -EINVAL);
  return Result(env_, DoGetConsistent(size, Address(3), Address(4)));
}

int64_t UsrPciCall::DoGetConsistent(uint64_t size, uint64_t vaddrp, uint64_t dmaaddrp) {
  AddressSpace& memory = *instance_->memory;
  UserPointer vaddr_out = memory.Reach(vaddrp, sizeof(uint64_t));
  // Written one after the other: where they overlap, the first result would be lost, and with it the mapping.
  uint64_t dmaaddr = 0;
  bool overlap = vaddrp < dmaaddrp + sizeof(uint64_t) && dmaaddrp < vaddrp + sizeof(uint64_t) &&
                 memory.IsMemory(std::min(vaddrp, dmaaddrp), 2 * sizeof(uint64_t), PROT_READ | PROT_WRITE);
  UserPointer dmaaddr_out = overlap ? UserPointer(reinterpret_cast<uint64_t>(&dmaaddr))
                                    : memory.Reach(dmaaddrp, sizeof(uint64_t));
  ConsistentRequest request = {fd_, 0, size, vaddr_out.address(), dmaaddr_out.address()};
  int64_t result =
      Make(kSysGetConsistent, kIocGetConsistent, request, fd_, size, vaddr_out.address(), dmaaddr_out.address());
  if (result < 0) return result;
  uint64_t page;
  memcpy(&page, vaddr_out.as<void>(), sizeof(page));
  memory.Adopt(page, kPageSize);
  if (overlap) memcpy(reinterpret_cast<void*>(dmaaddrp), &dmaaddr, sizeof(dmaaddr));
  return result;
}

Napi::Value UsrPciCall::Mmap() {
  if (!valid_) return Result(env_, -EINVAL);
  return Result(env_, DoMmap(Address(2)));
}

/** The structure has pointers of its own, and they have to lead into this thread's memory too, or nowhere. */
int64_t UsrPciCall::DoMmap(uint64_t pointer) {
  AddressSpace& memory = *instance_->memory;
  if (!memory.IsMemory(pointer, sizeof(Mapping), PROT_READ)) {
    UserPointer nowhere = memory.Reach(pointer, sizeof(Mapping));
    // Readable by the kernel, and yet not to be looked into here: a file or a device.
    bool leads = memory.Protection(pointer, sizeof(Mapping)) > PROT_NONE;
    uint64_t address = leads ? AddressSpace::Nowhere().address() : nowhere.address();
    return Make(kSysMmap, kIocMmap, MappingRequest{fd_, 0, address}, fd_, address);
  }
  Mapping mapping;
  memcpy(&mapping, reinterpret_cast<void*>(pointer), sizeof(mapping));
  UserPointer region = memory.Reach(mapping.virtaddr, mapping.size);
  UserPointer list = memory.Reach(mapping.sglist, std::max(mapping.nents, 0) * kScatterlistEntry);
  if (region.address() == mapping.virtaddr && list.address() == mapping.sglist) {
    return Make(kSysMmap, kIocMmap, MappingRequest{fd_, 0, pointer}, fd_, pointer);
  }
  mapping.virtaddr = region.address();
  mapping.sglist = list.address();
  auto copy = reinterpret_cast<uint64_t>(&mapping);
  return Make(kSysMmap, kIocMmap, MappingRequest{fd_, 0, copy}, fd_, copy);
}

Napi::Value UsrPciCall::Munmap() {
  if (!valid_) return Result(env_, -EINVAL);
  UserPointer mapping = instance_->memory->Reach(Address(2), sizeof(Mapping));
  return Result(env_, Make(kSysMunmap, kIocMunmap, MappingRequest{fd_, 0, mapping.address()}, fd_, mapping.address()));
}

Napi::Value UsrPciCall::IrqVectors() {
  int min;
  int max;
  if (!valid_ || !ToInt(env_, info_[2], &min) || !ToInt(env_, info_[3], &max)) return Result(env_, -EINVAL);
  UserPointer irqs = instance_->memory->Reach(Address(4), std::max(max, 0) * sizeof(int32_t));
  IrqVectorsRequest request = {fd_, min, max, 0, irqs.address()};
  return Result(env_, Make(kSysIrqVectors, kIocIrqVectors, request, fd_, min, max, irqs.address()));
}

/** usrPciOpen(via, bus, slot, function, dmaMask, domain) */
Napi::Value UsrPciOpen(const Napi::CallbackInfo& info) {
  return UsrPciCall(info).Open();
}

/** usrPciGetConsistent(via, fd, size, vaddrp, dmaaddrp) */
Napi::Value UsrPciGetConsistent(const Napi::CallbackInfo& info) {
  return UsrPciCall(info).GetConsistent();
}

/** usrPciMmap(via, fd, mapping) */
Napi::Value UsrPciMmap(const Napi::CallbackInfo& info) {
  return UsrPciCall(info).Mmap();
}

/** usrPciMunmap(via, fd, mapping) */
Napi::Value UsrPciMunmap(const Napi::CallbackInfo& info) {
  return UsrPciCall(info).Munmap();
}

/** usrPciIrqVectors(via, fd, min, max, irqs) */
Napi::Value UsrPciIrqVectors(const Napi::CallbackInfo& info) {
  return UsrPciCall(info).IrqVectors();
}

}  // namespace

void DefineUsrPciCalls(Exports* exports) {
  exports->Add<UsrPciOpen>("usrPciOpen");
  exports->Add<UsrPciGetConsistent>("usrPciGetConsistent");
  exports->Add<UsrPciMmap>("usrPciMmap");
  exports->Add<UsrPciMunmap>("usrPciMunmap");
  exports->Add<UsrPciIrqVectors>("usrPciIrqVectors");
}

}  // namespace usrdrv
