#pragma once

#include <cstdint>

namespace usrdrv {

/**
 * From now on a load or store below that finds nothing behind its mapping (SIGBUS: a file that has shrunk, a device that a
 * driver took away) returns false. SIGBUS of anybody else goes where it went before.
 */
void CatchMmioFaults();

#ifdef __x86_64__

// One mov each, of just this width, which the compiler can neither split, merge, move nor leave out; and an entry in the
// table of instructions that may fault: where they are, and where to go on.
#define USRDRV_MAY_FAULT(instruction)           \
  "1: " instruction                             \
  "\n2:\n"                                      \
  ".pushsection .text.usrdrv_fault,\"ax\"\n"    \
  "3: movl $0, %[intact]\n"                     \
  "jmp 2b\n"                                    \
  ".popsection\n"                               \
  ".pushsection usrdrv_fault_table,\"aw\"\n"    \
  ".balign 8\n"                                 \
  ".quad 1b, 3b\n"                              \
  ".popsection\n"

template <typename T>
inline __attribute__((always_inline)) bool VolatileLoad(const T* address, T* value) {
  int intact = 1;
  T loaded{};
  if constexpr (sizeof(T) == 1) {
    asm volatile(USRDRV_MAY_FAULT("movb (%[address]), %[value]")
                 : [value] "+q"(loaded), [intact] "+r"(intact)
                 : [address] "r"(address)
                 : "memory");
  } else if constexpr (sizeof(T) == 2) {
    asm volatile(USRDRV_MAY_FAULT("movw (%[address]), %[value]")
                 : [value] "+r"(loaded), [intact] "+r"(intact)
                 : [address] "r"(address)
                 : "memory");
  } else if constexpr (sizeof(T) == 4) {
    asm volatile(USRDRV_MAY_FAULT("movl (%[address]), %[value]")
                 : [value] "+r"(loaded), [intact] "+r"(intact)
                 : [address] "r"(address)
                 : "memory");
  } else {
    asm volatile(USRDRV_MAY_FAULT("movq (%[address]), %[value]")
                 : [value] "+r"(loaded), [intact] "+r"(intact)
                 : [address] "r"(address)
                 : "memory");
  }
  *value = loaded;
  return intact != 0;
}

template <typename T>
inline __attribute__((always_inline)) bool VolatileStore(T* address, T value) {
  int intact = 1;
  if constexpr (sizeof(T) == 1) {
    asm volatile(USRDRV_MAY_FAULT("movb %[value], (%[address])")
                 : [intact] "+r"(intact)
                 : [value] "q"(value), [address] "r"(address)
                 : "memory");
  } else if constexpr (sizeof(T) == 2) {
    asm volatile(USRDRV_MAY_FAULT("movw %[value], (%[address])")
                 : [intact] "+r"(intact)
                 : [value] "r"(value), [address] "r"(address)
                 : "memory");
  } else if constexpr (sizeof(T) == 4) {
    asm volatile(USRDRV_MAY_FAULT("movl %[value], (%[address])")
                 : [intact] "+r"(intact)
                 : [value] "r"(value), [address] "r"(address)
                 : "memory");
  } else {
    asm volatile(USRDRV_MAY_FAULT("movq %[value], (%[address])")
                 : [intact] "+r"(intact)
                 : [value] "r"(value), [address] "r"(address)
                 : "memory");
  }
  return intact != 0;
}

#undef USRDRV_MAY_FAULT

#else

// Without a table of instructions a fault is what it is for any program.
template <typename T>
inline bool VolatileLoad(const T* address, T* value) {
  *value = *static_cast<const volatile T*>(address);
  return true;
}

template <typename T>
inline bool VolatileStore(T* address, T value) {
  *static_cast<volatile T*>(address) = value;
  return true;
}

#endif

}  // namespace usrdrv
