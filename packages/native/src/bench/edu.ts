import { closeSync, openSync, readFileSync, readSync, writeSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import {
  checkResult,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  MAP_SHARED,
  type MmioRegion,
  O_NONBLOCK,
  O_RDONLY,
  O_RDWR,
  PAGE_SIZE,
  PCI_COMMAND,
  PCI_COMMAND_INTX_DISABLE,
  type PciAddress,
  type PhysicalAddress,
  PROT_READ,
  PROT_WRITE,
  physicalAddress,
  SystemError,
  type VirtualAddress,
  virtualAddress,
} from '@usrdrv/core';
import { kernelInterface } from '../kernel-interface.ts';
import type { LinuxKernel } from '../linux-kernel.ts';
import { bindTo, unbindFrom } from './kernel-driver.ts';

/** QEMU, docs/specs/edu.rst */
const FACTORIAL_STATUS = 0x20;
const RAISE = 0x60;
const ACKNOWLEDGE = 0x64;
const EVERY_BIT = 0xffff_ffff;
/** More than an interrupt takes from the device to its handler, on whichever processor. */
export const SETTLE_MS = 3;

/** A second, on a machine that works. */
const MOST_WAITS = 300;

const NULL = virtualAddress(0n);

/** An edu device, reached by a mapping of its registers that nobody else knows of. */
export class EduSeat {
  readonly address: PciAddress;
  readonly irq: number;
  readonly bar0: PhysicalAddress;
  readonly #registers: MmioRegion;

  /**
   * Leaves the device quiet, and its line with nothing to report.
   * @param driver of the kernel, which gets the device; left out: none does
   */
  constructor(
    private readonly kernel: LinuxKernel,
    address: PciAddress,
    driver?: string,
  ) {
    const { thread } = kernel.process;
    this.address = address;
    const hasIrqFile = kernelInterface() !== 'none';
    // Some drivers take every device that is plugged in.
    if (driver !== undefined) unbindFrom(driver, address);
    // The kernel routes the line when somebody enables the device for the first time.
    // Not every driver does: vfio-pci waits until somebody opens the device.
    if (hasIrqFile) enableOnce(kernel, address);
    else if (driver !== undefined) bindTo(driver, address);
    this.irq = Number(sysfs(address, 'irq'));
    this.bar0 = physicalAddress(BigInt(sysfs(address, 'resource').split(' ')[0] ?? ''));
    const mem = checkResult(thread.open('/dev/mem', O_RDWR), 'open', '/dev/mem');
    this.#registers = kernel.process.mmio(this.#page(MAP_SHARED, mem, this.bar0), PAGE_SIZE);
    thread.close(mem);
    this.#registers.write32(FACTORIAL_STATUS, 0);
    this.#registers.write32(ACKNOWLEDGE, EVERY_BIT);
    if (hasIrqFile) this.#forgetFalse();
    if (hasIrqFile && driver !== undefined) bindTo(driver, address);
  }

  async raise(bits: number): Promise<void> {
    this.#registers.write32(RAISE, bits);
    await delay(SETTLE_MS);
  }

  async acknowledge(bits: number): Promise<void> {
    this.#registers.write32(ACKNOWLEDGE, bits);
    await delay(SETTLE_MS);
  }

  /** Lets the line go. */
  silence(): void {
    this.#registers.write32(ACKNOWLEDGE, EVERY_BIT);
  }

  /**
   * In QEMU a line that fell while nobody had it open interrupts falsely when somebody opens it, and again after each end of
   * interrupt: a driver that looks at its device, as uio_pci_generic, finds nothing, until the kernel gives the line up ("nobody
   * cared"). A line that rises and falls while it is open is as it should be afterwards.
   */
  #forgetFalse(): void {
    const { thread } = this.kernel.process;
    enableIntx(this.address);
    const fd = checkResult(thread.open(`/proc/irq/${this.irq}/irq`, O_RDONLY | O_NONBLOCK), 'open');
    const page = this.#page(MAP_PRIVATE | MAP_ANONYMOUS, -1, 0n);
    this.#registers.write32(RAISE, 1);
    for (let waits = 0; thread.read(fd, page, 4) !== 4 && waits < MOST_WAITS; waits++) pause();
    this.#registers.write32(ACKNOWLEDGE, EVERY_BIT);
    do pause();
    while (thread.read(fd, page, 4) === 4);
    thread.munmap(page, PAGE_SIZE);
    thread.close(fd);
  }

  #page(flags: number, fd: number, offset: bigint): VirtualAddress {
    const page = this.kernel.process.thread.mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, flags, fd, offset);
    if (typeof page === 'number') throw SystemError.fromResult(page, 'mmap');
    return page;
  }
}

function enableOnce({ process: { thread } }: LinuxKernel, { domain, bus, slot, function: fn }: PciAddress): void {
  thread.close(checkResult(thread.usrPciOpen(bus, slot, fn, 0n, domain), 'usr_pci_open'));
}

/** Clears what the driver that had the function last may have left set. */
function enableIntx(address: PciAddress): void {
  const config = openSync(`/sys/bus/pci/devices/${address}/config`, 'r+');
  try {
    const command = new DataView(new ArrayBuffer(2));
    readSync(config, command, 0, 2, PCI_COMMAND);
    command.setUint16(0, command.getUint16(0, true) & ~PCI_COMMAND_INTX_DISABLE, true);
    writeSync(config, command, 0, 2, PCI_COMMAND);
  } finally {
    closeSync(config);
  }
}

/** Sleeps with the thread. */
function pause(): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, SETTLE_MS);
}

/** A file of the function in sysfs. */
export function sysfs(address: PciAddress, file: string): string {
  return readFileSync(`/sys/bus/pci/devices/${address}/${file}`, 'utf8').trim();
}
