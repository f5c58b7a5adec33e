import { join } from 'node:path';
import { Guest } from '../guest.ts';
import type { Ended } from '../in-guest/runner.ts';
import { nodeInitramfs } from '../initramfs.ts';
import { cacheFolder, type KernelName, kernelImage } from '../kernel.ts';

/** Two slots that a device can be pulled out of, with an edu device in each. */
const SLOTS = [0, 1];
const edu = (slot: number) => ({ driver: 'edu', id: `edu${slot}`, bus: `slot${slot}` });

/** Node's own, in the guest. */
const NODE = '/bin/node';
/** How long one program may take. */
const PROGRAM_MS = 240_000;

/** What a guest is booted with. */
export interface NodeGuestOptions {
  /** As the kernel's option intel_iommu has it. Left out: on. */
  readonly iommu?: 'on' | 'off';
  /** Added to the kernel's command line. */
  readonly append?: string;
}

/** A guest that has Node and the packages, and devices that can be unplugged. */
export class NodeGuest {
  private constructor(private readonly guest: Guest) {}

  /** @param name of its console's log */
  static async boot(kernel: KernelName, name: string, o: NodeGuestOptions = {}): Promise<NodeGuest> {
    const { iommu = 'on', append = '' } = o;
    const guest = await Guest.boot({
      kernel: kernelImage(kernel),
      initramfs: await nodeInitramfs(),
      console: join(cacheFolder(), `console-testbed-node-${name}.log`),
      memory: 1536,
      answerMs: PROGRAM_MS,
      // Debian's kernel leaves the IOMMU alone unless it is told to use it.
      append: `intel_iommu=${iommu} ${append}`,
      devices: [
        ...SLOTS.flatMap((slot) => [
          `pcie-root-port,id=slot${slot},chassis=${slot + 1},slot=${slot + 1}`,
          option(edu(slot)),
        ]),
        // Has MSI-X, and PCI Express.
        'e1000e,romfile=',
      ],
    });
    return new NodeGuest(guest);
  }

  /** Runs one of the programs of `nodeInitramfs` to its end. */
  async run(program: string, ...args: readonly string[]): Promise<Ended> {
    return JSON.parse(await this.guest.request('run', command(program, args)));
  }

  /** The same on one processor, which takes the interrupts too: one that is let through has arrived when the call returns. */
  pinned(program: string, ...args: readonly string[]): Promise<Ended> {
    const words = `/usrdrv/bin/${program}.mjs ${args.join(' ')}`;
    return this.shell(`
      for file in /proc/irq/default_smp_affinity /proc/irq/*/smp_affinity; do echo 1 2>/dev/null >$file; done
      exec /bin/busybox taskset 1 ${NODE} ${words}`);
  }

  /** By the shell. */
  shell(script: string): Promise<Ended> {
    return this.exec('/bin/busybox', 'sh', '-c', script);
  }

  /** Whatever is in the guest. */
  async exec(...command: readonly string[]): Promise<Ended> {
    return JSON.parse(await this.guest.request('run', JSON.stringify(command)));
  }

  /** Starts one, and waits for the first line that it prints. */
  start(program: string, ...args: readonly string[]): Promise<string> {
    return this.guest.request('start', command(program, args));
  }

  /** The next line of what was started. */
  line(): Promise<string> {
    return this.guest.request('line', '');
  }

  async finish(): Promise<Ended> {
    return JSON.parse(await this.guest.request('finish', ''));
  }

  /** Pulls both edu devices out. */
  async unplug(): Promise<void> {
    await Promise.all(SLOTS.map((slot) => this.guest.qmp.unplug(edu(slot).id)));
  }

  async plug(): Promise<void> {
    for (const slot of SLOTS) await this.guest.qmp.plug(edu(slot));
  }

  /** Plugs an edu device in again as soon as the guest has ejected it. */
  replugEjected(): void {
    this.guest.qmp.onDeleted = (id) => {
      const slot = SLOTS.find((each) => edu(each).id === id);
      if (slot !== undefined) void this.guest.qmp.plug(edu(slot));
    };
  }

  end(): Promise<void> {
    return this.guest.end();
  }

  kill(): void {
    this.guest.kill();
  }
}

function command(program: string, args: readonly string[]): string {
  return JSON.stringify([NODE, `/usrdrv/bin/${program}.mjs`, ...args]);
}

function option(device: Readonly<Record<string, string>>): string {
  const { driver, ...properties } = device;
  return [driver, ...Object.entries(properties).map(([key, value]) => `${key}=${value}`)].join(',');
}
