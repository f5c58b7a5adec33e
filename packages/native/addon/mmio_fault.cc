#include "mmio_fault.h"

#include <signal.h>
#include <ucontext.h>

#include <mutex>

#ifdef __x86_64__

namespace {

/** An instruction that may fault, and where to go on if it does. */
struct FaultEntry {
  uint64_t instruction;
  uint64_t resume;
};

}  // namespace

// The linker's names for the table's ends.
extern "C" const FaultEntry __start_usrdrv_fault_table[] __attribute__((visibility("hidden")));
extern "C" const FaultEntry __stop_usrdrv_fault_table[] __attribute__((visibility("hidden")));

namespace usrdrv {

namespace {

struct sigaction previous;

void OnSigbus(int signal, siginfo_t* info, void* context) {
  auto& registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  auto at = static_cast<uint64_t>(registers[REG_RIP]);
  for (const FaultEntry* entry = __start_usrdrv_fault_table; entry != __stop_usrdrv_fault_table; entry++) {
    if (entry->instruction != at) continue;
    registers[REG_RIP] = static_cast<greg_t>(entry->resume);
    return;
  }
  if ((previous.sa_flags & SA_SIGINFO) != 0) {
    previous.sa_sigaction(signal, info, context);
  } else if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) {
    previous.sa_handler(signal);
  } else {
    // The instruction faults again, and this time for good.
    sigaction(signal, &previous, nullptr);
  }
}

}  // namespace

void CatchMmioFaults() {
  static std::once_flag once;
  std::call_once(once, [] {
    struct sigaction action = {};
    action.sa_sigaction = OnSigbus;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, &previous);
  });
}

}  // namespace usrdrv

#else

namespace usrdrv {

void CatchMmioFaults() {}

}  // namespace usrdrv

#endif
