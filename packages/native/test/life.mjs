// A program that ends, one way or the other, in the middle of something: `node life.mjs STAGE END`; or in workers of which
// each does: `node life.mjs in-workers STAGE`. Run by lifetime.test.ts.
import { readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

const PAGE = 4096;
const [RW, ANONYMOUS] = [3, 0x22];
const O_RDWR = 2;
const EINTR = 4;
const nobody = () => undefined;

const native = createRequire(import.meta.url)('node-gyp-build')(fileURLToPath(new URL('..', import.meta.url)));

/** What is under way when the thread ends. Each keeps going on, or not, as it would in a program. */
const stages = {
  loaded() {},
  open() {
    native.open('/dev/null', O_RDWR);
    native.epollCreate1(0);
  },
  mapped() {
    map(4);
  },
  bytes() {
    globalThis.kept = native.bytes(map(4), 4 * PAGE);
    globalThis.kept[0] = 1;
  },
  'unmapped bytes'() {
    const address = map(4);
    globalThis.kept = native.bytes(address, 4 * PAGE);
    native.munmap(address + BigInt(PAGE), PAGE);
  },
  mmio() {
    native.write32(native.openMmio(map(1), PAGE), 0, 1);
  },
  polled() {
    const fd = native.eventfd(0, 0);
    native.interrupt(native.poll(new Int32Array([fd, 1, 0]), -1, nobody));
    native.poll(new Int32Array([fd, 1, 0]), 5, nobody);
  },
  polling() {
    const fd = native.eventfd(0, 0);
    native.poll(new Int32Array([fd, 1, 0]), -1, nobody);
    native.poll(new Int32Array([fd, 1, 0]), 60_000, nobody);
    native.close(fd);
  },
  'asleep for one call alone'() {
    native.sleepBy((done) => done(native.sleep()));
    native.waitForCount(native.eventfd(0, 0), 8, nobody);
  },
  'epoll waiting'() {
    const [fd, set] = [native.eventfd(0, 0), native.epollCreate1(0)];
    native.epollCtl(set, 1, fd, 1, 0);
    native.epollWait(set, new Float64Array(8), -1, nobody);
  },
  reading() {
    const fd = native.eventfd(0, 0);
    const address = map(1);
    for (let each = 0; each < 8; each++) native.read(fd, address, 8, nobody);
    native.munmap(address, PAGE);
    native.close(fd);
  },
  'interrupted reading'() {
    const fd = native.eventfd(0, 0);
    native.interrupt(native.read(fd, map(1), 8, nobody));
  },
  writing() {
    const fd = native.eventfd(1, 0);
    const address = map(1);
    native.bytes(address, 8).fill(0xff)[0] = 0xfe;
    for (let each = 0; each < 8; each++) native.write(fd, address, 8, nobody);
    native.close(fd);
  },
  'interrupted writing'() {
    const fd = native.eventfd(1, 0);
    const address = map(1);
    native.bytes(address, 8).fill(0xff)[0] = 0xfe;
    native.interrupt(native.write(fd, address, 8, nobody));
  },
  'reading in this thread'() {
    const fd = native.open('/dev/ptmx', O_RDWR);
    native.watchdog(true);
    announce();
    while (native.readCount(fd) === -EINTR);
  },
  'wake-ups on their way'() {
    const [fd, address] = [native.eventfd(1, 0), map(1)];
    native.bytes(address, 8)[0] = 1;
    const other = native.eventfd(0, 0);
    native.poll(new Int32Array([other, 1, 0]), -1, nobody);
    native.read(other, address, 8, nobody);
    native.write(other, address, 8, nobody);
    native.read(fd, address, 8, nobody);
  },
};

/** How the thread ends. `process.exit` in a worker ends the worker. */
const ends = {
  'by itself'() {},
  'process.exit'() {
    process.exit(0);
  },
  'an uncaught exception'() {
    process.once('uncaughtExceptionMonitor', nobody);
    throw new Error('on purpose');
  },
  'from outside'() {
    announce();
    setInterval(nobody, 1000);
  },
};

function map(pages) {
  return native.mmap(0n, pages * PAGE, RW, ANONYMOUS, -1, 0n);
}

function announce() {
  if (isMainThread) process.send?.('ready');
  else parentPort.postMessage('ready');
}

if (!isMainThread) run(workerData.stage, workerData.end);
else if (process.argv[2] === 'stages') process.send(Object.keys(stages));
else if (process.argv[2] === 'in-workers') await inWorkers(process.argv[3]);
else run(process.argv[2], process.argv[3]);

function run(stage, end) {
  stages[stage]();
  ends[end]();
}

/** Two workers at a time, so that one goes on when the other ends; then this thread looks at what they left behind. */
async function inWorkers(stage) {
  await inWorker('loaded', 'process.exit');
  const before = left();
  for (const end of Object.keys(ends)) {
    // A thread that waits does not end by itself.
    if (end !== 'by itself') await Promise.all([inWorker(stage, end), inWorker(stage, end)]);
  }
  const after = left();
  for (const what of Object.keys(before)) {
    if (after[what] > before[what]) throw new Error(`${after[what] - before[what]} ${what} were left`);
  }
}

function inWorker(stage, end) {
  const worker = new Worker(new URL(import.meta.url), { workerData: { stage, end } });
  return new Promise((resolve) => {
    worker.on('message', () => worker.terminate());
    worker.on('error', nobody);
    worker.on('exit', resolve);
  });
}

function left() {
  return { descriptors: readdirSync('/proc/self/fd').length, threads: readdirSync('/proc/self/task').length };
}
