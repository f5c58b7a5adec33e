import { gunzipSync } from 'node:zlib';
import type { MachineFiles } from '../machine/machine-files.ts';

/** What is known about how the running kernel was built. */
export class KernelConfig {
  readonly release: string | undefined;
  readonly #text: string | undefined;
  readonly #modules: string;

  constructor(files: MachineFiles) {
    this.release = files.text('/proc/sys/kernel/osrelease');
    const places = [`/boot/config-${this.release}`, `/lib/modules/${this.release}/config`];
    const packed = files.bytes('/proc/config.gz');
    this.#text =
      packed === undefined
        ? places.map((path) => files.text(path)).find((text) => text !== undefined)
        : gunzipSync(packed).toString();
    this.#modules = files.text(`/lib/modules/${this.release}/modules.dep`) ?? '';
  }

  /** `y`, `m` or another value of an option, `n` where it is not set; undefined where the configuration is not here. */
  option(name: string): string | undefined {
    if (this.#text === undefined) return undefined;
    return new RegExp(`^${name}=(.*)$`, 'm').exec(this.#text)?.[1] ?? 'n';
  }

  /** How a driver that is not there is brought in. */
  remedyFor(module: string, option: string): string {
    const file = new RegExp(`/${module.replaceAll(/[-_]/g, '[-_]')}[.]ko`, 'm');
    if (file.test(this.#modules)) return `modprobe ${module}`;
    switch (this.option(option)) {
      case 'n':
        return `a kernel with ${option}: this one is built without`;
      case 'm':
        return `modprobe ${module}, whose file is missing: install the kernel’s modules`;
      default:
        return `modprobe ${module}, where the kernel has it (${option})`;
    }
  }
}
