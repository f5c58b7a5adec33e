import type { Backend } from '@usrdrv/core';

/** A backend by the name that it has here, which closes the kernel that it is over when it is closed itself. */
export function backendWithKernel(name: string, backend: Backend, kernel: Disposable): Backend {
  const close = () => {
    backend.close();
    kernel[Symbol.dispose]();
  };
  return {
    name,
    supports: backend.supports,
    pci: backend.pci,
    clock: backend.clock,
    openIrq: (line) => backend.openIrq(line),
    mapPhysical: (address, length) => backend.mapPhysical(address, length),
    close,
    [Symbol.dispose]: close,
  };
}
