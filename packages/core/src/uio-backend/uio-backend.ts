import type { Backend } from '../backend.ts';
import { SystemError } from '../errors.ts';
import type { IrqSource } from '../irq.ts';
import type { PciAddress } from '../pci-address.ts';
import { checkLine } from '../user-mode-backend/irq-file.ts';
import { FileIrqSource } from '../user-mode-backend/irq-source.ts';
import { ifThere, readNumber, scanSysfs, sysfsPath } from '../user-mode-backend/sysfs.ts';
import { KernelBackend } from '../user-mode-backend/user-mode-backend.ts';
import type { FileView, UserModeKernel } from '../user-mode-kernel.ts';
import { NO_DMA } from './no-dma.ts';
import { NO_MSI, UioPciDevice } from './pci-device.ts';
import { UioIrqFile } from './uio-irq-file.ts';
import { nodeOf, type UioNode } from './uio-node.ts';

/** What mask a line as it fires, by the names that they give their nodes. */
const MASKING_DRIVERS: ReadonlySet<string> = new Set(['uio_pci_generic', 'iio_pci']);

/**
 * A backend over UIO nodes (N): functions that uio_pci_generic has, or any other driver that makes a UIO node of a function.
 *
 * - No DMA and no MSI: UIO has neither ({@link Supports}). What is mapped for DMA, and `irq(vector)`, is ENOSYS.
 * - The line may be shared: it is masked at the device. A driver other than uio_pci_generic may acknowledge the device instead,
 *   and each interrupt between two waits counts (`supports.masksUntilNextWait`, of the nodes that are there when it is read).
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
      get masksUntilNextWait() {
        return unmasked(kernel.files) === undefined;
      },
      masksVectors: false,
      sharedInterrupts: true,
      dma: false,
      consistentLargerThanPage: false,
      iommu: kernel.supports.iommu,
      mapPhysical: true,
      get reasons() {
        const why = unmasked(kernel.files);
        return { msi: NO_MSI, dma: NO_DMA, ...(why !== undefined && { masksUntilNextWait: why }) };
      },
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

/** Why a line may not be masked as it fires: it is a node's whose driver is not known to mask. Looks at what is there now. */
function unmasked(files: FileView): string | undefined {
  for (const { address } of ifThere(() => scanSysfs(files)) ?? []) {
    const driver = ifThere(() => nodeOf(files, address)?.driver);
    if (driver !== undefined && !MASKING_DRIVERS.has(driver)) {
      return `${address} is with the UIO driver ${driver}, which may not mask the line as it fires`;
    }
  }
  return undefined;
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
