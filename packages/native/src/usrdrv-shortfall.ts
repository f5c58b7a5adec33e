import { CONTROL_DEVICE, kernelInterface } from './kernel-interface.ts';
import { type Place, refusal, type Shortfall, text } from './shortfall.ts';

const CAP_SYS_RAWIO = 17n;

/** What the usrdrv backend takes: the kernel's interface, CAP_SYS_RAWIO, /dev/mem, and a function without a driver. */
export function usrdrvShortfall({ root, device }: Place): Shortfall | undefined {
  if (kernelInterface(root) === 'none') {
    const reason = `the kernel has neither the usrdrv patch (/proc/irq/N/irq) nor its module (${CONTROL_DEVICE})`;
    return { reason, remedy: 'load the module, insmod usrdrv.ko, or boot a kernel with the patch series' };
  }
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(text(root, '/proc/self/status') ?? '')?.[1] ?? '0';
  if (((BigInt(`0x${effective}`) >> CAP_SYS_RAWIO) & 1n) === 0n) {
    return { reason: 'this process lacks CAP_SYS_RAWIO', remedy: 'run it as root, or with that capability' };
  }
  const denied = refusal(root, '/dev/mem');
  if (denied !== undefined) {
    return { reason: `/dev/mem cannot be opened: ${denied}`, remedy: 'usrdrv doctor says what /dev/mem lacks' };
  }
  if (device === undefined) return undefined;
  if (device.driver === 'usr_pci') {
    return { reason: `a program has ${device.address} open`, remedy: 'end that program' };
  }
  const holder = device.driver ?? device.override;
  if (holder === undefined) return undefined;
  const how = device.driver === undefined ? 'reserved for' : 'bound to';
  return { reason: `${device.address} is ${how} ${holder}`, remedy: `usrdrv bind ${device.address} --to none` };
}
