import { names, type Place, refusal, type Shortfall } from './shortfall.ts';

/** What the uio backend takes: a function with a UIO node, and the right to open both. */
export function uioShortfall({ root, device }: Place): Shortfall | undefined {
  if (device !== undefined) return shortfallOf(root, device);
  const nodes = names(root, '/sys/class/uio');
  if (nodes.length > 0)
    return cannotOpenAll(
      root,
      nodes.map((name) => `/dev/${name}`),
    );
  return { reason: 'no function has a UIO node', remedy: 'usrdrv bind ADDRESS --to uio_pci_generic' };
}

function shortfallOf(root: string, { address, driver }: NonNullable<Place['device']>): Shortfall | undefined {
  const folder = `/sys/bus/pci/devices/${address}`;
  const [node] = names(root, `${folder}/uio`);
  // The nodes and the function's configuration space, through which its line is unmasked.
  if (node !== undefined) return cannotOpen(root, `/dev/${node}`) ?? cannotOpen(root, `${folder}/config`);
  const reason = `${address} has no UIO node: ${driver === undefined ? 'no driver has it' : `it is bound to ${driver}`}`;
  return { reason, remedy: `usrdrv bind ${address} --to uio_pci_generic` };
}

/** Undefined where one of them can be opened. */
function cannotOpenAll(root: string, nodes: readonly string[]): Shortfall | undefined {
  const shortfalls = nodes.map((node) => cannotOpen(root, node));
  return shortfalls.includes(undefined) ? undefined : shortfalls[0];
}

function cannotOpen(root: string, path: string): Shortfall | undefined {
  const denied = refusal(root, path);
  if (denied === undefined) return undefined;
  const remedy = denied === 'ENOENT' ? 'mount -t devtmpfs dev /dev; in a container: pass it on' : 'run it as root';
  return { reason: `${path} cannot be opened: ${denied}`, remedy };
}
