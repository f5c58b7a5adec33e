import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { SystemError } from '@usrdrv/core';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { kernelInterface } from './kernel-interface.ts';
import { NoBackend, openBackend, surveyBackends } from './open-backend.ts';

const EDU = '0000:00:04.0';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'usrdrv-native-'));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

function file(path: string, text = ''): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text);
}

/** A machine that has everything for the usrdrv backend, and a function without a driver. */
function machine(): void {
  file('/proc/irq/0/irq');
  file('/proc/self/status', 'CapEff:\t0000000000020000\n');
  file('/dev/mem');
  file(`/sys/bus/pci/devices/${EDU}/vendor`, '0x1234\n');
  file(`/sys/bus/pci/devices/${EDU}/driver_override`, '(null)\n');
}

const usrdrv = (device?: string) => surveyed('usrdrv', device);
const uio = (device?: string) => surveyed('uio', device);

function surveyed(name: string, device: string | undefined) {
  return surveyBackends({ root, ...(device === undefined ? {} : { device }) }).find(({ backend }) => backend === name);
}

describe('what the usrdrv backend lacks', () => {
  test('nothing, by the patch and by the module', () => {
    machine();
    expect(usrdrv()).toEqual({ backend: 'usrdrv' });
    rmSync(join(root, 'proc/irq'), { recursive: true });
    expect(usrdrv()?.shortfall?.reason).toContain('neither the usrdrv patch');
    file('/dev/usrdrv/pci');
    expect(usrdrv(EDU)).toEqual({ backend: 'usrdrv' });
  });

  test.each(['CapEff:\t0000000000000000\n', ''])('CAP_SYS_RAWIO, where the process has %j', (status) => {
    machine();
    file('/proc/self/status', status);
    expect(usrdrv()?.shortfall).toEqual({
      reason: 'this process lacks CAP_SYS_RAWIO',
      remedy: 'run it as root, or with that capability',
    });
  });

  test('/dev/mem', () => {
    machine();
    rmSync(join(root, 'dev/mem'));
    expect(usrdrv()?.shortfall?.reason).toBe('/dev/mem cannot be opened: ENOENT');
  });

  test('a device that a driver has, that is reserved for one, or that a program has', () => {
    machine();
    file(`/sys/bus/pci/devices/${EDU}/driver_override`, 'vfio-pci\n');
    const remedy = `usrdrv bind ${EDU} --to none`;
    expect(usrdrv(EDU)?.shortfall).toEqual({ reason: `${EDU} is reserved for vfio-pci`, remedy });
    symlinkSync('../../../../bus/pci/drivers/e1000', join(root, `/sys/bus/pci/devices/${EDU}/driver`));
    expect(usrdrv('00:04.0')?.shortfall).toEqual({ reason: `${EDU} is bound to e1000`, remedy });
    expect(usrdrv()?.shortfall).toBeUndefined();
    rmSync(join(root, `/sys/bus/pci/devices/${EDU}/driver`));
    symlinkSync('../../../../bus/pci/drivers/usr_pci', join(root, `/sys/bus/pci/devices/${EDU}/driver`));
    expect(usrdrv(EDU)?.shortfall?.reason).toBe(`a program has ${EDU} open`);
  });
});

describe('what the uio backend lacks', () => {
  test('nothing, where a function has a node', () => {
    machine();
    node();
    expect(uio()).toEqual({ backend: 'uio' });
    expect(uio(EDU)).toEqual({ backend: 'uio' });
  });

  test('a node, and who has the function instead', () => {
    machine();
    const remedy = (address: string) => `usrdrv bind ${address} --to uio_pci_generic`;
    expect(uio()?.shortfall).toEqual({ reason: 'no function has a UIO node', remedy: remedy('ADDRESS') });
    expect(uio(EDU)?.shortfall).toEqual({ reason: `${EDU} has no UIO node: no driver has it`, remedy: remedy(EDU) });
    symlinkSync('../../../../bus/pci/drivers/e1000', join(root, `/sys/bus/pci/devices/${EDU}/driver`));
    expect(uio(EDU)?.shortfall?.reason).toBe(`${EDU} has no UIO node: it is bound to e1000`);
  });

  test('the node in /dev, and configuration space', () => {
    machine();
    node();
    rmSync(join(root, 'dev/uio0'));
    expect(uio()?.shortfall?.reason).toBe('/dev/uio0 cannot be opened: ENOENT');
    expect(uio(EDU)?.shortfall?.remedy).toContain('mount -t devtmpfs');
    file('/dev/uio0');
    rmSync(join(root, `/sys/bus/pci/devices/${EDU}/config`));
    expect(uio(EDU)?.shortfall?.reason).toBe(`/sys/bus/pci/devices/${EDU}/config cannot be opened: ENOENT`);
  });
});

/** What uio_pci_generic makes of the function. */
function node(): void {
  file(`/sys/bus/pci/devices/${EDU}/uio/uio0/name`, 'uio_pci_generic\n');
  file('/sys/class/uio/uio0/name', 'uio_pci_generic\n');
  file(`/sys/bus/pci/devices/${EDU}/config`);
  file('/dev/uio0');
}

test('what cannot be read is passed over, with the file and the error; the others are looked at all the same', () => {
  machine();
  // A file where a directory should be; root may read all else.
  file('/sys/class/uio');
  file('/dev/vfio');
  expect(uio()?.shortfall).toEqual({
    reason: '/sys/class/uio cannot be read: ENOTDIR',
    remedy: 'run it as root; in a container: mount /sys, /proc and /dev',
  });
  expect(surveyed('vfio', undefined)?.shortfall?.reason).toBe('/dev/vfio cannot be read: ENOTDIR');
  expect(usrdrv()).toEqual({ backend: 'usrdrv' });
  file(`/sys/bus/pci/devices/0000:00:05.0`);
  expect(() => surveyBackends({ root, device: '0000:00:05.0' })).toThrow(/ENOTDIR.*0000:00:05\.0/);
});

test('a device that is not there is ENOENT, and what is no address is called wrongly', () => {
  machine();
  expect(() => surveyBackends({ root, device: '0000:00:1f.7' })).toThrow(/ENOENT.*0000:00:1f\.7/);
  expect(() => surveyBackends({ root, device: 'edu' })).toThrow(TypeError);
});

test.skipIf(kernelInterface() !== 'none')(
  'where there is none, the error is ENODEV and has the reason for each',
  () => {
    const error = catching(() => openBackend({ only: ['usrdrv'] }));
    expect(error).toBeInstanceOf(NoBackend);
    expect(error).toBeInstanceOf(SystemError);
    expect(error).toMatchObject({ code: 'ENODEV', syscall: 'openBackend' });
    expect(error).toMatchObject({
      passedOver: [{ backend: 'usrdrv', reason: expect.stringContaining('/proc/irq/N/irq') }],
    });
    expect(String(error)).toMatch(/usrdrv: the kernel has neither.*insmod/);
  },
);

function catching(call: () => unknown): unknown {
  try {
    call();
  } catch (error) {
    return error;
  }
  throw new Error('nothing was thrown');
}
