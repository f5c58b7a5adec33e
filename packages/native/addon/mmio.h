#pragma once

#include <cstdint>
#include <vector>

namespace usrdrv {

/** Register access to a range of mapped memory. */
struct MmioRegion {
  /** 0 once its memory was unmapped. */
  uint64_t address;
  uint64_t length;
  int prot;
  bool open;
  /** What its handle has to say; counts up each time the place is used again. */
  uint32_t generation;
};

/** The regions of one JavaScript thread, by handle: a small integer that is never given out twice. */
class MmioRegions {
 public:
  /** The handle, or -ENOMEM. */
  int64_t Open(uint64_t address, uint64_t length, int prot);
  /** Null where the handle is none, or its region was closed. */
  MmioRegion* Find(int64_t handle);
  bool Close(int64_t handle);
  /** The memory of the range goes: no region reaches into it any more. */
  void Revoke(uint64_t start, uint64_t end);

 private:
  std::vector<MmioRegion> regions_;
  std::vector<uint32_t> free_;
};

}  // namespace usrdrv
