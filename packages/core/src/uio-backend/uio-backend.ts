import type { Backend } from '../backend.ts';
import { SystemError } from '../errors.ts';
import type { IrqSource } from '../irq.ts';
import type { PciAddress } from '../pci-address.ts';
import { checkLine } from '../user-mode-backend/irq-file.ts';
import { FileIrqSource } from '../user-mode-backend/irq-source.ts';
import { readNumber, scanSysfs, sysfsPath } from '../user-mode-backend/sysfs.ts';
import { KernelBackend } from '../user-mode-backend/user-mode-backend.ts';
import type { FileView, UserModeKernel } from '../user-mode-kernel.ts';
import { NO_DMA } from './no-dma.ts';
import { NO_MSI, UioPciDevice } from './pci-device.ts';
import { UioIrqFile } from './uio-irq-file.ts';
import { nodeOf, type UioNode } from './uio-node.ts';

/**
 * A backend over UIO nodes (N): functions that uio_pci_generic has, or any other driver that makes a UIO node of a function.
 *
 * - No DMA and no MSI: UIO has neither ({@link Supports}). What is mapped for DMA, and `irq(vector)`, is ENOSYS.
 * - The line may be shared: it is masked at the device.
 * - UIO claims nothing: another process may open the node as well (N5), and closing it there takes bus mastering away here.
 * - `openIrq(line)` is the interrupt of the one function on that line that has a node.
 * - Nodes of IIO, which came before (S5), do as well.
 */
export function uioBackend(kernel: UserModeKernel): Backend {
  const devices = new Map<string, UioPciDevice>();
  const irqs = new Map<string, IrqSource>();
  return new KernelBackend(kernel, {
    name: 'uio',
    supports: {
      msi: false,
      masksUntilNextWait: true,
      masksVectors: false,
      sharedInterrupts: true,
      dma: false,
      consistentLargerThanPage: false,
      iommu: kernel.supports.iommu,
      mapPhysical: true,
      reasons: { msi: NO_MSI, dma: NO_DMA },
    },

    // The node itself would not see to it that a function is opened once.
    open(owner, address) {
      const before = devices.get(`${address}`);
      if (before !== undefined && owner.devices.has(before)) throw busy(`${address}`, 'opened already');
      const device = new UioPciDevice(owner, address);
      devices.set(`${address}`, device);
      return device;
    },

    openIrq(owner, line) {
      checkLine(line);
      const { address, node } = onlyNodeOn(kernel.files, line);
      const device = devices.get(`${address}`);
      if (device !== undefined && owner.devices.has(device)) return device.irq();
      const before = irqs.get(`${address}`);
      if (before !== undefined && owner.irqs.has(before)) throw busy(`/proc/irq/${line}`, 'opened already');
      const irq = new FileIrqSource(line, UioIrqFile.open(kernel, node, address), kernel.clock, owner.irqs);
      irqs.set(`${address}`, irq);
      return irq;
    },
  });
}

/** The one function on a line that has a node. */
function onlyNodeOn(files: FileView, line: number): { readonly address: PciAddress; readonly node: UioNode } {
  const onLine = scanSysfs(files)
    .map(({ address }) => address)
    .filter((address) => readNumber(files, sysfsPath(address, 'irq')) === line);
  const nodes = onLine.flatMap((address) => {
    const node = nodeOf(files, address);
    return node === undefined ? [] : [{ address, node }];
  });
  const path = `/proc/irq/${line}`;
  const [first] = nodes;
  if (onLine.length === 0) {
    throw new SystemError('ENOENT', 'open', { path, detail: 'no PCI function interrupts by this line' });
  }
  if (first === undefined) throw busy(path, `${onLine.join(', ')} has no UIO node: bind it to uio_pci_generic`);
  if (nodes.length > 1) throw busy(path, `shared by ${onLine.join(', ')}: open one of them, and its irq()`);
  return first;
}

function busy(path: string, detail: string): SystemError {
  return new SystemError('EBUSY', 'open', { path, detail });
}
