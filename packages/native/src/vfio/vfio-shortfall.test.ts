import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { surveyBackends } from '../open-backend.ts';

const EDU = '0000:01:00.0';
const OTHER = '0000:01:00.1';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'usrdrv-vfio-'));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

function file(path: string, text = ''): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text);
}

function link(path: string, target: string): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  rmSync(join(root, path), { force: true });
  symlinkSync(target, join(root, path));
}

/** A machine where vfio-pci has a function, in group 5 with another one. */
function machine(): void {
  file('/dev/vfio/vfio');
  file('/dev/vfio/5');
  file(`/sys/bus/pci/devices/${EDU}/vendor`, '0x1234\n');
  file(`/sys/bus/pci/devices/${OTHER}/vendor`, '0x1234\n');
  link(`/sys/bus/pci/devices/${EDU}/driver`, '../../drivers/vfio-pci');
  link(`/sys/bus/pci/devices/${EDU}/iommu_group`, '../../../kernel/iommu_groups/5');
  for (const address of [EDU, OTHER]) file(`/sys/kernel/iommu_groups/5/devices/${address}`);
}

/** What the vfio backend lacks; undefined where that is nothing. */
function shortfall(device?: string) {
  return surveyBackends({ root, only: ['vfio'], ...(device === undefined ? {} : { device }) })[0]?.shortfall;
}

describe('what the vfio backend lacks', () => {
  test('nothing, where vfio-pci has a function whose group can be opened', () => {
    machine();
    expect(shortfall()).toBeUndefined();
    expect(shortfall(EDU)).toBeUndefined();
  });

  test('a function of vfio-pci, and who has it instead', () => {
    machine();
    rmSync(join(root, 'dev/vfio/5'));
    expect(shortfall()).toEqual({ reason: 'vfio-pci has no function', remedy: 'usrdrv bind ADDRESS --to vfio-pci' });
    const remedy = `usrdrv bind ${OTHER} --to vfio-pci`;
    expect(shortfall(OTHER)).toEqual({ reason: `${OTHER} has no driver`, remedy });
    link(`/sys/bus/pci/devices/${OTHER}/driver`, '../../drivers/e1000e');
    expect(shortfall(OTHER)).toEqual({ reason: `${OTHER} is bound to e1000e`, remedy });
  });

  test('an IOMMU', () => {
    machine();
    file('/dev/vfio/noiommu-5');
    expect(shortfall(EDU)?.reason).toBe(`${EDU} is behind no IOMMU`);
    rmSync(join(root, 'dev/vfio/5'));
    expect(shortfall()?.remedy).toMatch(/intel_iommu=on.*unsafe/);
    rmSync(join(root, `sys/bus/pci/devices/${EDU}/iommu_group`));
    expect(shortfall(EDU)?.reason).toBe(`${EDU} is behind no IOMMU`);
  });

  test('the rest of the group, where a driver of the kernel has it; bridges do not count', () => {
    machine();
    link(`/sys/bus/pci/devices/${OTHER}/driver`, '../../drivers/pcieport');
    expect(shortfall(EDU)).toBeUndefined();
    link(`/sys/bus/pci/devices/${OTHER}/driver`, '../../drivers/e1000e');
    expect(shortfall(EDU)).toEqual({
      reason: `drivers have functions of its IOMMU group 5: ${OTHER} (e1000e)`,
      remedy: `usrdrv bind ${OTHER} --to vfio-pci`,
    });
  });

  test('groups, where the kernel has the device files of iommufd alone; beside groups these are no group', () => {
    machine();
    file('/dev/vfio/devices/vfio0');
    expect([shortfall(), shortfall(EDU)]).toEqual([undefined, undefined]);
    rmSync(join(root, 'dev/vfio/5'));
    rmSync(join(root, 'dev/vfio/vfio'));
    const alone = {
      reason: 'the kernel has /dev/vfio/devices alone, for iommufd, which this backend does not use',
      remedy: 'a kernel with CONFIG_VFIO_GROUP',
    };
    expect([shortfall(), shortfall(EDU)]).toEqual([alone, alone]);
  });

  test('the files in /dev/vfio', () => {
    machine();
    rmSync(join(root, 'dev/vfio/vfio'));
    expect(shortfall()).toEqual({
      reason: '/dev/vfio/vfio cannot be opened: ENOENT',
      remedy: 'modprobe vfio-pci; in a container: pass it on',
    });
    file('/dev/vfio/vfio');
    rmSync(join(root, 'dev/vfio/5'));
    expect(shortfall(EDU)?.reason).toBe('/dev/vfio/5 cannot be opened: ENOENT');
  });
});
