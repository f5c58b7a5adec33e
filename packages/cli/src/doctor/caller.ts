import type { MachineFiles } from '../machine/machine-files.ts';
import { type Finding, missing, notKnown, ok } from './check.ts';
import type { KernelConfig } from './kernel-config.ts';

/** capabilities(7), by their bits in /proc/self/status */
const CAPABILITIES = { CAP_IPC_LOCK: 14, CAP_SYS_RAWIO: 17, CAP_SYS_NICE: 23 } as const;
type Capability = keyof typeof CAPABILITIES;

const MEBIBYTE = 2 ** 20;
/** What systemd grants since 2020; a driver with a few queues gets by on it. */
const ENOUGH_LOCKED = 8 * MEBIBYTE;

export function capabilities(files: MachineFiles): Finding {
  const held = effective(files);
  if (held === undefined) return notKnown('/proc/self/status does not say');
  const names = (Object.keys(CAPABILITIES) as Capability[]).filter((name) => has(held, name));
  const found = names.length === 0 ? 'none of CAP_SYS_RAWIO, CAP_IPC_LOCK, CAP_SYS_NICE' : names.join(', ');
  if (has(held, 'CAP_SYS_RAWIO')) return ok(found);
  return missing(
    found,
    'usrdrv and /dev/mem take CAP_SYS_RAWIO: run as root, or setcap cap_sys_rawio+ep a node of its own',
  );
}

export function lockedMemory(files: MachineFiles): Finding {
  const limit = /^Max locked memory\s+(\S+)/m.exec(files.text('/proc/self/limits') ?? '')?.[1];
  if (limit === undefined) return notKnown('/proc/self/limits does not say');
  const held = effective(files);
  if (limit === 'unlimited') return ok('no limit');
  const text = `${Number(limit) / MEBIBYTE} MiB`;
  if (held !== undefined && has(held, 'CAP_IPC_LOCK')) return ok(`${text}, and CAP_IPC_LOCK passes over it`);
  if (Number(limit) >= ENOUGH_LOCKED) return ok(text, 'memory for DMA counts against it: ulimit -l for more');
  return missing(
    `${text}: memory for DMA counts against it`,
    'ulimit -l, memlock in /etc/security/limits.conf, or LimitMEMLOCK=',
  );
}

/** Registers by physical address, as the usrdrv backend reaches them. */
export function devMem(files: MachineFiles, config: KernelConfig): Finding {
  const refused = files.refusal('/dev/mem', 'read and write');
  if (refused === 'ENOENT') {
    const without = config.option('CONFIG_DEVMEM') === 'n';
    return missing(
      '/dev/mem is not there',
      without ? 'a kernel with CONFIG_DEVMEM' : 'mknod -m 600 /dev/mem c 1 1; not in a container',
    );
  }
  if (refused !== undefined) return missing(`/dev/mem: ${refused}`, 'run as root');
  const held = effective(files);
  if (held !== undefined && !has(held, 'CAP_SYS_RAWIO'))
    return missing('/dev/mem: it takes CAP_SYS_RAWIO', 'run as root');
  return ok(`/dev/mem, ${strictness(files, config)}`);
}

function strictness(files: MachineFiles, config: KernelConfig): string {
  if (/\biomem=relaxed\b/.test(files.text('/proc/cmdline') ?? '')) return 'relaxed (iomem=relaxed)';
  const [memory, io] = [config.option('CONFIG_STRICT_DEVMEM'), config.option('CONFIG_IO_STRICT_DEVMEM')];
  if (memory === undefined) return 'how strict is not known (no kernel configuration here)';
  if (io === 'y') return 'strict: registers that a kernel driver has claimed are refused';
  return memory === 'y' ? 'memory refused, registers open' : 'not strict';
}

/** Where the kernel is locked down, root does not get at /dev/mem and cannot load modules that nobody signed. */
export function lockdown(files: MachineFiles, config: KernelConfig): Finding {
  const text = files.text('/sys/kernel/security/lockdown');
  if (text === undefined && config.option('CONFIG_SECURITY_LOCKDOWN_LSM') === 'n') return ok('the kernel has none');
  if (text === undefined)
    return notKnown('securityfs does not say', 'mount -t securityfs securityfs /sys/kernel/security');
  const mode = /\[(\w+)\]/.exec(text)?.[1] ?? text;
  if (mode === 'none') return ok('none');
  return missing(
    `${mode}: no /dev/mem, no unsigned module`,
    'use VFIO; or turn Secure Boot off, or boot without lockdown=',
  );
}

function effective(files: MachineFiles): bigint | undefined {
  const set = /^CapEff:\s*([0-9a-f]+)$/m.exec(files.text('/proc/self/status') ?? '')?.[1];
  return set === undefined ? undefined : BigInt(`0x${set}`);
}

function has(set: bigint, name: Capability): boolean {
  return ((set >> BigInt(CAPABILITIES[name])) & 1n) === 1n;
}
