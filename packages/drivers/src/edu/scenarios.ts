import { type Binding, bindDriver, type Driver, SystemError, type UserMemory } from '@usrdrv/core';
import { type Course, EduDevice, type EmulatedBackend, heldBy, type PowerOn, type Scenario } from '@usrdrv/emu';
import { type Edu, type EduOptions, eduDriver } from './driver.ts';
import { BUFFER_SIZE } from './registers.ts';

/**
 * Programs that use a driver of edu, for `exploreScenario`: whatever goes wrong, each operation does what it promises or
 * rejects with a documented error; when nothing goes wrong any more, the driver works; and nothing stays behind.
 * @param driver the one to explore, which has what {@link Edu} has. Left out: {@link eduDriver}
 *
 * @example
 * ```ts
 * import { eduScenarios } from '@usrdrv/drivers/edu/scenarios';
 * import { exploreScenario } from '@usrdrv/emu';
 * for (const scenario of eduScenarios().filter(({ name }) => name === 'edu-factorial')) {
 *   const { covered, failures } = await exploreScenario(scenario);
 *   console.log(covered, failures); // exhaustive within 1 deviation: 82 schedules []
 * }
 * ```
 */
export function eduScenarios(driver: (o?: EduOptions) => Driver<Edu> = eduDriver): readonly Scenario[] {
  const intx = driver();
  const msi = driver({ msi: true });
  const only = { kernel: 'usrdrv-6.1', because: 'the calls of 2005 have no MSI' } as const;
  return [
    {
      name: 'edu-factorial',
      about: 'one edu computes a factorial',
      run: hostileThenCalm(intx, 1, used(factorial)),
    },
    {
      name: 'edu-dma',
      about: 'one edu copies both ways, through consistent and through user memory',
      run: hostileThenCalm(intx, 1, used(copies)),
    },
    {
      name: 'edu-bad-input',
      about: 'what does not fit the device is refused before it reaches it',
      run: hostileThenCalm(intx, 1, used(badInput)),
    },
    {
      name: 'edu-dma-msi',
      about: 'the same, with MSI instead of the INTx line',
      only,
      run: hostileThenCalm(msi, 1, used(copies)),
    },
    {
      name: 'edu-two',
      about: 'two drivers on one machine, at work at the same time',
      run: hostileThenCalm(intx, 2, used(consistent)),
    },
    {
      name: 'edu-unplug-reading',
      about: 'the device is pulled out while the driver waits for its interrupt',
      run: hostileThenCalm(intx, 1, unplugged(factorial)),
    },
    {
      name: 'edu-unplug-transfer',
      about: 'the device is pulled out while a transfer runs',
      run: hostileThenCalm(intx, 1, unplugged(stream)),
    },
    {
      name: 'edu-abort',
      about: 'a transfer is called off at any moment; from then on its memory is the caller’s',
      run: hostileThenCalm(intx, 1, calledOff),
    },
    {
      name: 'edu-remove',
      about: 'the driver is removed at any moment, with operations pending and queued, and bound again',
      run: hostileThenCalm(intx, 1, removed),
    },
    {
      name: 'edu-remove-msi',
      about: 'the same, with MSI instead of the INTx line',
      only,
      run: hostileThenCalm(msi, 1, removed),
    },
  ];
}

/** One device, while things go wrong. */
interface Stage {
  readonly backend: EmulatedBackend;
  readonly device: EduDevice;
  readonly binding: Binding<Edu>;
  /** Two pages. */
  readonly memory: UserMemory;
  readonly course: Course;
  /** Removes the driver. */
  unbind(): void;
}

type Hostile = (stage: Stage) => Promise<void>;

/**
 * A run of two phases. In the first, things go wrong: each device is bound and used, which may fail with a documented
 * error. In the second, nothing does: a device that is still there works without being bound anew, unless it never was;
 * one that was pulled out works when it has been plugged in and bound again. Then all is given back.
 */
function hostileThenCalm(driver: Driver<Edu>, count: number, hostile: Hostile): Scenario['run'] {
  return async (powerOn: PowerOn, course: Course) => {
    const backend = powerOn({ devices: Array.from({ length: count }, () => new EduDevice()) });
    const { pci } = backend.machine;
    const devices = new Map(pci.functions().map(({ address, model }) => [`${address}`, model as EduDevice]));
    const before = heldBy(backend.machine);
    const { bound, failed } = await bindDriver(backend, driver);
    for (const { error } of failed) documented(error, ['EINVAL', 'ENOENT', 'ENOSPC']);
    const unbound = new Set<Binding<Edu>>();
    const outcomes = bound.map(async (binding) => {
      const device = devices.get(`${binding.device.address}`);
      if (device === undefined) throw new Error(`nobody plugged in ${binding.device.address}`);
      const unbind = () => {
        unbound.add(binding);
        binding.remove();
      };
      using memory = binding.device.dma.allocUser(2 * BUFFER_SIZE);
      await hostile({ backend, device, binding, memory, course, unbind });
    });
    for (const each of await Promise.allSettled(outcomes)) if (each.status === 'rejected') documented(each.reason);

    course.calm();
    const kept = bound.filter((each) => !unbound.has(each) && pci.function(each.device.address) !== undefined);
    for (const binding of bound) if (!kept.includes(binding)) binding.remove();
    for (const [address, device] of devices) if (pci.function(address) === undefined) pci.plug(device, { address });
    const anew = await bindDriver(backend, driver);
    const all = [...kept, ...anew.bound];
    if (all.length < count) throw anew.failed[0]?.error ?? new Error('a device that is there is not bound');
    for (const { instance, device } of all) {
      using memory = device.dma.allocUser(2 * BUFFER_SIZE);
      await copies(instance, memory);
      await factorial(instance, memory);
    }

    for (const binding of all) binding.remove();
    const held = heldBy(backend.machine).filter((each) => !before.includes(each));
    if (held.length > 0) throw new Error(`after remove() the driver still holds ${held.join(', ')}`);
    const errors = [...devices.values()].flatMap((device) => device.errors);
    if (errors.length > 0) throw new Error(errors.join(', '));
  };
}

/** @throws what is no error that an operation may reject with: see {@link Edu} */
function documented(error: unknown, besides: readonly string[] = []): void {
  const codes = ['ETIMEDOUT', 'ENODEV', 'EIO', 'ENOMEM', ...besides];
  if (!(error instanceof SystemError) || !codes.includes(error.code)) throw error;
}

type Use = (edu: Edu, memory: UserMemory) => Promise<void>;

function used(use: Use): Hostile {
  return ({ binding, memory }) => use(binding.instance, memory);
}

function unplugged(use: Use): Hostile {
  return async ({ backend, binding, memory, course }) => {
    const { pci } = backend.machine;
    const { address } = binding.device;
    course.meanwhile('unplug', () => void (pci.function(address) && pci.unplug(address)));
    const outcome: unknown = await use(binding.instance, memory).catch((error: unknown) => error);
    if (outcome !== undefined) documented(outcome);
    if (pci.function(address) !== undefined) return;
    const late: unknown = await binding.instance.factorial(3).catch((error: unknown) => error);
    if (!(late instanceof SystemError) || late.code !== 'ENODEV')
      throw new Error(`without a device all is ENODEV, not ${late}`);
  };
}

const factorial: Use = async (edu) => {
  const result = await edu.factorial(5);
  if (result !== 120) throw new Error(`5! is 120, not ${result}`);
};

const BLOCK = Uint8Array.from({ length: 300 }, (_, at) => 1 + (at % 250));

const consistent: Use = async (edu) => {
  await edu.write(8, BLOCK);
  same(await edu.read(8, BLOCK.length), BLOCK);
};

/** The memory lies across two pages: it takes two transfers each way. */
const stream: Use = async (edu, memory) => {
  const part = memory.subarray(BUFFER_SIZE - 100, BUFFER_SIZE + 200);
  part.bytes.set(BLOCK);
  await edu.copyToDevice(0, part);
  part.bytes.fill(0);
  await edu.copyFromDevice(0, part);
  same(part.bytes, BLOCK);
};

const copies: Use = async (edu, memory) => {
  await consistent(edu, memory);
  await stream(edu, memory);
};

function same(actual: Uint8Array, expected: Uint8Array): void {
  const at = expected.findIndex((byte, nth) => actual[nth] !== byte);
  if (at >= 0) throw new Error(`byte ${at} is ${actual[at]}, not ${expected[at]}`);
}

const badInput: Use = async (edu, memory) => {
  const refused = [
    () => edu.read(1, BUFFER_SIZE),
    () => edu.write(BUFFER_SIZE - 10, BLOCK),
    () => edu.copyToDevice(1, memory.subarray(0, BUFFER_SIZE)),
    () => edu.copyFromDevice(-1, memory.subarray(0, 1)),
    () => edu.factorial(13),
  ];
  for (const each of refused) {
    const outcome: unknown = await each().catch((error: unknown) => error);
    if (!(outcome instanceof RangeError)) throw new Error(`${each} is a RangeError, not ${outcome}`);
  }
};

const CALLED_OFF = 'called off';

const calledOff: Hostile = async ({ binding, memory, course, backend }) => {
  const controller = new AbortController();
  let calledOffAt: bigint | undefined;
  course.meanwhile('abort', () => {
    calledOffAt = backend.clock.now();
    controller.abort(CALLED_OFF);
  });
  const page = memory.subarray(0, BUFFER_SIZE);
  const copy = binding.instance.copyFromDevice(0, page, { signal: controller.signal });
  const outcome: unknown = await copy.catch((error: unknown) => error);
  if (outcome !== undefined && outcome !== CALLED_OFF) documented(outcome);
  const took = calledOffAt === undefined ? 0n : backend.clock.now() - calledOffAt;
  // A transfer takes 100 ms.
  if (took > 50_000_000n) throw new Error(`it went on for ${took} ns after it had been called off`);
  await isMine(page, backend);
};

const removed: Hostile = async ({ binding, memory, course, backend, unbind }) => {
  const { instance: edu } = binding;
  const page = memory.subarray(0, BUFFER_SIZE);
  course.meanwhile('remove()', unbind);
  const operations = [edu.copyFromDevice(0, page), edu.factorial(3), edu.copyToDevice(0, page)];
  for (const each of await Promise.allSettled(operations)) {
    if (each.status === 'rejected') documented(each.reason, ['ECANCELED']);
  }
  unbind();
  const held = heldBy(backend.machine).filter((each) => !each.startsWith('2 page frames'));
  if (held.length > 0) throw new Error(`after remove() the driver still holds ${held.join(', ')}`);
  await isMine(page, backend);
  const late: unknown = await edu.factorial(3).catch((error: unknown) => error);
  if (!(late instanceof SystemError) || late.code !== 'EBADF')
    throw new Error(`after remove() everything is EBADF, not ${late}`);
};

/** Memory that an operation has given back is not touched any more by a device that goes on. */
async function isMine({ bytes }: UserMemory, { clock }: EmulatedBackend): Promise<void> {
  bytes.fill(0xaa);
  // A transfer takes 100 ms: by now it would have been over.
  await clock.sleep(150);
  if (bytes.some((byte) => byte !== 0xaa)) throw new Error('the device wrote to memory that had been given back');
}
