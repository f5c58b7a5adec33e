import { MAPPING_INFO, MREMAP_MAYMOVE, PAGE_SIZE, type VirtualAddress } from '@usrdrv/core';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { NOWHERE, PROFILES, UsrPciMachine } from './usr-pci.fixture.ts';

/** Where a program's pointers point: memory of several kinds, by number, or any 64 bits. */
const pointer = fc.oneof(fc.nat(6), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }));
const fd = fc.oneof(
  { weight: 5, arbitrary: fc.nat(3) },
  { weight: 1, arbitrary: fc.constantFrom(-1, 0.5, Number.NaN, 2 ** 31) },
);
const size = fc.oneof(fc.integer({ min: 0, max: 4 * PAGE_SIZE }), fc.constantFrom(2 ** 31, 0xffff_ffff));
const nents = fc.oneof(
  { weight: 5, arbitrary: fc.integer({ min: 1, max: 8 }) },
  { weight: 1, arbitrary: fc.integer() },
);
const odd = fc.constantFrom(0, 1, 2, 4, -1, 0.5, Number.NaN, 2 ** 32);

const operation = fc.oneof(
  fc.record({
    kind: fc.constant('open' as const),
    slot: fc.constantFrom(4, 5, 6, 36),
    mask: fc.constantFrom(0n, 1n, 0xfff_ffffn, -1n),
  }),
  fc.record({ kind: fc.constant('close' as const), fd }),
  fc.record({
    kind: fc.constant('consistent' as const),
    fd,
    size: fc.constantFrom(PAGE_SIZE, PAGE_SIZE, 0, -1),
    vaddrp: pointer,
    dmaaddrp: pointer,
  }),
  fc.record({
    kind: fc.constant('map' as const),
    fd,
    region: pointer,
    size,
    sglist: pointer,
    nents,
    direction: fc.integer({ min: -1, max: 4 }),
  }),
  fc.record({
    kind: fc.constant('unmap' as const),
    fd,
    name: fc.oneof(fc.nat(8), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })),
  }),
  fc.record({ kind: fc.constant('vectors' as const), fd, min: odd, max: odd, irqs: pointer }),
  fc.record({ kind: fc.constant('munmap' as const), at: fc.nat(6) }),
  fc.record({ kind: fc.constant('mremap' as const), at: fc.nat(12) }),
  fc.record({ kind: fc.constant('fork' as const) }),
);
type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never;

/** Runs programs of calls with arguments good and bad. */
class Program {
  readonly m: UsrPciMachine;
  /** Regions of memory, and addresses that calls have returned. */
  readonly #places: VirtualAddress[] = [];
  readonly #names: bigint[] = [];
  readonly #info: VirtualAddress;

  constructor(profile: (typeof PROFILES)[number]) {
    this.m = new UsrPciMachine(profile);
    this.#info = this.m.memory();
    for (let at = 0; at < 6; at++) this.#places.push(this.m.memory(2, at === 5 ? 1 : 3));
  }

  run(o: Operation): number {
    const { m } = this;
    const { thread } = m;
    if (o.kind === 'open') return thread.usrPciOpen(0, o.slot, 0, o.mask);
    if (o.kind === 'close') return thread.close(o.fd);
    if (o.kind === 'consistent') {
      return thread.usrPciGetConsistent(o.fd, o.size, this.#address(o.vaddrp), this.#address(o.dmaaddrp));
    }
    if (o.kind === 'vectors') return thread.usrPciIrqVectors(o.fd, o.min, o.max, this.#address(o.irqs));
    if (o.kind === 'munmap') return thread.munmap(this.#address(o.at), PAGE_SIZE);
    if (o.kind === 'mremap') {
      return Number(thread.mremap(this.#address(o.at), PAGE_SIZE, 2 * PAGE_SIZE, MREMAP_MAYMOVE));
    }
    if (o.kind === 'fork') {
      const child = thread.fork();
      if (typeof child === 'number') return child;
      child.exitGroup(0);
      return 0;
    }
    if (m.process.dead) return 0;
    const view = m.view(this.#info, MAPPING_INFO.length);
    if (o.kind === 'unmap') {
      const name = typeof o.name === 'bigint' ? o.name : (this.#names[o.name] ?? 0n);
      view.setBigUint64(MAPPING_INFO.dmaaddr, name, true);
      return thread.usrPciMunmap(o.fd, this.#info);
    }
    view.setBigUint64(MAPPING_INFO.virtaddr, this.#address(o.region), true);
    view.setUint32(MAPPING_INFO.size, o.size, true);
    view.setBigUint64(MAPPING_INFO.sglist, this.#address(o.sglist), true);
    view.setInt32(MAPPING_INFO.nents, o.nents, true);
    view.setInt32(MAPPING_INFO.direction, o.direction, true);
    const result = thread.usrPciMmap(o.fd, this.#info);
    if (result === 0) this.#names.push(view.getBigUint64(MAPPING_INFO.dmaaddr, true));
    return result;
  }

  #address(pointer: number | bigint): VirtualAddress {
    if (typeof pointer === 'bigint') return pointer as VirtualAddress;
    return this.#places[pointer] ?? NOWHERE;
  }
}

test.each(PROFILES)('random programs of calls get numbers, and never break the kernel of %s', (profile) => {
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 40 }), (operations) => {
      const program = new Program(profile);
      const { memory } = program.m.machine;
      for (const each of operations) expect(Number.isInteger(program.run(each))).toBe(true);
      program.m.thread.exitGroup(0);
      if (profile === 'chubb-2.6.11') return;
      expect([memory.pinned, memory.usedFrames]).toEqual([0, 0]);
      const other = program.m.machine.kernel.spawn();
      for (const slot of [4, 5]) expect(other.thread.usrPciOpen(0, slot, 0, 0n)).toBeGreaterThanOrEqual(0);
    }),
    { numRuns: 300 },
  );
});
