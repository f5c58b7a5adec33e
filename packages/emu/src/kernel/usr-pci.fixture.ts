import {
  type BusAddress,
  busAddress,
  DMA_BIDIRECTIONAL,
  type KernelProfile,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  MAPPING_INFO,
  PAGE_SIZE,
  PCI_COMMAND,
  PCI_COMMAND_MASTER,
  PROT_READ,
  PROT_WRITE,
  SCATTERLIST,
  type UserThread,
  type VirtualAddress,
  virtualAddress,
} from '@usrdrv/core';
import type { AccessHandlers, DeviceBus, DeviceModel } from '../devices/device.ts';
import type { ChoiceTag, Oracle } from '../explore/oracle.ts';
import { Machine, type MachineOptions } from '../machine/machine.ts';
import type { Process } from './process.ts';
import type { Step, Steps } from './step.ts';
import type { Task } from './task.ts';

export const PROFILES = ['chubb-2.6.11', 'usrdrv-6.1'] as const;
export const RW = PROT_READ | PROT_WRITE;
export const NOWHERE = virtualAddress(0);

/** A device that does nothing by itself: tests put its addresses on the bus. */
class Probe implements DeviceModel {
  readonly name = 'probe';
  readonly config = { vendorId: 0x1af4, deviceId: 1, classCode: 0xff0000, interruptPin: 1, msi: { vectors: 4 } };
  readonly bars = [{ size: PAGE_SIZE }];
  bus: DeviceBus | undefined = undefined;

  attach(bus: DeviceBus): AccessHandlers {
    this.bus = bus;
    return { read: () => 0, write: () => undefined };
  }

  read(address: bigint, length: number): Uint8Array | undefined {
    const into = new Uint8Array(length);
    return this.bus?.dmaRead(address, into) === true ? into : undefined;
  }

  write(address: bigint, ...bytes: number[]): boolean {
    return this.bus?.dmaWrite(address, new Uint8Array(bytes)) === true;
  }
}

/** Lets the nth choice of a kind go wrong. */
class FailOnce implements Oracle {
  readonly asksAtSteps = false;
  readonly #left = new Map<ChoiceTag, number>();

  fail(tag: ChoiceTag, nth = 1): void {
    this.#left.set(tag, nth);
  }

  choose(_n: number, tag: ChoiceTag): number {
    const left = this.#left.get(tag);
    if (left === undefined) return 0;
    this.#left.set(tag, left - 1);
    return left === 1 ? 1 : 0;
  }
}

/** What usr_pci_mmap answered. */
export interface Mapped {
  readonly result: number;
  readonly dmaaddr: bigint;
  readonly nents: number;
  readonly segments: readonly { readonly busAddress: BusAddress; readonly length: number }[];
}

/** A machine with two probes, and the system calls in few words. */
export class UsrPciMachine {
  readonly probe = new Probe();
  readonly second = new Probe();
  readonly oracle = new FailOnce();
  readonly machine: Machine;
  readonly process: Process;
  readonly thread: UserThread;

  constructor(profile: KernelProfile, o: MachineOptions = {}) {
    const { oracle } = this;
    this.machine = new Machine({ kernel: profile, devices: [this.probe, this.second], oracle, ...o });
    this.process = this.machine.kernel.process;
    this.thread = this.process.thread;
  }

  get task(): Task {
    const task = this.process.thread.tasks[0];
    if (task === undefined) throw new Error('no task');
    return task;
  }

  get misuse(): string[] {
    return this.machine.dmaDebug.reports.map(({ what }) => what);
  }

  open(mask = 0xfff_ffffn, slot = 4): number {
    return this.thread.usrPciOpen(0, slot, 0, mask);
  }

  memory(pages = 1, prot = RW): VirtualAddress {
    const address = this.thread.mmap(NOWHERE, pages * PAGE_SIZE, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0n);
    if (typeof address === 'number') throw new Error(`mmap: ${address}`);
    return address;
  }

  /** Fills a struct mapping_info in, with room for `nents` entries behind it. */
  info(
    region: bigint,
    size: number,
    direction = DMA_BIDIRECTIONAL,
    nents = Math.floor(size / PAGE_SIZE) + 2,
  ): VirtualAddress {
    const mp = this.memory(1 + Math.ceil((nents * SCATTERLIST.length) / PAGE_SIZE));
    const view = this.view(mp, MAPPING_INFO.length);
    view.setBigUint64(MAPPING_INFO.virtaddr, region, true);
    view.setUint32(MAPPING_INFO.size, size, true);
    view.setBigUint64(MAPPING_INFO.sglist, mp + BigInt(PAGE_SIZE), true);
    view.setInt32(MAPPING_INFO.nents, nents, true);
    view.setInt32(MAPPING_INFO.direction, direction, true);
    return mp;
  }

  map(fd: number, region: bigint, size: number, direction?: number, nents?: number): Mapped {
    const mp = this.info(region, size, direction, nents);
    return this.answer(mp, this.thread.usrPciMmap(fd, mp));
  }

  answer(mp: VirtualAddress, result: number): Mapped {
    if (result < 0) return { result, dmaaddr: 0n, nents: 0, segments: [] };
    const view = this.view(mp, MAPPING_INFO.length);
    const nents = view.getInt32(MAPPING_INFO.nents, true);
    const list = this.view(virtualAddress(mp + BigInt(PAGE_SIZE)), nents * SCATTERLIST.length);
    const segments = Array.from({ length: nents }, (_, at) => ({
      busAddress: busAddress(list.getBigUint64(at * SCATTERLIST.length + SCATTERLIST.dmaaddr, true)),
      length: Number(list.getBigUint64(at * SCATTERLIST.length + SCATTERLIST.len, true)),
    }));
    return { result, dmaaddr: view.getBigUint64(MAPPING_INFO.dmaaddr, true), nents, segments };
  }

  unmap(fd: number, dmaaddr: bigint): number {
    const mp = this.memory();
    this.view(mp, MAPPING_INFO.length).setBigUint64(MAPPING_INFO.dmaaddr, dmaaddr, true);
    return this.thread.usrPciMunmap(fd, mp);
  }

  consistent(fd: number): { readonly result: number; readonly vaddr: VirtualAddress; readonly dmaaddr: bigint } {
    const out = this.memory();
    const result = this.thread.usrPciGetConsistent(fd, PAGE_SIZE, out, virtualAddress(out + 8n));
    const view = this.view(out, 16);
    return { result, vaddr: virtualAddress(view.getBigUint64(0, true)), dmaaddr: view.getBigUint64(8, true) };
  }

  bytes(address: VirtualAddress, length: number): Uint8Array {
    return this.process.bytes(address, length);
  }

  view(address: VirtualAddress, length: number): DataView {
    const { buffer, byteOffset } = this.bytes(address, length);
    return new DataView(buffer, byteOffset, length);
  }
}

/** Runs kernel code up to a step. */
export function until<T>(steps: Steps<T>, name: string): void {
  for (;;) {
    const next: IteratorResult<Step, T> = steps.next();
    if (next.done === true) throw new Error(`the code ended before ${name}`);
    if (next.value.name === name) return;
  }
}

/** Runs kernel code to its end. */
export function finish<T>(steps: Steps<T>): T {
  for (;;) {
    const next: IteratorResult<Step, T> = steps.next();
    if (next.done === true) return next.value;
  }
}

/** Whether the device is a bus master. */
export function isMaster({ machine }: UsrPciMachine): boolean {
  return ((machine.pci.function('0000:00:04.0')?.configRead(PCI_COMMAND, 2) ?? 0) & PCI_COMMAND_MASTER) !== 0;
}
