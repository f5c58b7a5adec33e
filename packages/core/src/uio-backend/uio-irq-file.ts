import { type ConfigSpace, PCI_COMMAND, PCI_COMMAND_INTX_DISABLE } from '../config-space.ts';
import { checkResult, EAGAIN, EIO, ENODEV, ENOSYS, SystemError } from '../errors.ts';
import { type Closeable, closeEach } from '../open-resources.ts';
import type { PciAddress } from '../pci-address.ts';
import { UserModeConfigSpace } from '../user-mode-backend/config-space.ts';
import type { InterruptFile } from '../user-mode-backend/irq-source.ts';
import { type PolledFile, readWhenReady } from '../user-mode-backend/read-when-ready.ts';
import { readNumber, sysfsPath } from '../user-mode-backend/sysfs.ts';
import { AnonymousMemory, immediate } from '../user-mode-backend/user-memory.ts';
import {
  type Interruptible,
  type MaySleep,
  O_CLOEXEC,
  O_NONBLOCK,
  O_RDWR,
  POLLIN,
  type PollFd,
  type UserModeKernel,
  type UserThread,
} from '../user-mode-kernel.ts';
import type { UioNode } from './uio-node.ts';

/**
 * Opens a node to be asked without sleeping.
 * @throws SystemError of the open(2)
 */
export function openNode(thread: UserThread, { events }: UioNode): number {
  return checkResult(thread.open(events, O_RDWR | O_NONBLOCK | O_CLOEXEC), 'open', events);
}

/**
 * The interrupts of a UIO node, or of an IIO one. The node never unmasks by itself (N3): before a wait it is told to by
 * irqcontrol, and where its driver has none bit 10 of the command register is cleared in configuration space (N8).
 */
export class UioIrqFile implements InterruptFile, PolledFile {
  readonly path: string;
  readonly thread: UserThread;
  readonly #fd: number;
  readonly fds: readonly PollFd[];
  readonly #config: ConfigSpace;
  /** Bytes of an event: a count of all of them (N1), or one each (S5). */
  readonly #width: 4 | 1;
  readonly #memory: AnonymousMemory;
  readonly #view: DataView;
  readonly #irqcontrol: boolean;
  /** The count of all events that was read last; in the node's 32 bits, which wrap. */
  #seen: number;
  /** What was opened for this file alone. */
  #own: readonly Closeable[] = [];

  /**
   * What happened before is not this file's: it starts with the count of now, and with the line unmasked.
   * @param fd of the node, with O_NONBLOCK; it is the file's from now on
   * @param config of the function
   * @throws SystemError ENODEV a node without interrupts; EINVAL no such node; ENOMEM
   */
  constructor({ process, files }: UserModeKernel, node: UioNode, fd: number, config: ConfigSpace) {
    this.path = node.events;
    this.thread = process.thread;
    this.#fd = fd;
    this.fds = [{ fd, events: POLLIN, revents: 0 }];
    this.#config = config;
    this.#width = node.kind === 'iio' ? 1 : 4;
    const opened = [{ close: () => this.#closeFd() }];
    try {
      this.#memory = new AnonymousMemory(process, 4);
      opened.push(this.#memory);
      this.#view = this.#memory.view();
      // Before the read: where that finds nothing new, this is what was read last through this file.
      this.#seen = readNumber(files, node.total) | 0;
      const drained = this.#take();
      if (drained !== -EAGAIN) this.taken(drained);
      this.#irqcontrol = this.#control();
      if (!this.#irqcontrol) this.#unmask();
    } catch (error) {
      closeEach(opened);
      throw error;
    }
  }

  /**
   * Opens the node for its interrupts alone, with configuration space to unmask through.
   * @throws SystemError of the open(2); as the constructor
   */
  static open(kernel: UserModeKernel, node: UioNode, address: PciAddress): UioIrqFile {
    const { process } = kernel;
    const { thread } = process;
    const opened: Closeable[] = [];
    try {
      const scratch = new AnonymousMemory(process, 4);
      opened.push(scratch);
      const config = new UserModeConfigSpace(thread, sysfsPath(address, 'config'), scratch);
      opened.push(config);
      const file = new UioIrqFile(kernel, node, openNode(thread, node), config);
      file.#own = opened;
      return file;
    } catch (error) {
      closeEach(opened);
      throw error;
    }
  }

  read(o: Interruptible): MaySleep {
    return readWhenReady(this, o);
  }

  tryRead(): number {
    const count = this.#take();
    if (count !== -EAGAIN) return count;
    this.#unmask();
    return this.#take();
  }

  /** Reads have made a count of it already. */
  taken(result: number): number {
    return checkResult(result, 'read', this.path);
  }

  async poll(timeoutMs: number, o: Interruptible): Promise<number> {
    const now = await this.thread.poll(this.fds, 0);
    if (now !== 0) return now;
    this.#unmask();
    return this.thread.poll(this.fds, timeoutMs, o);
  }

  close(): void {
    closeEach([{ close: () => this.#closeFd() }, this.#memory, ...this.#own]);
  }

  /** The events since the last read, or -errno. A node whose device has gone says EIO (N7). */
  #take(): number {
    const count = this.#width === 4 ? this.#takeTotal() : this.#takeBytes();
    return count === -EIO ? -ENODEV : count;
  }

  #takeTotal(): number {
    const result = this.#readNode();
    if (result < 0) return result;
    const total = this.#view.getInt32(0, true);
    // A listener that is 2^32 events late cannot know it.
    const count = (total - this.#seen) >>> 0;
    this.#seen = total;
    return count;
  }

  #takeBytes(): number {
    let count = 0;
    for (;;) {
      const result = this.#readNode();
      if (result < 0) return count > 0 ? count : result;
      count++;
    }
  }

  #readNode(): number {
    const result = immediate(this.thread.read(this.#fd, this.#memory.address, this.#width), 'read');
    if (result < 0 || result === this.#width) return result;
    throw new SystemError('EIO', 'read', { path: this.path, detail: `${result} of ${this.#width} bytes` });
  }

  #unmask(): void {
    if (this.#irqcontrol) {
      this.#control();
      return;
    }
    const command = this.#config.read16(PCI_COMMAND);
    if ((command & PCI_COMMAND_INTX_DISABLE) === 0) return;
    // Nobody else changes the register of a masked function, so nothing is lost between the two. The whole register: QEMU 7.2
    // does not see that bit 10 changed where only the upper byte is written, and its line is stuck from the next mask on.
    this.#config.write16(PCI_COMMAND, command & ~PCI_COMMAND_INTX_DISABLE);
  }

  /** N4: writes a 1. Whether the driver knows what to do with it. */
  #control(): boolean {
    if (this.#width === 4) this.#view.setInt32(0, 1, true);
    else this.#view.setInt8(0, 1);
    const result = immediate(this.thread.write(this.#fd, this.#memory.address, this.#width), 'write');
    if (result === -ENOSYS) return false;
    // The device has gone: the next read says so.
    if (result !== -EIO) checkResult(result, 'write', this.path);
    return true;
  }

  #closeFd(): void {
    checkResult(this.thread.close(this.#fd), 'close', this.path);
  }
}
