import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { MachineFiles } from './machine-files.ts';

export interface FixtureFunction {
  readonly driver?: string;
  readonly group?: string;
  readonly files?: Readonly<Record<string, string>>;
}

/** Folders, files and links as a machine has them, in a temporary folder. The test is the kernel: it moves the links. */
export class FixtureMachine implements Disposable {
  readonly #root = mkdtempSync(join(tmpdir(), 'usrdrv-machine-'));
  readonly files = new MachineFiles(this.#root);

  file(path: string, text = ''): void {
    mkdirSync(dirname(this.#path(path)), { recursive: true });
    writeFileSync(this.#path(path), `${text}\n`);
  }

  bytes(path: string, bytes: Uint8Array): void {
    this.file(path);
    writeFileSync(this.#path(path), bytes);
  }

  folder(path: string): void {
    mkdirSync(this.#path(path), { recursive: true });
  }

  /** A link to another path of the machine, relative as those in sysfs are. */
  link(path: string, target: string): void {
    mkdirSync(dirname(this.#path(path)), { recursive: true });
    rmSync(this.#path(path), { force: true });
    symlinkSync(relative(dirname(this.#path(path)), this.#path(target)), this.#path(path));
  }

  /** A link as the kernel writes it: text that need not lead anywhere. */
  text(path: string, target: string): void {
    mkdirSync(dirname(this.#path(path)), { recursive: true });
    symlinkSync(target, this.#path(path));
  }

  read(path: string): string {
    return readFileSync(this.#path(path), 'utf8');
  }

  driver(name: string): void {
    for (const each of ['bind', 'unbind']) this.file(`/sys/bus/pci/drivers/${name}/${each}`);
  }

  /** Adds a function, or changes what it is bound to. Returns its folder. */
  function(address: string, { driver, group, files = {} }: FixtureFunction = {}): string {
    const folder = `/sys/devices/pci0000:00/${address}`;
    this.folder(folder);
    this.link(`/sys/bus/pci/devices/${address}`, folder);
    for (const [name, text] of Object.entries({ class: '0x00ff00', driver_override: '(null)', ...files })) {
      this.file(`${folder}/${name}`, text);
    }
    this.bound(address, driver);
    if (group !== undefined) {
      this.link(`${folder}/iommu_group`, `/sys/kernel/iommu_groups/${group}`);
      this.link(`/sys/kernel/iommu_groups/${group}/devices/${address}`, folder);
    }
    return folder;
  }

  /** What the kernel shows once a function is bound to that driver, or to none. */
  bound(address: string, driver?: string): void {
    const link = `/sys/devices/pci0000:00/${address}/driver`;
    rmSync(this.#path(link), { force: true });
    if (driver === undefined) return;
    this.driver(driver);
    this.link(link, `/sys/bus/pci/drivers/${driver}`);
    this.link(`/sys/bus/pci/drivers/${driver}/${address}`, `/sys/devices/pci0000:00/${address}`);
  }

  /** A disk or a partition below a folder. */
  disk(name: string, folder: string, number: string): void {
    this.file(`${folder}/block/${name}/dev`, number);
    this.folder(`${folder}/block/${name}/holders`);
    this.link(`/sys/class/block/${name}`, `${folder}/block/${name}`);
  }

  [Symbol.dispose](): void {
    rmSync(this.#root, { recursive: true, force: true });
  }

  #path(path: string): string {
    return join(this.#root, path);
  }
}
