import {
  type MaySleep,
  O_NONBLOCK,
  O_RDWR,
  PCI_COMMAND,
  PCI_COMMAND_INTX_DISABLE,
  type VirtualAddress,
} from '@usrdrv/core';
import { EduDevice } from '../devices/edu.ts';
import { Machine, type MachineOptions } from '../machine/machine.ts';
import { memory } from './kernel.fixture.ts';
import type { Thread } from './syscalls.ts';

export const ADDRESS = '0000:00:04.0';
export const SECOND = '0000:00:05.0';
const RAISE = 0x60;
const ACKNOWLEDGE = 0x64;

interface UioSetupOptions extends Pick<MachineOptions, 'devices' | 'kernel'> {
  /** Another edu on the same line, for the same driver. */
  readonly shared?: EduDevice;
}

/** A machine whose edu has been given to a generic driver: the tests of UIO and of IIO start from it. */
export class UioSetup {
  readonly edu = new EduDevice();
  readonly machine: Machine;
  readonly thread: Thread;
  readonly buf: VirtualAddress;

  constructor(
    readonly driver: 'uio_pci_generic' | 'iio_pci' = 'uio_pci_generic',
    { devices = [], shared, kernel = 'usrdrv-6.1' }: UioSetupOptions = {},
  ) {
    const sharers = shared === undefined ? [] : [{ device: shared, address: SECOND, irq: 16 }];
    this.machine = new Machine({
      kernel,
      devices: [{ device: this.edu, address: ADDRESS, irq: 16 }, ...sharers, ...devices],
    });
    this.machine.kernel.bindDriver(driver, ADDRESS);
    if (shared !== undefined) this.machine.kernel.bindDriver(driver, SECOND);
    this.thread = this.machine.kernel.process.thread;
    this.buf = memory(this.thread);
  }

  get node(): string {
    return this.driver === 'iio_pci' ? '/dev/iio0_event' : '/dev/uio0';
  }

  open(flags = O_RDWR | O_NONBLOCK, path = this.node): number {
    return this.thread.open(path, flags);
  }

  read(fd: number, length = this.driver === 'iio_pci' ? 1 : 4): MaySleep {
    return this.thread.read(fd, this.buf, length);
  }

  /** The cumulative count that the last read put into memory. */
  get count(): number {
    return new DataView(this.machine.kernel.process.bytes(this.buf, 4).slice().buffer).getInt32(0, true);
  }

  /** Writes an int, or a byte, to the node. */
  write(fd: number, value: number, length = 4): MaySleep {
    this.machine.kernel.process.bytes(this.buf, 4).set(new Uint8Array(new Int32Array([value]).buffer));
    return this.thread.write(fd, this.buf, length);
  }

  raise(): void {
    this.edu.write(RAISE, 1, 4);
    this.machine.kick();
  }

  acknowledge(): void {
    this.edu.write(ACKNOWLEDGE, 1, 4);
    this.machine.kick();
  }

  /** One interrupt of the device, as user space sees to it: acknowledged, and unmasked again. */
  interrupt(): void {
    this.raise();
    this.acknowledge();
    this.masked = false;
  }

  get command(): number {
    return this.machine.pci.function(ADDRESS)?.configRead(PCI_COMMAND, 2) ?? 0;
  }

  set command(value: number) {
    this.machine.pci.function(ADDRESS)?.configWrite(PCI_COMMAND, value, 2);
  }

  /** Whether bit 10 of the command register keeps the device silent. */
  get masked(): boolean {
    return (this.command & PCI_COMMAND_INTX_DISABLE) !== 0;
  }

  set masked(masked: boolean) {
    this.command = masked ? this.command | PCI_COMMAND_INTX_DISABLE : this.command & ~PCI_COMMAND_INTX_DISABLE;
  }

  text(path: string): string {
    return new TextDecoder().decode(this.machine.kernel.files.readFileSync(path));
  }

  /** Writes text to a file. */
  echo(text: string, path: string): number {
    const fd = this.thread.open(path, 1);
    if (fd < 0) return fd;
    const bytes = new TextEncoder().encode(text);
    this.machine.kernel.process.bytes(this.buf, bytes.length).set(bytes);
    const result = this.thread.write(fd, this.buf, bytes.length);
    this.thread.close(fd);
    return typeof result === 'number' ? result : 0;
  }

  /** Whether a call still sleeps after a millisecond. */
  async sleeps(call: MaySleep): Promise<boolean> {
    const awake = this.machine.kernel.clock.sleep(1).then(() => undefined);
    return (await Promise.race([call, awake])) === undefined;
  }
}
