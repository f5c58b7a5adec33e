import { ENOENT } from '@usrdrv/core';
import type { Cpus } from '../machine/cpu.ts';
import { type DirectoryEntry, directory } from './dentry.ts';
import type { FileTable } from './file.ts';
import type { IrqDesc } from './irq-desc.ts';
import { type IrqFileKernel, IrqInode } from './irq-inode.ts';
import type { PciDevs } from './pci-dev.ts';
import { TextInode } from './text-file.ts';
import type { FileSystem, Inode } from './vfs.ts';

/** What /proc shows of the kernel. */
export interface ProcKernel extends IrqFileKernel {
  readonly cpus: Cpus;
  readonly fileTable: FileTable;
  readonly pciDevs: PciDevs;
}

/** The process file system: /proc/interrupts, /proc/irq, /proc/sys/fs. */
export class ProcFs implements FileSystem {
  readonly mountPoint = 'proc';
  readonly #kernel: ProcKernel;
  readonly #interrupts: Inode;

  constructor(kernel: ProcKernel) {
    this.#kernel = kernel;
    this.#interrupts = new TextInode(0o444, () => showInterrupts(kernel));
  }

  lookup(path: string): Inode | number | undefined {
    if (path === '/proc/interrupts') return this.#interrupts;
    const irq = lineOf(path);
    if (irq === undefined) return undefined;
    const desc = this.#kernel.irqCore.desc(irq);
    return desc === undefined ? -ENOENT : this.#irqFile(desc);
  }

  *entries(): Iterable<DirectoryEntry> {
    const { fileTable } = this.#kernel;
    yield { name: 'interrupts', child: this.#interrupts };
    yield { name: 'irq', child: () => this.#lines() };
    const fileMax = new TextInode(0o444, () => `${fileTable.max}\n`);
    const fileNr = new TextInode(0o444, () => `${fileTable.count}\t0\t${fileTable.max}\n`);
    const fs = [
      { name: 'file-max', child: fileMax },
      { name: 'file-nr', child: fileNr },
    ];
    yield { name: 'sys', child: () => [{ name: 'fs', child: () => fs }] };
  }

  *#lines(): Iterable<DirectoryEntry> {
    for (const desc of this.#kernel.irqCore.descs()) yield { name: `${desc.irq}`, child: () => this.#line(desc) };
  }

  *#line(desc: IrqDesc): Iterable<DirectoryEntry> {
    yield { name: 'irq', child: this.#irqFile(desc) };
    for (const { name } of desc.actions) {
      // Each action has an empty directory of its name, unless no directory can be called that.
      if (name !== 'irq' && isName(name)) yield { name, child: () => [] };
    }
  }

  /** 2.6.11 puts the directory of an action called `irq` before the file of that name (D10). */
  #irqFile(desc: IrqDesc): Inode {
    const shadowed = this.#kernel.profile === 'chubb-2.6.11' && desc.actions.some(({ name }) => name === 'irq');
    return shadowed ? directory : new IrqInode(this.#kernel, desc.irq);
  }
}

function isName(name: string): boolean {
  return name !== '' && name !== '.' && name !== '..' && !name.includes('/');
}

const PREFIX = '/proc/irq/';
const SUFFIX = '/irq';

/** The line whose irq file a path names, without a detour. */
function lineOf(path: string): number | undefined {
  if (!path.startsWith(PREFIX) || !path.endsWith(SUFFIX)) return undefined;
  const digits = path.slice(PREFIX.length, -SUFFIX.length);
  const irq = Number(digits);
  return `${irq}` === digits ? irq : undefined;
}

/** /proc/interrupts, in the format of the profile's kernel. */
function showInterrupts({ profile, cpus, irqCore, pciDevs }: ProcKernel): string {
  const old = profile === 'chubb-2.6.11';
  const columns = cpus.all.map(({ id }) => `CPU${id}`.padEnd(11)).join('');
  const lines = [' '.repeat(11) + columns];
  for (const desc of irqCore.descs()) {
    const { irq, actions, counts } = desc;
    // 6.1 goes on showing a line that was used once.
    if (actions.length === 0 && (old || counts.every((count) => count === 0))) continue;
    const numbers = counts.map((count) => `${`${count}`.padStart(10)} `).join('');
    const names = actions.map(({ name }) => name).join(', ');
    lines.push(
      `${`${irq}`.padStart(3)}: ${numbers}${old ? chip2611(desc) : chip61(desc, pciDevs)}${names && `  ${names}`}`,
    );
  }
  const none = cpus.all.map(() => `${'0'.padStart(10)} `).join('');
  const text = (what: string): string => (old ? '' : `  ${what}`);
  lines.push(`NMI: ${none}${text('Non-maskable interrupts')}`, `LOC: ${none}${text('Local timer interrupts')}`);
  lines.push(`ERR: ${'0'.padStart(10)}`, `MIS: ${'0'.padStart(10)}`);
  return `${lines.join('\n')}\n`;
}

function chip2611({ chip, level }: IrqDesc): string {
  const typename = chip.name === 'IO-APIC' ? `IO-APIC-${level ? 'level' : 'edge'}` : chip.name;
  return ` ${typename.padStart(14)}`;
}

function chip61({ chip, level, irq }: IrqDesc, devs: PciDevs): string {
  const name = ` ${chip.name.padStart(8)}`;
  // The 8259s have no interrupt domain, so no number of their own, and no flow name.
  if (chip.name === 'XT-PIC') return `${name}    `;
  const hwirq = chip.name === 'PCI-MSI' ? msiHwirq(irq, devs) : irq;
  return `${name} ${`${hwirq}`.padStart(3)}-${(level ? 'fasteoi' : 'edge').padEnd(8)}`;
}

/** pci_msi_domain_calc_hwirq(): a vector's number in its domain, from where its function is. */
function msiHwirq(irq: number, devs: PciDevs): number {
  const dev = devs.all().find(({ msiIrqs }) => msiIrqs.includes(irq));
  if (dev === undefined) return irq;
  const { domain, bus, slot, function: fn } = dev.function.address;
  return domain * 2 ** 27 + (((bus << 8) | (slot << 3) | fn) << 11) + dev.msiIrqs.indexOf(irq);
}
