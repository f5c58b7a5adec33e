import type { Case } from '../case.ts';
import { EDU_DMA_SOURCE, EDU_FACTORIAL, EDU_ID, EDU_INTERRUPT_STATUS, EDU_LIVENESS } from '../edu-registers.ts';
import { WRONG_NUMBERS } from '../wrong.ts';
import { openEdu } from './driver-pci.ts';

/** MmioRegion, Backend and Clock. */
export const driverMmioCases: readonly Case[] = [
  {
    id: 'MmioRegion',
    level: 'driver',
    title: 'a write reaches the device, a read asks it',
    needs: ['edu'],
    run(t) {
      const edu = openEdu(t).bar(0);
      t.equal(edu.length, 0x10_0000, 'length');
      t.equal(edu.read32(EDU_ID), 0x0100_00ed, 'the identification');
      for (const value of [0, 1, 0x1234_5678, 0xffff_ffff]) {
        edu.write32(EDU_LIVENESS, value);
        t.equal(edu.read32(EDU_LIVENESS), ~value >>> 0, `the inverse of ${value}, unsigned`);
      }
    },
  },
  {
    id: 'MmioRegion',
    level: 'driver',
    title: '64 bits are one access',
    needs: ['edu'],
    run(t) {
      const edu = openEdu(t).bar(0);
      edu.write64(EDU_DMA_SOURCE, 0x89ab_cdef_0123_4567n);
      t.equal(edu.read64(EDU_DMA_SOURCE), 0x89ab_cdef_0123_4567n, 'the DMA source');
    },
  },
  {
    id: 'MmioRegion',
    level: 'driver',
    title: 'offsets that are misaligned or run past the end are RangeErrors',
    needs: ['edu'],
    run(t) {
      const edu = openEdu(t).bar(0);
      for (const offset of [...WRONG_NUMBERS, edu.length]) {
        const at = offset as number;
        t.throws('RangeError', `read8 at ${String(offset)}`, () => edu.read8(at));
        t.throws('RangeError', `read16 at ${String(offset)}`, () => edu.read16(at));
        t.throws('RangeError', `read32 at ${String(offset)}`, () => edu.read32(at));
        t.throws('RangeError', `read64 at ${String(offset)}`, () => edu.read64(at));
        t.throws('RangeError', `write32 at ${String(offset)}`, () => edu.write32(at, 0));
        t.throws('RangeError', `write64 at ${String(offset)}`, () => edu.write64(at, 0n));
      }
      for (const offset of [1, 2, 3, edu.length - 2]) {
        t.throws('RangeError', `read32 at ${offset}`, () => edu.read32(offset));
        t.throws('RangeError', `write32 at ${offset}`, () => edu.write32(offset, 0));
      }
      t.throws('RangeError', 'read16 at 1', () => edu.read16(1));
      t.throws('RangeError', 'read64 at 4', () => edu.read64(4));
    },
  },
  {
    id: 'MmioRegion',
    level: 'driver',
    title: 'values that do not fit are RangeErrors, and nothing reaches the device',
    needs: ['edu'],
    run(t) {
      const edu = openEdu(t).bar(0);
      edu.write32(EDU_LIVENESS, 0x55);
      for (const value of [...WRONG_NUMBERS, 0x1_0000_0000]) {
        t.throws('RangeError', `write32 of ${String(value)}`, () => edu.write32(EDU_LIVENESS, value as number));
      }
      t.throws('RangeError', 'write8 of 256', () => edu.write8(EDU_LIVENESS, 0x100));
      t.throws('RangeError', 'write16 of 65536', () => edu.write16(EDU_LIVENESS, 0x1_0000));
      for (const value of [-1n, 1n << 64n, 1, '1', null]) {
        t.throws('RangeError', `write64 of ${String(value)}`, () => edu.write64(EDU_DMA_SOURCE, value as bigint));
      }
      t.equal(edu.read32(EDU_LIVENESS), ~0x55 >>> 0, 'the register afterwards');
    },
  },
  {
    id: 'MmioRegion',
    level: 'driver',
    title: 'after close every access is EBADF, and closing again does nothing',
    needs: ['edu'],
    run(t) {
      const edu = openEdu(t).bar(0);
      edu.close();
      edu.close();
      edu[Symbol.dispose]();
      t.throws('EBADF', 'read32', () => edu.read32(EDU_ID));
      t.throws('EBADF', 'write32', () => edu.write32(EDU_LIVENESS, 0));
      t.throws('EBADF', 'read64', () => edu.read64(EDU_DMA_SOURCE));
    },
  },
  {
    id: 'MmioRegion',
    level: 'driver',
    title: 'a device that is pulled out reads as all ones, or is ENODEV',
    needs: ['edu', 'unplug', 'master-abort'],
    async run(t) {
      const edu = openEdu(t).bar(0);
      await t.bench.unplug?.(t.edu.address);
      let value: number | string;
      try {
        value = edu.read32(EDU_ID);
      } catch (error) {
        t.throws('ENODEV', 'read32', () => {
          throw error;
        });
        return;
      }
      t.equal(value, 0xffff_ffff, 'read32');
    },
  },
  {
    id: 'Backend',
    level: 'driver',
    title: 'mapPhysical gives the same registers, from any address and length',
    needs: ['edu'],
    run(t) {
      openEdu(t);
      const odd = t.backend.mapPhysical(t.edu.bar0 + BigInt(EDU_LIVENESS), 8);
      t.equal(odd.length, 8, 'length');
      odd.write32(0, 0xf0f0_f0f0);
      t.equal(t.backend.mapPhysical(t.edu.bar0, 0x100).read32(EDU_LIVENESS), 0x0f0f_0f0f, 'the same register');
      t.throws('RangeError', 'past the end', () => odd.read32(8));
      t.equal(odd.read32(EDU_FACTORIAL - EDU_LIVENESS), 0, 'its neighbour');
    },
  },
  {
    id: 'Backend',
    level: 'driver',
    title: 'mapPhysical refuses what is no range',
    needs: ['edu'],
    run(t) {
      for (const length of [0, ...WRONG_NUMBERS]) {
        t.throws('RangeError', `length ${String(length)}`, () => t.backend.mapPhysical(t.edu.bar0, length as number));
      }
      for (const address of [-1n, 1n << 64n, (1n << 64n) - 1n]) {
        t.throws('RangeError', `address ${address}`, () => t.backend.mapPhysical(address, 2));
      }
    },
  },
  {
    id: 'Backend',
    level: 'driver',
    title: 'without privileges mapPhysical and openIrq are refused',
    needs: ['edu', 'credentials'],
    run(t) {
      t.result(t.thread.setuid(1000), 0, 'setuid');
      t.throws('EACCES', 'openIrq', () => t.backend.openIrq(t.edu.irq));
      t.throws('EACCES', 'mapPhysical', () => t.backend.mapPhysical(t.edu.bar0, 4096));
    },
  },
  {
    id: 'Backend',
    level: 'driver',
    title: 'closing closes everything that was opened through it, once, and every call is EBADF after it',
    needs: ['edu'],
    async run(t) {
      const { backend } = t;
      const device = openEdu(t);
      const [edu, irq] = [device.bar(0), t.irqOf(device)];
      const physical = backend.mapPhysical(t.edu.bar0, 4096);
      const read = irq.read();
      await t.sleeps(read, 'read');
      backend.close();
      backend.close();
      backend[Symbol.dispose]();
      await t.rejects('EBADF', 'the read that slept', () => read);
      t.throws('EBADF', 'a register', () => edu.read32(EDU_INTERRUPT_STATUS));
      t.throws('EBADF', 'a mapped register', () => physical.read32(0));
      t.throws('EBADF', 'configuration space', () => device.config.read16(0));
      t.throws('EBADF', 'open', () => openEdu(t));
      t.throws('EBADF', 'scan', () => [...backend.pci.scan()]);
      t.throws('EBADF', 'openIrq', () => backend.openIrq(t.edu.irq));
      t.throws('EBADF', 'mapPhysical', () => backend.mapPhysical(t.edu.bar0, 4));
    },
  },
  {
    id: 'Clock',
    level: 'driver',
    title: 'time passes while one sleeps, and never goes back',
    async run(t) {
      const { clock } = t.backend;
      let last = clock.now();
      for (const ms of [0, 1, 10, 1.5]) {
        await clock.sleep(ms);
        const now = clock.now();
        t.ok(now - last >= BigInt(Math.floor(ms * 1e6)), `${ms} ms have passed`);
        last = now;
      }
    },
  },
  {
    id: 'Clock',
    level: 'driver',
    title: 'sleep refuses what is no time, and a signal calls it off',
    async run(t) {
      const { clock } = t.backend;
      for (const ms of [-1, Number.NaN, Number.POSITIVE_INFINITY, '1', null]) {
        await t.rejects('RangeError', `sleep ${String(ms)}`, () => clock.sleep(ms as number));
      }
      const abort = new AbortController();
      const sleep = clock.sleep(60_000, { signal: abort.signal });
      await t.sleeps(sleep, 'sleep');
      abort.abort(new TypeError('enough'));
      await t.rejects('TypeError', 'the sleep', () => sleep);
    },
  },
];
