#pragma once

#include <linux/ioctl.h>

#include <cstdint>

namespace usrdrv {

// The binary interface of the kernel's side (linux/usr_pci.h there), on x86-64. One set of calls, reached in two ways.

/** struct usr_pci_mapping */
struct Mapping {
  uint64_t virtaddr;
  uint64_t dmaaddr;
  uint32_t size;
  uint32_t reserved;
  uint64_t sglist;
  int32_t nents;
  uint32_t direction;
};
static_assert(sizeof(Mapping) == 40);

/** One entry of a scatterlist: a bus address and a length. */
inline constexpr uint64_t kScatterlistEntry = 16;

/** The system calls of a patched kernel. On any other these numbers belong to somebody else. */
enum SystemCall : long {
  kSysOpen = 451,
  kSysMmap = 452,
  kSysMunmap = 453,
  kSysGetConsistent = 454,
  kSysIrqVectors = 455,
};

/** The requests of the module's /dev/usrdrv/pci, and their arguments. */
struct OpenRequest {
  uint32_t bus;
  uint32_t slot;
  uint32_t function;
  uint32_t domain;
  uint64_t dma_mask;
};

struct MappingRequest {
  int32_t fd;
  uint32_t reserved;
  uint64_t mapping;
};

struct ConsistentRequest {
  int32_t fd;
  uint32_t reserved;
  uint64_t size;
  uint64_t vaddrp;
  uint64_t dmaaddrp;
};

struct IrqVectorsRequest {
  int32_t fd;
  int32_t min;
  int32_t max;
  uint32_t reserved;
  uint64_t irqs;
};

inline constexpr unsigned long kIocOpen = _IOW('u', 0xd0, OpenRequest);
inline constexpr unsigned long kIocMmap = _IOWR('u', 0xd1, MappingRequest);
inline constexpr unsigned long kIocMunmap = _IOW('u', 0xd2, MappingRequest);
inline constexpr unsigned long kIocGetConsistent = _IOWR('u', 0xd3, ConsistentRequest);
inline constexpr unsigned long kIocIrqVectors = _IOWR('u', 0xd4, IrqVectorsRequest);

}  // namespace usrdrv
