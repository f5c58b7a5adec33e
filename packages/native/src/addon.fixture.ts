import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import {
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  PAGE_SIZE,
  PROT_READ,
  PROT_WRITE,
  type VirtualAddress,
  virtualAddress,
} from '@usrdrv/core';
import { test as always, expect } from 'vitest';
import { addon } from './addon.ts';
import { LinuxKernel } from './linux-kernel.ts';

const excuse = fileURLToPath(new URL('../build/not-built.txt', import.meta.url));

/** Why there is no addon on this machine, undefined where there is one, and where it ought to be. */
const reason = existsSync(excuse) ? readFileSync(excuse, 'utf8') : undefined;
if (reason !== undefined) console.warn(`the tests of @usrdrv/native are skipped: there is no addon: ${reason}`);

/** A test that needs the addon. */
export const test = always.skipIf(reason !== undefined);

export const NULL = virtualAddress(0n);
export const RW = PROT_READ | PROT_WRITE;
export const ANONYMOUS = MAP_PRIVATE | MAP_ANONYMOUS;

/** The kernel of this machine without the user-mode driver interface, which it need not have. */
export function hostKernel(): LinuxKernel {
  return new LinuxKernel('none');
}

/** Anonymous memory, by the page. */
export function mapPages(kernel: LinuxKernel, pages = 1, prot: number = RW): VirtualAddress {
  const address = kernel.process.thread.mmap(NULL, pages * PAGE_SIZE, prot, ANONYMOUS, -1, 0n);
  if (typeof address === 'number') throw new Error(`mmap returned ${address}`);
  return address;
}

/** The address so many bytes on. */
export function at(address: VirtualAddress, offset: number): VirtualAddress {
  return virtualAddress(address + BigInt(offset));
}

/** An eventfd, and what adds to its count. */
export function counter(flags: number) {
  const kernel = hostKernel();
  const { thread } = kernel.process;
  const buf = mapPages(kernel);
  const value = new DataView(kernel.process.bytes(buf, 8).buffer);
  const fd = addon().eventfd(0, flags);
  const add = async (count: bigint) => {
    value.setBigUint64(0, count, true);
    expect(await thread.write(fd, buf, 8)).toBe(8);
  };
  return { thread, fd, add };
}

/** Whether a promise is still pending after some time. */
export async function sleepsOn(call: unknown): Promise<boolean> {
  const pending = Symbol('pending');
  return (await Promise.race([call, new Promise((resolve) => setTimeout(resolve, 30, pending))])) === pending;
}
