import { PCI_COMMAND_IO } from '@usrdrv/core';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { EduDevice } from '../devices/edu.ts';
import { ConfigRegisters } from './pci-config.ts';

/** Any access that the registers take. */
const access = fc.tuple(fc.constantFrom(1, 2, 4), fc.nat(255), fc.nat(0xffff_ffff)).map(([width, at, value]) => ({
  width: width as 1 | 2 | 4,
  offset: at - (at % width),
  value: value % 2 ** (8 * width),
}));

/** The bits of edu that software can set, as QEMU 7.2 shows them; the data register of MSI is 16 bits wide (6.8.1). */
const writable: Readonly<Record<number, number>> = {
  4: 0x06,
  5: 0x05,
  12: 0xff,
  18: 0xf0,
  19: 0xff,
  60: 0xff,
  66: 0x01,
  68: 0xfc,
  ...Object.fromEntries([69, 70, 71, 72, 73, 74, 75, 76, 77].map((offset) => [offset, 0xff])),
};

test('any writes change what can be written, byte by byte, and nothing else', () => {
  fc.assert(
    fc.property(fc.array(access, { maxLength: 100 }), (writes) => {
      const config = new ConfigRegisters(new EduDevice());
      const expected = Array.from({ length: 256 }, (_, offset) => config.read(offset, 1));
      for (const { width, offset, value } of writes) {
        config.write(offset, value, width);
        for (let byte = 0; byte < width; byte++) {
          const mask = writable[offset + byte] ?? 0;
          const written = Math.floor(value / 2 ** (8 * byte)) & 0xff;
          expected[offset + byte] = ((expected[offset + byte] ?? 0) & ~mask) | (written & mask);
        }
      }
      expect(expected.map((_, offset) => config.read(offset, 1))).toEqual(expected);
    }),
  );
});

test('reads of 8, 16 and 32 bits agree', () => {
  fc.assert(
    fc.property(access, access, (write, { width, offset }) => {
      const config = new ConfigRegisters(new EduDevice());
      config.write(write.offset, write.value, write.width);
      const bytes = Array.from({ length: width }, (_, byte) => config.read(offset + byte, 1) * 2 ** (8 * byte));
      expect(config.read(offset, width)).toBe(bytes.reduce((sum, byte) => sum + byte));
    }),
  );
});

test('there are no I/O ports to decode', () => {
  const config = new ConfigRegisters(new EduDevice());
  config.write(4, PCI_COMMAND_IO, 2);
  expect(config.command).toBe(0);
});
