// The same port as it was done in 2005 (S3), by system calls: its registers through /dev/mem, and a loop around select(2)
// over the irq file, with a timeout of 10 ms. Each press toggles LED 0, each pass without one LED 7.
import {
  checkResult,
  type FileView,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  MAP_SHARED,
  O_RDONLY,
  O_RDWR,
  PAGE_SIZE,
  PROT_READ,
  PROT_WRITE,
  type VirtualAddress,
  virtualAddress,
} from '@usrdrv/core';
import { LedDevice } from '@usrdrv/emu';
import { backendArgument, openHost } from './backend/index.ts';

const PRESSES = 3;
const TIMEOUT_MS = 10;
const SIZEOF_INT = 4;
// Registers, a byte each: packages/drivers/src/led/registers.ts.
const [LEDS, PRESSED, INTERRUPT_ENABLE] = [0, 2, 3];
const RW = PROT_READ | PROT_WRITE;
const NULL = virtualAddress(0n);

const { name } = backendArgument();
const device = new LedDevice();
using host = await openHost(name, [device]);
const { kernel } = host;
const { process } = kernel;
const { thread } = process;

const { address, base, irq } = findPort(kernel.files);
const mem = checkResult(thread.open('/dev/mem', O_RDWR), 'open', '/dev/mem');
const page = mapped(thread.mmap(NULL, PAGE_SIZE, RW, MAP_SHARED, mem, base), '/dev/mem');
using port = process.mmio(page, PAGE_SIZE);
const buffer = mapped(thread.mmap(NULL, PAGE_SIZE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0n));
const count = new DataView(process.bytes(buffer, SIZEOF_INT).buffer);
const path = `/proc/irq/${irq}/irq`;
const fd = checkResult(thread.open(path, O_RDONLY), 'open', path);
console.log(`LED port at ${address}: registers at 0x${base.toString(16)}, irq ${irq}, on ${name}`);

if (name === 'emu') void push();
async function push(): Promise<void> {
  for (let press = 0; press < PRESSES; press++) {
    await kernel.clock.sleep(25);
    device.press();
    device.release();
  }
}

port.write8(INTERRUPT_ENABLE, 1);
let [interrupts, passes] = [0, 0];
while (interrupts < PRESSES) {
  const ready = checkResult(await thread.select({ read: new Set([fd]) }, TIMEOUT_MS), 'select');
  if (ready > 0) {
    checkResult(await thread.read(fd, buffer, SIZEOF_INT), 'read');
    interrupts += count.getInt32(0, true);
    port.write8(PRESSED, 1); // acknowledged before the next select, which unmasks the line
    toggle(0);
  } else {
    passes++;
    toggle(7);
  }
}
port.write8(INTERRUPT_ENABLE, 0);
console.log(`${interrupts} interrupts, ${passes} timeouts, LEDs 0b${port.read8(LEDS).toString(2).padStart(8, '0')}`);

checkResult(thread.munmap(page, PAGE_SIZE), 'munmap');
checkResult(thread.close(mem), 'close');
checkResult(thread.close(fd), 'close');

function toggle(led: number): void {
  port.write8(LEDS, port.read8(LEDS) ^ (1 << led));
}

/** Where the port's registers are in physical memory, and which line it interrupts on: sysfs says. */
function findPort(files: FileView): { address: string; base: bigint; irq: number } {
  const text = (address: string, file: string) =>
    new TextDecoder().decode(files.readFileSync(`/sys/bus/pci/devices/${address}/${file}`)).trim();
  for (const address of files.readdirSync('/sys/bus/pci/devices')) {
    if (text(address, 'vendor') !== '0x1234' || text(address, 'device') !== '0x1ed8') continue;
    const [start = ''] = text(address, 'resource').split(' ');
    return { address, base: BigInt(start), irq: Number(text(address, 'irq')) };
  }
  throw new Error(`there is no LED port on ${name}`);
}

/** The result of an mmap(2) that did not fail. */
function mapped(result: VirtualAddress | number, path?: string): VirtualAddress {
  return typeof result === 'number' ? virtualAddress(checkResult(result, 'mmap', path)) : result;
}
