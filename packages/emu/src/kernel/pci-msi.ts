import { type ConfigSpace, findCapability, PCI_CAP_ID_MSI, PCI_COMMAND, PCI_COMMAND_INTX_DISABLE } from '@usrdrv/core';
import type { MsiMessage } from '../machine/msi.ts';
import {
  PCI_MSI_ADDRESS_HI,
  PCI_MSI_ADDRESS_LO,
  PCI_MSI_DATA_64,
  PCI_MSI_FLAGS,
  PCI_MSI_FLAGS_64BIT,
  PCI_MSI_FLAGS_ENABLE,
} from '../machine/pci-config.ts';
import type { PciFunction } from '../machine/pci-function.ts';

/** The data register of a function whose messages have 32-bit addresses. */
const PCI_MSI_DATA_32 = 8;
/** Multiple message enable: how many vectors are granted, as a power of two. */
const PCI_MSI_FLAGS_QSIZE = 0x70;

/** The MSI capability of a function, as the kernel programs it (PCI Local Bus 3.0, section 6.8.1). */
export class MsiCapability {
  /** How many vectors the function asks for. */
  readonly vectors: number;

  private constructor(
    private readonly config: FunctionConfig,
    private readonly at: number,
  ) {
    this.vectors = 1 << ((config.read16(at + PCI_MSI_FLAGS) >> 1) & 7);
  }

  /** Undefined where the function has none. */
  static of(pciFunction: PciFunction): MsiCapability | undefined {
    const config = new FunctionConfig(pciFunction);
    const at = findCapability(config, PCI_CAP_ID_MSI);
    return at === undefined ? undefined : new MsiCapability(config, at);
  }

  /** Has the function send messages from now on, and no longer hold its line. `vectors` is rounded up to a power of two. */
  enable(message: MsiMessage, vectors: number): void {
    const { config, at } = this;
    const flags = config.read16(at + PCI_MSI_FLAGS) & ~PCI_MSI_FLAGS_QSIZE;
    const wide = (flags & PCI_MSI_FLAGS_64BIT) !== 0;
    config.write32(at + PCI_MSI_ADDRESS_LO, Number(message.address & 0xffff_ffffn));
    if (wide) config.write32(at + PCI_MSI_ADDRESS_HI, Number(message.address >> 32n));
    config.write16(at + (wide ? PCI_MSI_DATA_64 : PCI_MSI_DATA_32), message.data);
    this.#disableIntx(true);
    config.write16(at + PCI_MSI_FLAGS, flags | (Math.ceil(Math.log2(vectors)) << 4) | PCI_MSI_FLAGS_ENABLE);
  }

  /** The function uses its line again. */
  disable(): void {
    const { config, at } = this;
    config.write16(at + PCI_MSI_FLAGS, config.read16(at + PCI_MSI_FLAGS) & ~PCI_MSI_FLAGS_ENABLE);
    this.#disableIntx(false);
  }

  /** pci_intx() */
  #disableIntx(on: boolean): void {
    const command = this.config.read16(PCI_COMMAND) & ~PCI_COMMAND_INTX_DISABLE;
    this.config.write16(PCI_COMMAND, on ? command | PCI_COMMAND_INTX_DISABLE : command);
  }
}

/** The kernel's own access to configuration space: not in anybody's way, and not closed. */
class FunctionConfig implements ConfigSpace {
  readonly length = 256;

  constructor(private readonly pciFunction: PciFunction) {}

  read8(offset: number): number {
    return this.pciFunction.configRead(offset, 1);
  }

  read16(offset: number): number {
    return this.pciFunction.configRead(offset, 2);
  }

  read32(offset: number): number {
    return this.pciFunction.configRead(offset, 4);
  }

  write8(offset: number, value: number): void {
    this.pciFunction.configWrite(offset, value, 1);
  }

  write16(offset: number, value: number): void {
    this.pciFunction.configWrite(offset, value, 2);
  }

  write32(offset: number, value: number): void {
    this.pciFunction.configWrite(offset, value, 4);
  }
}
