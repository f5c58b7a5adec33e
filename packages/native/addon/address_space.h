#pragma once

#include <napi.h>
#include <sys/mman.h>

#include <cstdint>
#include <list>
#include <map>
#include <memory>

namespace usrdrv {

class MmioRegions;

inline constexpr uint64_t kPageSize = 4096;
/** The first address that no process on x86-64 can map: 47 bits, less a guard page. */
inline constexpr uint64_t kTaskSize = (uint64_t{1} << 47) - kPageSize;

/**
 * An address that the kernel is given in place of one that JavaScript passed. While this exists nothing but memory that was
 * mapped here lies where the kernel could reach from it.
 */
class UserPointer {
 public:
  explicit UserPointer(uint64_t address, uint64_t guard = 0) : address_(address), guard_(guard) {}
  UserPointer(UserPointer&& other) noexcept : address_(other.address_), guard_(other.guard_) { other.guard_ = 0; }
  UserPointer& operator=(UserPointer&&) = delete;
  ~UserPointer() {
    if (guard_ != 0) munmap(reinterpret_cast<void*>(guard_), kPageSize);
  }

  uint64_t address() const { return address_; }
  template <typename T>
  T* as() const {
    return reinterpret_cast<T*>(address_);
  }

 private:
  uint64_t address_;
  uint64_t guard_;
};

/**
 * The memory that one JavaScript thread has mapped through here: all that its system calls reach. The rest of the process
 * (the heap, the stacks, the program) is not there, neither for the kernel nor for `bytes`: where a pointer leads into it,
 * the kernel gets one that leads nowhere, and says EFAULT itself.
 */
class AddressSpace : public std::enable_shared_from_this<AddressSpace> {
 public:
  /** What `bytes` gives a view of: memory of the kernel's own, which cannot shrink or vanish as a file can. */
  enum class Kind { kMemory, kFile };

  AddressSpace(napi_env env, MmioRegions* mmio) : env_(env), mmio_(mmio) {}

  /** mmap(2). With MAP_FIXED only what was mapped here is replaced: EEXIST where anything else is in the way. */
  int64_t Map(uint64_t address, uint64_t length, int prot, int flags, int fd, uint64_t offset);
  /** munmap(2) of what was mapped here; anything else in the range stays. Views and register access end first. */
  int64_t Unmap(uint64_t address, uint64_t length);
  /** Enters memory that the kernel itself mapped into the process. */
  void Adopt(uint64_t address, uint64_t length);

  /** A view of readable and writable memory within one mapping, or -EFAULT, -ENOMEM. */
  Napi::Value Bytes(uint64_t address, uint64_t length);
  /** The protection of the mapping that holds the whole range, or -EFAULT. */
  int Protection(uint64_t address, uint64_t length) const;
  /** Whether the range is memory, with this protection, that C++ can read or write without a fault. */
  bool IsMemory(uint64_t address, uint64_t length, int prot) const;

  UserPointer Reach(uint64_t address, uint64_t length);
  /** A pointer that is not 0 and leads nowhere. */
  static UserPointer Nowhere();

  /** Keeps the range from being mapped by anybody else, also after munmap, while a call that sleeps may write to it. */
  using Hold = std::list<std::pair<uint64_t, uint64_t>>::iterator;
  Hold AddHold(uint64_t address, uint64_t length);
  void RemoveHold(Hold hold);

  /** The thread has ended: all of it goes, but what an ArrayBuffer still stands for. */
  void Close();

 private:
  /** An ArrayBuffer over one mapping. V8 allows one for an address, so it is kept until the mapping changes. */
  struct Buffer {
    std::shared_ptr<AddressSpace> space;
    napi_ref reference = nullptr;
  };
  struct Mapping {
    uint64_t end;
    int prot;
    Kind kind;
    Buffer* buffer;
  };
  /** Unmapped for everybody but whom it waits for: an ArrayBuffer that has not been let go of, or a hold. */
  struct Retired {
    uint64_t start;
    uint64_t end;
    Buffer* buffer;
  };
  using Mappings = std::map<uint64_t, Mapping>;

  static void FinalizeBuffer(napi_env env, void* data, void* hint);

  int64_t MapFixed(uint64_t address, uint64_t size, int prot, int flags, int fd, uint64_t offset);
  int64_t MapOver(uint64_t address, uint64_t size, int prot, int flags, int fd, uint64_t offset);
  Mappings::const_iterator Find(uint64_t address) const;
  /** Takes the range out of the books and returns the pieces that were in them. */
  std::list<Retired> Cut(uint64_t start, uint64_t end);
  void DetachBuffer(Mapping* mapping);
  void GiveBack(const Retired& piece);
  bool IsHeld(uint64_t start, uint64_t end) const;
  void Sweep();
  Napi::Value NewBuffer(uint64_t start, Mapping* mapping);

  napi_env env_;
  MmioRegions* mmio_;
  Mappings mappings_;
  std::list<Retired> retired_;
  std::list<std::pair<uint64_t, uint64_t>> holds_;
};

}  // namespace usrdrv
