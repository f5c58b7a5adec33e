// A file through edu and back by direct I/O, and the SHA-256 of what was sent and of what came back: the device fetches the
// bytes from memory of this program and puts them there again, and no processor copies them.
//
//   npx tsx examples/checksum.ts [--backend emu|usrdrv|vfio|uio] [FILE]
//
// UIO has no DMA, and says so.
import { createHash } from 'node:crypto';
import { closeSync, openSync, readSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { bindDriver } from '@usrdrv/core';
import { BUFFER_SIZE, eduDriver } from '@usrdrv/drivers/edu';
import { EduDevice } from '@usrdrv/emu';
import { backendArgument, openHost } from './backend/index.ts';

const { name, positionals } = backendArgument();
const [file = fileURLToPath(new URL('../LICENSE', import.meta.url))] = positionals;
using host = await openHost(name, [new EduDevice()]);
// QEMU before 9.1 ends when edu's DMA touches the last byte of the buffer; a device cannot be asked whether it is that one.
const block = name === 'emu' ? BUFFER_SIZE : BUFFER_SIZE - 1;
using bindings = await bindDriver(host.backend, eduDriver({ bufferSize: block }));
const [binding] = bindings.bound;
if (binding === undefined) throw bindings.failed[0]?.error ?? new Error(`there is no edu device on ${name}`);
const { directIo } = binding.instance;
const { dma } = binding.device;

using out = dma.allocUser(block);
using back = dma.allocUser(block);
const [sent, received] = [createHash('sha256'), createHash('sha256')];
let bytes = 0;
const fd = openSync(file, 'r');
try {
  for (;;) {
    const length = readSync(fd, out.bytes, 0, block, null);
    if (length === 0) break;
    await directIo.write(out.subarray(0, length));
    await directIo.read(back.subarray(0, length));
    sent.update(out.bytes.subarray(0, length));
    received.update(back.bytes.subarray(0, length));
    bytes += length;
  }
} finally {
  closeSync(fd);
}

const [before, after] = [sent.digest('hex'), received.digest('hex')];
console.log(`${file}: ${bytes} bytes through edu at ${binding.function.address}, on ${name}`);
console.log(`sent      ${before}`);
console.log(`received  ${after}`);
console.log(before === after ? 'the same' : 'not the same');
if (before !== after) process.exitCode = 1;
