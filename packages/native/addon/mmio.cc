#include "mmio.h"

#include <napi.h>
#include <sys/mman.h>

#include <cerrno>
#include <limits>

#include "calls.h"
#include "instance.h"
#include "mmio_fault.h"
#include "values.h"

namespace usrdrv {

namespace {

/** A handle is the region's place, and above it the generation: 52 bits, which a number holds. */
constexpr int kPlaceBits = 20;
constexpr int64_t kMaxRegions = int64_t{1} << kPlaceBits;

}  // namespace

int64_t MmioRegions::Open(uint64_t address, uint64_t length, int prot) {
  uint32_t place;
  if (!free_.empty()) {
    place = free_.back();
    free_.pop_back();
  } else if (regions_.size() < kMaxRegions) {
    place = static_cast<uint32_t>(regions_.size());
    regions_.push_back(MmioRegion{});
  } else {
    return -ENOMEM;
  }
  uint32_t generation = regions_[place].generation + 1;
  regions_[place] = MmioRegion{address, length, prot, true, generation};
  return static_cast<int64_t>(generation) << kPlaceBits | place;
}

inline MmioRegion* MmioRegions::Find(int64_t handle) {
  uint64_t place = handle & (kMaxRegions - 1);
  if (handle < 0 || place >= regions_.size()) return nullptr;
  MmioRegion* region = &regions_[place];
  return region->open && region->generation == handle >> kPlaceBits ? region : nullptr;
}

bool MmioRegions::Close(int64_t handle) {
  MmioRegion* region = Find(handle);
  if (region == nullptr) return false;
  region->open = false;
  // A place whose generations are used up stays unused.
  if (region->generation != std::numeric_limits<uint32_t>::max()) free_.push_back(handle & (kMaxRegions - 1));
  return true;
}

void MmioRegions::Revoke(uint64_t start, uint64_t end) {
  for (MmioRegion& region : regions_) {
    if (region.address < end && start < region.address + region.length) region.address = 0;
  }
}

namespace {

// A driver spends its life in these: bare calls, and nothing is looked up that is not needed.

/** The arguments of an access: a handle, an offset, and for a write the value. */
struct Access {
  Access(napi_env env, napi_callback_info info) : env(env) {
    size_t count = 3;
    void* data;
    napi_get_cb_info(env, info, &count, arguments, nullptr, &data);
    instance = static_cast<Instance*>(data);
  }

  /** Where it goes, or -errno: EBADF closed or unmapped, EINVAL the offset, EFAULT the protection. */
  int64_t Locate(uint64_t width, int prot) const {
    int64_t handle;
    int64_t offset;
    if (!ToInteger(env, arguments[0], &handle)) return -EBADF;
    const MmioRegion* region = instance->mmio.Find(handle);
    if (region == nullptr || region->address == 0) return -EBADF;
    if (!ToInteger(env, arguments[1], &offset) || offset < 0) return -EINVAL;
    uint64_t at = static_cast<uint64_t>(offset);
    if (at >= region->length || width > region->length - at) return -EINVAL;
    uint64_t address = region->address + at;
    // Aligned within the region, and where the processor sees it: one access, never two.
    if (((at | address) & (width - 1)) != 0) return -EINVAL;
    if ((region->prot & prot) == 0) return -EFAULT;
    return static_cast<int64_t>(address);
  }

  napi_value Return(int64_t result) const {
    napi_value value = nullptr;
    napi_create_int64(env, result, &value);
    return value;
  }

  napi_env env;
  napi_value arguments[3];
  Instance* instance;
};

/** readN(handle, offset): the value, or -errno; ENODEV where nothing is behind the mapping any more. */
template <typename T>
napi_value Read(napi_env env, napi_callback_info info) {
  Access access(env, info);
  int64_t address = access.Locate(sizeof(T), PROT_READ);
  if (address < 0) return access.Return(address);
  T value;
  if (!VolatileLoad(reinterpret_cast<const T*>(address), &value)) return access.Return(-ENODEV);
  napi_value result = nullptr;
  if constexpr (sizeof(T) == 8) {
    napi_create_bigint_uint64(env, value, &result);
  } else {
    napi_create_uint32(env, value, &result);
  }
  return result;
}

/** writeN(handle, offset, value): 0 or -errno; ERANGE a value that does not fit. */
template <typename T>
napi_value Write(napi_env env, napi_callback_info info) {
  Access access(env, info);
  int64_t address = access.Locate(sizeof(T), PROT_WRITE);
  if (address < 0) return access.Return(address);
  T value;
  if constexpr (sizeof(T) == 8) {
    uint64_t bits;
    if (!ToUint64(env, access.arguments[2], &bits)) return access.Return(-ERANGE);
    value = bits;
  } else {
    int64_t integer;
    if (!ToInteger(env, access.arguments[2], &integer)) return access.Return(-ERANGE);
    if (integer < 0 || integer > std::numeric_limits<T>::max()) return access.Return(-ERANGE);
    value = static_cast<T>(integer);
  }
  return access.Return(VolatileStore(reinterpret_cast<T*>(address), value) ? 0 : -ENODEV);
}

/** openMmio(address, length): a handle, or EFAULT unless one mapping holds the range. */
Napi::Value OpenMmio(const Napi::CallbackInfo& info) {
  auto* instance = static_cast<Instance*>(info.Data());
  uint64_t address;
  int64_t length;
  if (!ToUint64(info.Env(), info[0], &address)) return Result(info.Env(), -EFAULT);
  if (!ToInteger(info.Env(), info[1], &length) || length < 0) return Result(info.Env(), -EINVAL);
  int prot = instance->memory->Protection(address, length);
  if (prot < 0) return Result(info.Env(), prot);
  CatchMmioFaults();
  return Result(info.Env(), instance->mmio.Open(address, length, prot));
}

/** closeMmio(handle): 0, or EBADF. */
Napi::Value CloseMmio(const Napi::CallbackInfo& info) {
  auto* instance = static_cast<Instance*>(info.Data());
  int64_t handle;
  bool closed = ToInteger(info.Env(), info[0], &handle) && instance->mmio.Close(handle);
  return Result(info.Env(), closed ? 0 : -EBADF);
}

}  // namespace

void DefineMmioCalls(Exports* exports) {
  exports->Add<OpenMmio>("openMmio");
  exports->Add<CloseMmio>("closeMmio");
  exports->AddBare("read8", Read<uint8_t>);
  exports->AddBare("read16", Read<uint16_t>);
  exports->AddBare("read32", Read<uint32_t>);
  exports->AddBare("read64", Read<uint64_t>);
  exports->AddBare("write8", Write<uint8_t>);
  exports->AddBare("write16", Write<uint16_t>);
  exports->AddBare("write32", Write<uint32_t>);
  exports->AddBare("write64", Write<uint64_t>);
}

}  // namespace usrdrv
