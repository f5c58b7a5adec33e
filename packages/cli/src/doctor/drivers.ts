import type { MachineFiles } from '../machine/machine-files.ts';
import { driverFolder } from '../machine/pci-function.ts';
import { type Finding, missing, ok } from './check.ts';
import type { KernelConfig } from './kernel-config.ts';

const NOIOMMU = '/sys/module/vfio/parameters/enable_unsafe_noiommu_mode';

/** The user-mode driver interface, by the patch or by the module. */
export function usrdrv(files: MachineFiles): Finding {
  const lines = files.names('/proc/irq').filter((name) => files.exists(`/proc/irq/${name}/irq`));
  if (files.exists('/dev/usrdrv/pci')) return ok('the module is loaded: /dev/usrdrv/pci');
  if (lines.length > 0) return ok(`the kernel is patched: /proc/irq/N/irq for ${lines.length} lines`);
  if (files.exists('/sys/module/usrdrv')) {
    return missing('the module is loaded, and /dev/usrdrv/pci is not there', 'mount -t devtmpfs dev /dev');
  }
  const remedy =
    'load the module (packages/kernel-patch: make, insmod usrdrv.ko), or boot a kernel with the patch series';
  return missing('neither the patch (/proc/irq/N/irq) nor the module (/dev/usrdrv/pci)', remedy);
}

export function vfio(files: MachineFiles, config: KernelConfig): Finding {
  if (!files.exists(driverFolder('vfio-pci'))) {
    return missing('the driver vfio-pci is not there', config.remedyFor('vfio-pci', 'CONFIG_VFIO_PCI'));
  }
  const refused = files.refusal('/dev/vfio/vfio', 'read and write');
  if (refused === 'ENOENT' && files.exists('/dev/iommu')) {
    return missing(
      '/dev/iommu is there alone, and iommufd is not used',
      'a kernel with CONFIG_VFIO_GROUP and a container',
    );
  }
  if (refused === 'ENOENT')
    return missing('/dev/vfio/vfio is not there', 'mount -t devtmpfs dev /dev; in a container: pass it on');
  if (refused !== undefined)
    return missing(`/dev/vfio/vfio: ${refused}`, 'chmod 0666 /dev/vfio/vfio: the groups are what is guarded');
  const unsafe = files.text(NOIOMMU) === 'Y' ? '; UNSAFE: it also works without an IOMMU' : '';
  return ok(`vfio-pci and /dev/vfio/vfio${unsafe}`);
}

/** Which groups programs can be given, and whether this one may open them. */
export function vfioGroups(files: MachineFiles): Finding {
  const bound = functionsOf(files, 'vfio-pci');
  const nodes = [...new Set(bound.flatMap((address) => groupNode(files, address) ?? []))];
  return nodesFinding(files, nodes, 'vfio-pci has no function', 'usrdrv bind ADDRESS --to vfio-pci');
}

export function uio(files: MachineFiles, config: KernelConfig): Finding {
  if (files.exists(driverFolder('uio_pci_generic'))) return ok('uio_pci_generic');
  return missing(
    'the driver uio_pci_generic is not there',
    config.remedyFor('uio_pci_generic', 'CONFIG_UIO_PCI_GENERIC'),
  );
}

export function uioNodes(files: MachineFiles): Finding {
  const nodes = files.names('/sys/class/uio').map((name) => `/dev/${name}`);
  return nodesFinding(files, nodes, 'no UIO device', 'usrdrv bind ADDRESS --to uio_pci_generic');
}

function nodesFinding(files: MachineFiles, nodes: readonly string[], none: string, remedy: string): Finding {
  if (nodes.length === 0) return missing(none, remedy);
  const refused = nodes.flatMap((node) => {
    const code = files.refusal(node, 'read and write');
    return code === undefined ? [] : [{ node, code }];
  });
  if (refused.length === 0) return ok(nodes.join(', '));
  const found = refused.map(({ node, code }) => `${node}: ${code}`).join(', ');
  const denied = refused.filter(({ code }) => code !== 'ENOENT').map(({ node }) => node);
  return missing(found, denied.length === 0 ? 'mount -t devtmpfs dev /dev' : `chown "$USER" ${denied.join(' ')}`);
}

function functionsOf(files: MachineFiles, driver: string): string[] {
  return files.names(driverFolder(driver)).filter((name) => /^[0-9a-f]{4,}:/.test(name));
}

function groupNode(files: MachineFiles, address: string): string | undefined {
  const group = files.link(`/sys/bus/pci/devices/${address}/iommu_group`)?.split('/').at(-1);
  if (group === undefined) return undefined;
  const noiommu = `/dev/vfio/noiommu-${group}`;
  return files.exists(noiommu) ? noiommu : `/dev/vfio/${group}`;
}
