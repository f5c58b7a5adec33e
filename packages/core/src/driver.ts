import type { Backend, Clock, Supports } from './backend.ts';
import { closeEach } from './open-resources.ts';
import type { PciDevice, PciFunction } from './pci.ts';

/** A line of a driver's table (struct pci_device_id): what is left out matches anything. */
export interface PciMatch {
  readonly vendorId?: number;
  readonly deviceId?: number;
  /** Compared where `classMask` has ones: 24 bits of base class, sub-class and programming interface. */
  readonly classCode?: number;
  /** 0xffffff where left out. */
  readonly classMask?: number;
}

/** What a driver is told besides its device. */
export interface ProbeContext {
  /** The function as it was found. */
  readonly function: PciFunction;
  /** The time that the device lives in. */
  readonly clock: Clock;
  /** What the backend can do: whether there is MSI, say. */
  readonly supports: Supports;
}

/** A driver, with what the kernel's struct pci_driver has: a name, a table, probe and remove. */
export interface Driver<T> {
  readonly name: string;
  /** A function that one of these matches is the driver's. */
  readonly match: readonly PciMatch[];
  /** The addresses that the device can reach, as a mask: 0xfff_ffffn for 28 bits. */
  readonly dmaMask: bigint;
  /**
   * Takes a device into service. The device has been opened with `dmaMask`; where this fails it is closed again.
   * @returns what applications use the device through
   */
  probe(device: PciDevice, context: ProbeContext): T | Promise<T>;
  /** Takes it out of service: stops the device and gives back what probe took. The device is closed afterwards. */
  remove?(instance: T): void;
}

/** A device with its driver. Disposing of it removes the driver. */
export interface Binding<T> extends Disposable {
  readonly driver: Driver<T>;
  readonly function: PciFunction;
  readonly device: PciDevice;
  readonly instance: T;
  /** Calls the driver's remove, then closes the device, also where remove throws. Again does nothing. */
  remove(): void;
}

/** A function that matched, and what opening or probing it threw. */
export interface BindFailure {
  readonly function: PciFunction;
  readonly error: unknown;
}

/** What became of the functions that a driver matches. Disposing of it removes the driver from all. */
export interface Bindings<T> extends Disposable {
  /** By ascending address. */
  readonly bound: readonly Binding<T>[];
  /** Functions that another driver or process has (EBUSY) are among them. */
  readonly failed: readonly BindFailure[];
  /** Removes the driver from all its devices, the last bound first, also where one throws. Again does nothing. */
  remove(): void;
}

/**
 * Defines a driver; its checks are those of the compiler and these:
 * @throws RangeError a table without lines, an id or class that does not fit its bits, a mask of more than 64 bits
 */
export function defineDriver<T>(driver: Driver<T>): Driver<T> {
  const { name, match, dmaMask } = driver;
  if (match.length === 0) throw new RangeError(`driver ${name} matches nothing`);
  for (const line of match) {
    checkBits(name, 'vendorId', line.vendorId, 16);
    checkBits(name, 'deviceId', line.deviceId, 16);
    checkBits(name, 'classCode', line.classCode, 24);
    checkBits(name, 'classMask', line.classMask, 24);
  }
  if (typeof dmaMask !== 'bigint' || BigInt.asUintN(64, dmaMask) !== dmaMask) {
    throw new RangeError(`driver ${name}: dmaMask is a bigint of at most 64 bits, not ${String(dmaMask)}`);
  }
  return driver;
}

/** Whether a line of the driver's table matches the function. */
export function matches(driver: { readonly match: readonly PciMatch[] }, found: PciFunction): boolean {
  return driver.match.some(
    ({ vendorId, deviceId, classCode, classMask = 0xff_ffff }) =>
      (vendorId === undefined || vendorId === found.vendorId) &&
      (deviceId === undefined || deviceId === found.deviceId) &&
      (classCode === undefined || ((classCode ^ found.classCode) & classMask) === 0),
  );
}

/**
 * Gives a driver every function that it matches: opens each and probes it, one after the other. One that fails does not
 * keep the rest from being bound; its device is closed, and it is listed in `failed`.
 * @throws SystemError what scanning the buses throws
 */
export async function bindDriver<T>(backend: Backend, driver: Driver<T>): Promise<Bindings<T>> {
  const { pci, clock, supports } = backend;
  const bound: Binding<T>[] = [];
  const failed: BindFailure[] = [];
  for (const found of pci.scan()) {
    if (!matches(driver, found)) continue;
    try {
      const device = pci.open(found.address, { dmaMask: driver.dmaMask });
      bound.push(await probe(driver, device, { function: found, clock, supports }));
    } catch (error) {
      failed.push({ function: found, error });
    }
  }
  const remove = () => closeEach([...bound].reverse().map((binding) => ({ close: binding.remove })));
  return { bound, failed, remove, [Symbol.dispose]: remove };
}

async function probe<T>(driver: Driver<T>, device: PciDevice, context: ProbeContext): Promise<Binding<T>> {
  let instance: T;
  try {
    instance = await driver.probe(device, context);
  } catch (error) {
    device.close();
    throw error;
  }
  let removed = false;
  const remove = () => {
    if (removed) return;
    removed = true;
    closeEach([{ close: () => driver.remove?.(instance) }, device]);
  };
  return { driver, function: context.function, device, instance, remove, [Symbol.dispose]: remove };
}

function checkBits(driver: string, what: string, value: number | undefined, bits: number): void {
  if (value === undefined) return;
  if (!Number.isInteger(value) || value < 0 || value >= 2 ** bits) {
    throw new RangeError(`driver ${driver}: ${what} is an integer of ${bits} bits, not ${String(value)}`);
  }
}
