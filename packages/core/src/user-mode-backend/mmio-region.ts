import { physicalAddress, virtualAddress } from '../address.ts';
import { checkResult, SystemError } from '../errors.ts';
import type { MmioRegion } from '../mmio.ts';
import { closed, type OpenResources } from '../open-resources.ts';
import {
  MAP_SHARED,
  O_CLOEXEC,
  O_RDWR,
  PAGE_SIZE,
  PROT_READ,
  PROT_WRITE,
  type UserModeKernel,
  type UserProcess,
} from '../user-mode-kernel.ts';
import { mapped } from './user-memory.ts';

const DEV_MEM = '/dev/mem';
const PAGE = BigInt(PAGE_SIZE);
/** Nobody may have physical memory as such, or this process may not: CONFIG_DEVMEM, STRICT_DEVMEM, CAP_SYS_RAWIO. */
const NO_DEV_MEM: ReadonlySet<string> = new Set(['EACCES', 'EPERM', 'ENOENT', 'ENXIO']);

/**
 * Maps a range of physical addresses through /dev/mem (S3).
 * @throws RangeError a length that is no positive integer, an address outside 64 bits
 * @throws SystemError EACCES, EPERM; EINVAL where the kernel refuses the range
 */
export function mapPhysical(
  process: UserProcess,
  address: bigint,
  length: number,
  owner: OpenResources<MmioRegion>,
): MappedRegion {
  const first = physicalAddress(address);
  if (!Number.isSafeInteger(length) || length <= 0) {
    throw new RangeError(`the length of a region is a positive integer, not ${String(length)}`);
  }
  physicalAddress(first + BigInt(length) - 1n);

  const inPage = Number(first % PAGE);
  return mapPath(process, DEV_MEM, { offset: first - BigInt(inPage), inPage, length }, owner);
}

/**
 * Maps a BAR through /dev/mem; where that is not to be had, through the function's own file in sysfs, which takes no more than
 * the right to open it.
 * @param resource sysfs' resourceN of the BAR
 * @throws SystemError as {@link mapPhysical}, or of that file
 */
export function mapBar(
  { process, files }: UserModeKernel,
  resource: string,
  { address, size }: { readonly address: bigint; readonly size: number },
  owner: OpenResources<MmioRegion>,
): MappedRegion {
  try {
    return mapPhysical(process, address, size, owner);
  } catch (error) {
    if (!(error instanceof SystemError && NO_DEV_MEM.has(error.code)) || !files.existsSync(resource)) throw error;
    return mapPath(process, resource, { offset: 0n, inPage: Number(address % PAGE), length: size }, owner);
  }
}

/**
 * Maps registers from a file that it opens and closes again: the mapping keeps what it needs.
 * @throws SystemError of the open(2) or mmap(2)
 */
export function mapPath(
  process: UserProcess,
  path: string,
  range: Omit<MappedRange, 'fd' | 'path'>,
  owner: OpenResources<MmioRegion>,
): MappedRegion {
  const { thread } = process;
  const fd = checkResult(thread.open(path, O_RDWR | O_CLOEXEC), 'open', path);
  try {
    return mapFile(process, { fd, path, ...range }, owner);
  } finally {
    checkResult(thread.close(fd), 'close', path);
  }
}

/** Where registers are in a file. */
export interface MappedRange {
  readonly fd: number;
  /** For errors. */
  readonly path: string;
  /** What mmap(2) is given: a multiple of the page size. */
  readonly offset: bigint;
  /** Where in the first page the registers start. */
  readonly inPage: number;
  /** Bytes of registers. */
  readonly length: number;
}

/**
 * Maps registers from an open file, which may be closed then.
 * @throws SystemError of the mmap(2)
 */
export function mapFile(
  process: UserProcess,
  { fd, path, offset, inPage, length }: MappedRange,
  owner: OpenResources<MmioRegion>,
): MappedRegion {
  const { thread } = process;
  const pages = Math.ceil((inPage + length) / PAGE_SIZE) * PAGE_SIZE;
  const mapping = mapped(thread.mmap(virtualAddress(0n), pages, PROT_READ | PROT_WRITE, MAP_SHARED, fd, offset), path);
  try {
    const registers = process.mmio(virtualAddress(mapping + BigInt(inPage)), length);
    const unmap = () => checkResult(thread.munmap(mapping, pages), 'munmap');
    return owner.add(new MappedRegion(registers, unmap, owner));
  } catch (error) {
    thread.munmap(mapping, pages);
    throw error;
  }
}

/** Mapped registers, until they are closed (EBADF from then on), or their device is given back (ENODEV). */
export class MappedRegion implements MmioRegion {
  readonly length: number;
  #registers: MmioRegion;
  readonly #unmap: () => void;
  readonly #owner: OpenResources<MmioRegion>;

  constructor(registers: MmioRegion, unmap: () => void, owner: OpenResources<MmioRegion>) {
    this.length = registers.length;
    this.#registers = registers;
    this.#unmap = unmap;
    this.#owner = owner;
  }

  read8(offset: number): number {
    return this.#registers.read8(offset);
  }

  read16(offset: number): number {
    return this.#registers.read16(offset);
  }

  read32(offset: number): number {
    return this.#registers.read32(offset);
  }

  read64(offset: number): bigint {
    return this.#registers.read64(offset);
  }

  write8(offset: number, value: number): void {
    this.#registers.write8(offset, value);
  }

  write16(offset: number, value: number): void {
    this.#registers.write16(offset, value);
  }

  write32(offset: number, value: number): void {
    this.#registers.write32(offset, value);
  }

  write64(offset: number, value: bigint): void {
    this.#registers.write64(offset, value);
  }

  close(): void {
    if (this.#registers === CLOSED) return;
    this.#owner.delete(this);
    this.#replace(CLOSED);
  }

  /** The device is given back: nothing of it stays mapped. */
  remove(): void {
    if (this.#registers !== CLOSED) this.#replace(REMOVED);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #replace(registers: MmioRegion): void {
    const before = this.#registers;
    this.#registers = registers;
    if (before === REMOVED) return;
    before.close();
    this.#unmap();
  }
}

/** What stands in for registers that are there no more, so that those that are there are asked nothing besides. */
function refusing(refuse: () => never): MmioRegion {
  const access = { read8: refuse, read16: refuse, read32: refuse, read64: refuse };
  const store = { write8: refuse, write16: refuse, write32: refuse, write64: refuse };
  return { length: 0, ...access, ...store, close: () => undefined, [Symbol.dispose]: () => undefined };
}

const CLOSED = refusing(() => {
  throw closed('mmio');
});

const REMOVED = refusing(() => {
  throw new SystemError('ENODEV', 'mmio', { detail: 'the device was removed' });
});
