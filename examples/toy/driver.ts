import { type DmaSegment, defineDriver, r32, registers, SystemError, w32 } from '@usrdrv/core';

const sumRegisters = registers({
  address: w32(0x00),
  length: w32(0x04),
  control: w32(0x08),
  status: r32(0x0c),
  sum: r32(0x10),
});
const DONE = 2;
const MAX_LENGTH = 0xff_ffff;

/** The driver of the sum device, for `bindDriver`. It adds up one array at a time. */
export const sumDriver = defineDriver({
  name: 'sum',
  match: [{ vendorId: 0x1234, deviceId: 0x5153 }],
  dmaMask: 0xffff_ffffn,

  probe(device) {
    const { address, length, control, status, sum } = sumRegisters.bind(device.bar(0));
    const irq = device.irq();

    async function add(segment: DmaSegment): Promise<number> {
      address.write(Number(segment.busAddress));
      length.write(segment.length);
      try {
        control.write(1);
        if (!(await irq.poll({ timeoutMs: 1000 }))) throw new SystemError('ETIMEDOUT', 'sum');
        irq.tryRead();
        const done = status.read() === DONE;
        const result = sum.read();
        // It has to be done before the sum is read; and after that still be there: all ones are no status.
        if (!done || status.read() !== DONE) throw new SystemError('EIO', 'sum');
        return result;
      } finally {
        control.write(0); // the device is quiet before its memory is given back
      }
    }

    return {
      async sum(bytes: Uint8Array): Promise<number> {
        if (bytes.length > MAX_LENGTH) throw new RangeError(`${bytes.length} bytes are more than ${MAX_LENGTH}`);
        if (bytes.length === 0) return 0;
        using memory = device.dma.allocUser(bytes.length);
        memory.bytes.set(bytes);
        using mapping = device.dma.map(memory, 'to-device');
        let total = 0;
        for (const segment of mapping.segments) total += await add(segment);
        return total;
      },
      stop: () => control.write(0),
    };
  },

  remove: (adder) => adder.stop(),
});
