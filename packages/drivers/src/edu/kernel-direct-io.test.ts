// Direct I/O twice: by DirectIo in this process, and by a driver in the emulated kernel, as S4 has it. They do the same.
import {
  bindDriver,
  DMA_FROM_DEVICE,
  DMA_TO_DEVICE,
  EBUSY,
  EFAULT,
  EINTR,
  EINVAL,
  ENODEV,
  ENOTTY,
  errnoName,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  O_RDWR,
  PAGE_SIZE,
  PROT_READ,
  PROT_WRITE,
  SystemError,
  virtualAddress,
} from '@usrdrv/core';
import { type ChoiceTag, calm, EDU_DIO, EDU_DIO_TRANSFER, EduDevice, emulated, type Oracle } from '@usrdrv/emu';
import '@usrdrv/emu/testing/vitest';
import fc from 'fast-check';
import { afterEach, describe, expect, test } from 'vitest';
import { eduDriver } from './driver.ts';

const SLOT = '0000:00:04.0';
const NODE = `/dev/edu_dio-${SLOT}`;
const MEMORY = 6 * PAGE_SIZE;
/** What the kernel's driver uses of the device's. */
const BUFFER = 4095;

const open: Disposable[] = [];
afterEach(() => {
  for (const one of open.splice(0).reverse()) one[Symbol.dispose]();
});

interface Request {
  readonly write: boolean;
  /** In the memory of the process. */
  readonly offset: number;
  readonly length: number;
  /** In the device's buffer. */
  readonly position: number;
}

function boot(oracle: Oracle) {
  const device = new EduDevice();
  const backend = emulated({ devices: [device], oracle, trace: true });
  open.push(backend);
  return { device, backend, machine: backend.machine };
}

/** By DirectIo: how many bytes, or the error's name. */
async function inThisProcess(oracle: Oracle = calm) {
  const host = boot(oracle);
  const { bound, failed } = await bindDriver(host.backend, eduDriver({ bufferSize: BUFFER }));
  const [binding] = bound;
  if (binding === undefined) throw failed[0]?.error;
  const { directIo } = binding.instance;
  const memory = binding.device.dma.allocUser(MEMORY);
  const transfer = async ({ write, offset, length, position }: Request) => {
    const part = memory.subarray(offset, offset + length);
    try {
      return await directIo[write ? 'write' : 'read'](part, { position, timeoutMs: 500 });
    } catch (error) {
      if (error instanceof SystemError) return error.code;
      throw error;
    }
  };
  return { ...host, bytes: memory.bytes, transfer };
}

/** By the kernel's driver. */
async function inTheKernel(oracle: Oracle = calm) {
  const host = boot(oracle);
  const { kernel } = host.machine;
  const { thread } = kernel.process;
  kernel.bindDriver('edu_dio', SLOT);
  const fd = thread.open(NODE, O_RDWR);
  expect(fd).toBeGreaterThanOrEqual(0);
  const map = (size: number) => {
    const address = thread.mmap(virtualAddress(0n), size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0n);
    if (typeof address === 'number') throw new Error(`mmap: ${errnoName(address)}`);
    return address;
  };
  const memory = map(MEMORY);
  const argp = map(PAGE_SIZE);
  const view = new DataView(kernel.process.bytes(argp, EDU_DIO.length).buffer);
  const ioctl = async ({ write, offset, length, position }: Request, o?: { signal?: AbortSignal }) => {
    view.setBigUint64(EDU_DIO.addr, memory + BigInt(offset), true);
    view.setBigUint64(EDU_DIO.size, BigInt(length), true);
    view.setBigUint64(EDU_DIO.position, BigInt(position), true);
    view.setUint32(EDU_DIO.direction, write ? DMA_TO_DEVICE : DMA_FROM_DEVICE, true);
    view.setUint32(EDU_DIO.timeoutMs, 500, true);
    return thread.ioctl(fd, EDU_DIO_TRANSFER, argp, o);
  };
  const transferred = () => Number(view.getBigUint64(EDU_DIO.transferred, true));
  const transfer = async (request: Request) => {
    const result = await ioctl(request);
    return result === 0 ? transferred() : errnoName(result);
  };
  const bytes = kernel.process.bytes(memory, MEMORY);
  return { ...host, kernel, thread, fd, argp, view, bytes, ioctl, transferred, transfer };
}

interface Way extends ReturnType<typeof boot> {
  /** The memory that is transferred to and from. */
  readonly bytes: Uint8Array;
  transfer(request: Request): Promise<number | string>;
}

/** What went over the bus, and what was mapped for it: in order, with the number of bytes. */
function movements({ machine }: Way): string[] {
  const kinds = ['map', 'unmap', 'dma-read', 'dma-write'];
  return machine.trace.events
    .filter(({ kind, detail }) => kinds.includes(kind) && !detail.includes('consistent'))
    .map(
      ({ kind, detail }) => `${kind} ${/\d+ bytes/.exec(detail)?.[0]}${detail.includes('refused') ? ' refused' : ''}`,
    );
}

/** Bytes as something that is compared in no time. */
function text(bytes: Uint8Array): string {
  return new TextDecoder('latin1').decode(bytes);
}

const request: fc.Arbitrary<Request> = fc
  .record({ write: fc.boolean(), offset: fc.nat(2 * PAGE_SIZE), length: fc.integer({ min: 1, max: 4 * PAGE_SIZE }) })
  .chain((most) => fc.nat(9000).map((position) => ({ ...most, position })));

function fault(tag: ChoiceTag, nth: number): Oracle & { asked: number } {
  return {
    asked: 0,
    asksAtSteps: false,
    choose(_n, asked) {
      return asked === tag && this.asked++ === nth ? 1 : 0;
    },
  };
}

describe('both do the same', () => {
  test('the same bytes, in the same chunks, through the same mappings', { timeout: 120_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(request, { minLength: 1, maxLength: 3 }), async (requests) => {
        const ways: Way[] = [await inThisProcess(), await inTheKernel()];
        const seen = [];
        for (const way of ways) {
          for (let at = 0; at < MEMORY; at++) way.bytes[at] = (at * 7 + (at >> 8)) & 0xff;
          way.device.buffer.forEach((_, at, buffer) => {
            buffer[at] = (at * 11 + 3) & 0xff;
          });
          const results = [];
          for (const each of requests) results.push(await way.transfer(each));
          expect(way.machine).toHaveNoDmaReports();
          seen.push({
            results,
            movements: movements(way),
            bytes: text(way.bytes),
            buffer: text(way.device.buffer),
          });
        }
        expect(seen[1]).toEqual(seen[0]);
        expect(seen[0]?.results).toEqual(requests.map(({ length }) => length));
      }),
      { numRuns: 20 },
    );
  });

  test.each(['device.stall', 'dma.error', 'dma.map', 'interrupt.lost'] as const)(
    'the same errors after %s, and the memory is nobody’s but the process’s',
    { timeout: 120_000 },
    async (tag) => {
      const write: Request = { write: true, offset: 1000, length: 5000, position: 0 };
      for (let nth = 0; ; nth++) {
        const oracles = [fault(tag, nth), fault(tag, nth)] as const;
        const ways: Way[] = [await inThisProcess(oracles[0]), await inTheKernel(oracles[1])];
        const seen = [];
        for (const way of ways) {
          const results = [await way.transfer(write), await way.transfer({ ...write, write: false, position: 100 })];
          way.bytes.fill(0xaa);
          await way.backend.clock.sleep(1000);
          expect(
            way.bytes.every((byte) => byte === 0xaa),
            `${tag} ${nth}`,
          ).toBe(true);
          expect(way.machine).toHaveNoDmaReports();
          expect(way.machine.memory.pinned).toBe(0);
          results.push(await way.transfer(write));
          seen.push({ results, movements: movements(way) });
        }
        expect(seen[1], `${tag} ${nth}`).toEqual(seen[0]);
        if (oracles[0].asked <= nth) break;
      }
    },
  );
});

describe('the driver in the kernel', () => {
  const all: Request = { write: false, offset: 0, length: 3 * PAGE_SIZE, position: 0 };

  test('has the device alone: usr_pci_open is EBUSY, and the node goes with it', async () => {
    const { thread, kernel, fd } = await inTheKernel();
    expect(thread.usrPciOpen(0, 4, 0, 0n)).toBe(-EBUSY);
    expect(kernel.files.readdirSync('/dev')).toContain(`edu_dio-${SLOT}`);
    expect(thread.close(fd)).toBe(0);
  });

  test('a signal ends a transfer: EINTR, the bytes of the chunks before it are told, and the device is stopped', async () => {
    const way = await inTheKernel();
    const abort = new AbortController();
    const pending = way.ioctl(all, { signal: abort.signal });
    await way.backend.clock.sleep(150);
    abort.abort();
    expect(await pending).toBe(-EINTR);
    expect(way.transferred()).toBe(BUFFER);
    way.bytes.fill(0xaa);
    await way.backend.clock.sleep(500);
    expect(way.bytes.every((byte) => byte === 0xaa)).toBe(true);
    expect(await way.transfer(all)).toBe(3 * PAGE_SIZE);
    expect(way.machine).toHaveNoDmaReports();
  });

  test('one transfer at a time: a second call waits for its turn, and a signal takes it out of the queue', async () => {
    const way = await inTheKernel();
    const first = way.ioctl(all);
    const abort = new AbortController();
    const second = way.ioctl(all, { signal: abort.signal });
    await way.backend.clock.sleep(50);
    abort.abort();
    expect(await second).toBe(-EINTR);
    expect(await first).toBe(0);
    expect(movements(way).filter((each) => each.startsWith('map')).length).toBe(4);
  });

  test('pulled out meanwhile it is ENODEV, and everything is given back', async () => {
    const way = await inTheKernel();
    const pending = way.ioctl(all);
    await way.backend.clock.sleep(150);
    way.machine.pci.unplug(SLOT);
    expect(await pending).toBe(-ENODEV);
    expect(way.machine.memory.pinned).toBe(0);
    expect(await way.ioctl(all)).toBe(-ENODEV);
    expect(way.thread.open(NODE, O_RDWR)).toBeLessThan(0);
    way.backend.close();
    expect(way.machine).toHaveNoDmaReports();
    expect(way.machine).toHaveNoKernelWarnings();
    expect(way.machine).toHaveReleasedEverything();
  });

  test('pulled out at any access, nothing but ENODEV comes of it', { timeout: 120_000 }, async () => {
    const ready = fault('device.remove', -1);
    await inTheKernel(ready);
    for (let nth = ready.asked; ; nth++) {
      const oracle = fault('device.remove', nth);
      const way = await inTheKernel(oracle);
      const result = await way.transfer({ ...all, length: 5000 });
      expect(way.machine.memory.pinned).toBe(0);
      expect(way.machine).toHaveNoDmaReports();
      if (oracle.asked <= nth) {
        expect(result).toBe(5000);
        break;
      }
      expect(['ENODEV', 5000], `access ${nth}`).toContain(result);
    }
  });

  test('bad input changes nothing', async () => {
    const { thread, fd, argp, view, ioctl, device } = await inTheKernel();
    expect(await thread.ioctl(fd, EDU_DIO_TRANSFER + 1, argp)).toBe(-ENOTTY);
    expect(await thread.ioctl(fd, EDU_DIO_TRANSFER, virtualAddress(8n))).toBe(-EFAULT);
    expect(await ioctl({ ...all, offset: MEMORY - 100 })).toBe(-EFAULT);
    expect(await ioctl({ ...all, length: 0 })).toBe(0);
    view.setUint32(EDU_DIO.timeoutMs, 0, true);
    expect(await thread.ioctl(fd, EDU_DIO_TRANSFER, argp)).toBe(-EINVAL);
    view.setUint32(EDU_DIO.timeoutMs, 1, true);
    view.setUint32(EDU_DIO.direction, 0, true);
    expect(await thread.ioctl(fd, EDU_DIO_TRANSFER, argp)).toBe(-EINVAL);
    const irq = thread.open('/proc/irq/17/irq', 0);
    expect(await thread.ioctl(irq, EDU_DIO_TRANSFER, argp)).toBe(-ENOTTY);
    expect(await thread.ioctl(99, EDU_DIO_TRANSFER, argp)).toBe(-9);
    expect(device.errors).toEqual([]);
  });
});
