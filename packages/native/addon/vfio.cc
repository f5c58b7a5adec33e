#include <linux/vfio.h>
#include <napi.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

#include "calls.h"
#include "instance.h"
#include "values.h"

// The ioctls of VFIO (linux/vfio.h): of the container, the group and the device. Each returns what the kernel returned, >= 0
// or -errno; what a request fills in comes as bytes, for TypeScript to read.

namespace usrdrv {

namespace {

/** No list of a device or an IOMMU is that long. */
constexpr uint32_t kMostInfo = 1 << 20;
/** More vectors than MSI-X has. */
constexpr uint32_t kMostIrqs = 4096;

template <typename... Argument>
int64_t Ioctl(int fd, unsigned long request, Argument... argument) {
  int64_t returned;
  do {
    returned = ioctl(fd, request, argument...);
  } while (returned == -1 && errno == EINTR);
  return ResultOf(returned);
}

bool Unsigned(const Napi::CallbackInfo& info, size_t argument, uint32_t* out) {
  int64_t integer;
  if (!ToInteger(info.Env(), info[argument], &integer) || integer < 0 || integer > UINT32_MAX) return false;
  *out = static_cast<uint32_t>(integer);
  return true;
}

/** A request that takes a descriptor and at most a number: vfioX(fd) or vfioX(fd, number). */
template <unsigned long request>
Napi::Value Plain(const Napi::CallbackInfo& info) {
  int fd = OwnFd(info, 0);
  uint32_t number = 0;
  if (fd < 0) return Result(info.Env(), -EBADF);
  if (!info[1].IsUndefined() && !Unsigned(info, 1, &number)) return Result(info.Env(), -EINVAL);
  return Result(info.Env(), Ioctl(fd, request, static_cast<unsigned long>(number)));
}

/** vfioGetGroupStatus(group): its flags. */
Napi::Value GetGroupStatus(const Napi::CallbackInfo& info) {
  int fd = OwnFd(info, 0);
  if (fd < 0) return Result(info.Env(), -EBADF);
  vfio_group_status status = {sizeof(status), 0};
  int64_t result = Ioctl(fd, VFIO_GROUP_GET_STATUS, &status);
  return Result(info.Env(), result < 0 ? result : status.flags);
}

/** vfioSetContainer(group, container) */
Napi::Value SetContainer(const Napi::CallbackInfo& info) {
  int group = OwnFd(info, 0);
  int32_t container = OwnFd(info, 1);
  if (group < 0 || container < 0) return Result(info.Env(), -EBADF);
  return Result(info.Env(), Ioctl(group, VFIO_GROUP_SET_CONTAINER, &container));
}

/** vfioGetDeviceFd(group, name): a descriptor of the device. */
Napi::Value GetDeviceFd(const Napi::CallbackInfo& info) {
  int group = OwnFd(info, 0);
  if (group < 0) return Result(info.Env(), -EBADF);
  if (!info[1].IsString()) return Result(info.Env(), -EFAULT);
  std::string name = info[1].As<Napi::String>().Utf8Value();
  auto* instance = static_cast<Instance*>(info.Data());
  return Result(info.Env(), instance->AddFd(Ioctl(group, VFIO_GROUP_GET_DEVICE_FD, name.c_str())));
}

/**
 * A structure that begins with argsz, and of which the kernel says how long it is with all that hangs on it: its bytes, or
 * -errno. `index` is what it has behind the flags where it is about one of many.
 */
Napi::Value Info(const Napi::CallbackInfo& info, unsigned long request, size_t size, bool indexed) {
  int fd = OwnFd(info, 0);
  uint32_t index = 0;
  if (fd < 0) return Result(info.Env(), -EBADF);
  if (indexed && !Unsigned(info, 1, &index)) return Result(info.Env(), -EINVAL);
  std::vector<uint8_t> bytes(size);
  for (;;) {
    auto argsz = static_cast<uint32_t>(bytes.size());
    memcpy(&bytes[0], &argsz, sizeof(argsz));
    if (indexed) memcpy(&bytes[2 * sizeof(uint32_t)], &index, sizeof(index));
    int64_t result = Ioctl(fd, request, bytes.data());
    if (result < 0) return Result(info.Env(), result);
    memcpy(&argsz, &bytes[0], sizeof(argsz));
    if (argsz <= bytes.size()) break;
    if (argsz > kMostInfo) return Result(info.Env(), -E2BIG);
    bytes.assign(argsz, 0);
  }
  auto array = Napi::Uint8Array::New(info.Env(), bytes.size());
  memcpy(array.Data(), bytes.data(), bytes.size());
  return array;
}

/** vfioGetIommuInfo(container): struct vfio_iommu_type1_info and its capabilities. */
Napi::Value GetIommuInfo(const Napi::CallbackInfo& info) {
  return Info(info, VFIO_IOMMU_GET_INFO, sizeof(vfio_iommu_type1_info), false);
}

/** vfioGetDeviceInfo(device): struct vfio_device_info. */
Napi::Value GetDeviceInfo(const Napi::CallbackInfo& info) {
  return Info(info, VFIO_DEVICE_GET_INFO, sizeof(vfio_device_info), false);
}

/** vfioGetRegionInfo(device, index): struct vfio_region_info and its capabilities. */
Napi::Value GetRegionInfo(const Napi::CallbackInfo& info) {
  return Info(info, VFIO_DEVICE_GET_REGION_INFO, sizeof(vfio_region_info), true);
}

/** vfioGetIrqInfo(device, index): struct vfio_irq_info. */
Napi::Value GetIrqInfo(const Napi::CallbackInfo& info) {
  return Info(info, VFIO_DEVICE_GET_IRQ_INFO, sizeof(vfio_irq_info), true);
}

/** vfioMapDma(container, flags, vaddr, iova, size): memory that was mapped here, anything else is EFAULT. */
Napi::Value MapDma(const Napi::CallbackInfo& info) {
  auto* instance = static_cast<Instance*>(info.Data());
  int fd = OwnFd(info, 0);
  vfio_iommu_type1_dma_map map = {};
  map.argsz = sizeof(map);
  uint64_t vaddr;
  if (fd < 0) return Result(info.Env(), -EBADF);
  if (!ToUint64(info.Env(), info[2], &vaddr)) return Result(info.Env(), -EFAULT);
  uint64_t iova;
  uint64_t size;
  if (!Unsigned(info, 1, &map.flags)) return Result(info.Env(), -EINVAL);
  if (!ToUint64(info.Env(), info[3], &iova) || !ToUint64(info.Env(), info[4], &size)) {
    return Result(info.Env(), -EINVAL);
  }
  map.iova = iova;
  map.size = size;
  UserPointer memory = instance->memory->Reach(vaddr, size);
  map.vaddr = memory.address();
  return Result(info.Env(), Ioctl(fd, VFIO_IOMMU_MAP_DMA, &map));
}

/** vfioUnmapDma(container, flags, iova, size): how many bytes were unmapped, a bigint; or -errno. */
Napi::Value UnmapDma(const Napi::CallbackInfo& info) {
  int fd = OwnFd(info, 0);
  vfio_iommu_type1_dma_unmap unmap = {};
  unmap.argsz = sizeof(unmap);
  uint64_t iova;
  uint64_t size;
  if (fd < 0) return Result(info.Env(), -EBADF);
  if (!Unsigned(info, 1, &unmap.flags)) return Result(info.Env(), -EINVAL);
  if (!ToUint64(info.Env(), info[2], &iova) || !ToUint64(info.Env(), info[3], &size)) {
    return Result(info.Env(), -EINVAL);
  }
  unmap.iova = iova;
  unmap.size = size;
  int64_t result = Ioctl(fd, VFIO_IOMMU_UNMAP_DMA, &unmap);
  if (result < 0) return Result(info.Env(), result);
  return Napi::BigInt::New(info.Env(), static_cast<uint64_t>(unmap.size));
}

/** The descriptors that `data` has for `count` interrupts; -1 stands for none. 0, or -errno. */
int64_t Eventfds(const Napi::CallbackInfo& info, const Napi::Value& data, uint32_t count, int32_t* out) {
  auto* instance = static_cast<Instance*>(info.Data());
  if (!data.IsTypedArray() || data.As<Napi::TypedArray>().TypedArrayType() != napi_int32_array) return -EFAULT;
  auto fds = data.As<Napi::Int32Array>();
  if (fds.ElementLength() != count) return -EINVAL;
  for (uint32_t at = 0; at < count; at++) {
    int32_t fd = fds[at];
    if (fd != -1 && !instance->HasFd(fd)) return -EBADF;
    out[at] = fd;
  }
  return 0;
}

/** vfioSetIrqs(device, flags, index, start, count, eventfds): an Int32Array where the flags say that there are any. */
Napi::Value SetIrqs(const Napi::CallbackInfo& info) {
  int fd = OwnFd(info, 0);
  vfio_irq_set head = {};
  if (fd < 0) return Result(info.Env(), -EBADF);
  if (!Unsigned(info, 1, &head.flags) || !Unsigned(info, 2, &head.index) || !Unsigned(info, 3, &head.start) ||
      !Unsigned(info, 4, &head.count) || head.count > kMostIrqs) {
    return Result(info.Env(), -EINVAL);
  }
  // Room for what the kernel would read were it told that there are descriptors and given none.
  std::vector<uint8_t> bytes(sizeof(head) + head.count * sizeof(int32_t));
  bool eventfds = (head.flags & VFIO_IRQ_SET_DATA_EVENTFD) != 0;
  if (eventfds) {
    std::vector<int32_t> fds(head.count);
    int64_t result = Eventfds(info, info[5], head.count, fds.data());
    if (result < 0) return Result(info.Env(), result);
    if (head.count > 0) memcpy(&bytes[sizeof(head)], fds.data(), head.count * sizeof(int32_t));
  }
  head.argsz = eventfds ? bytes.size() : sizeof(head);
  memcpy(&bytes[0], &head, sizeof(head));
  return Result(info.Env(), Ioctl(fd, VFIO_DEVICE_SET_IRQS, bytes.data()));
}

/** Where an access to a region goes: false where it is none. */
bool Located(const Napi::CallbackInfo& info, int64_t* offset, int64_t* width) {
  if (!ToInteger(info.Env(), info[1], offset) || *offset < 0) return false;
  return ToInteger(info.Env(), info[2], width) && (*width == 1 || *width == 2 || *width == 4);
}

/** vfioReadRegion(device, offset, width): the value of 1, 2 or 4 bytes, or -errno. */
Napi::Value ReadRegion(const Napi::CallbackInfo& info) {
  int fd = OwnFd(info, 0);
  int64_t offset;
  int64_t width;
  if (fd < 0) return Result(info.Env(), -EBADF);
  if (!Located(info, &offset, &width)) return Result(info.Env(), -EINVAL);
  uint32_t value = 0;
  int64_t result = ResultOf(pread(fd, &value, width, offset));
  if (result >= 0 && result != width) result = -EIO;
  return Result(info.Env(), result < 0 ? result : value);
}

/** vfioWriteRegion(device, offset, width, value): 0 or -errno; ERANGE a value that does not fit. */
Napi::Value WriteRegion(const Napi::CallbackInfo& info) {
  int fd = OwnFd(info, 0);
  int64_t offset;
  int64_t width;
  uint32_t value;
  if (fd < 0) return Result(info.Env(), -EBADF);
  if (!Located(info, &offset, &width)) return Result(info.Env(), -EINVAL);
  if (!Unsigned(info, 3, &value)) return Result(info.Env(), -ERANGE);
  if (width < 4 && value >> (8 * width) != 0) return Result(info.Env(), -ERANGE);
  int64_t result = ResultOf(pwrite(fd, &value, width, offset));
  if (result >= 0) result = result == width ? 0 : -EIO;
  return Result(info.Env(), result);
}

}  // namespace

void DefineVfioCalls(Exports* exports) {
  exports->Add<Plain<VFIO_GET_API_VERSION>>("vfioGetApiVersion");
  exports->Add<Plain<VFIO_CHECK_EXTENSION>>("vfioCheckExtension");
  exports->Add<Plain<VFIO_SET_IOMMU>>("vfioSetIommu");
  exports->Add<GetIommuInfo>("vfioGetIommuInfo");
  exports->Add<MapDma>("vfioMapDma");
  exports->Add<UnmapDma>("vfioUnmapDma");
  exports->Add<GetGroupStatus>("vfioGetGroupStatus");
  exports->Add<SetContainer>("vfioSetContainer");
  exports->Add<GetDeviceFd>("vfioGetDeviceFd");
  exports->Add<GetDeviceInfo>("vfioGetDeviceInfo");
  exports->Add<GetRegionInfo>("vfioGetRegionInfo");
  exports->Add<GetIrqInfo>("vfioGetIrqInfo");
  exports->Add<SetIrqs>("vfioSetIrqs");
  exports->Add<Plain<VFIO_DEVICE_RESET>>("vfioReset");
  exports->Add<ReadRegion>("vfioReadRegion");
  exports->Add<WriteRegion>("vfioWriteRegion");
}

}  // namespace usrdrv
