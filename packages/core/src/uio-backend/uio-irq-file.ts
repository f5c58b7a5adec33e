import { type ConfigSpace, PCI_COMMAND, PCI_COMMAND_INTX_DISABLE } from '../config-space.ts';
import { checkResult, EAGAIN, EIO, ENODEV, ENOSYS, SystemError } from '../errors.ts';
import { type Closeable, closeEach } from '../open-resources.ts';
import type { PciAddress } from '../pci-address.ts';
import { UserModeConfigSpace } from '../user-mode-backend/config-space.ts';
import type { InterruptFile } from '../user-mode-backend/irq-source.ts';
import { type PolledFile, SyncReads, takeWhenReady } from '../user-mode-backend/polled-file.ts';
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
  readonly fds: readonly [PollFd];
  readonly #config: ConfigSpace;
  /** The count of all events (N1); of an IIO node there is a byte for each (S5). */
  readonly bytes: 4 | undefined;
  readonly #memory: AnonymousMemory;
  readonly #view: DataView;
  readonly #irqcontrol: boolean;
  readonly #sync: SyncReads;
  /** The count of all events that was read last; in the node's 32 bits, which wrap. */
  #seen: number;
  /** What there was has been taken, and the line was not let through since: where that is masked, nothing has come. */
  #drained = false;
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
    this.#sync = new SyncReads(this.thread, fd, 4);
    this.bytes = node.kind === 'iio' ? undefined : 4;
    const opened = [{ close: () => this.#closeFd() }];
    try {
      this.#memory = new AnonymousMemory(process, 4);
      opened.push(this.#memory);
      this.#view = this.#memory.view();
      // Before the read: where that finds nothing new, this is what was read last through this file.
      this.#seen = readNumber(files, node.total) >>> 0;
      const drained = this.take();
      if (drained !== -EAGAIN) this.taken(drained);
      this.#irqcontrol = this.#control();
      if (!this.#irqcontrol) this.letThrough();
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
    const result = this.#takeOrUnmask();
    return result === -EAGAIN ? takeWhenReady(this, o) : result;
  }

  tryRead(): number {
    const result = this.#takeOrUnmask();
    return result === -EAGAIN ? this.take() : result;
  }

  /** ENOSYS for an IIO node, where each read would be for one event. */
  readSync(): number {
    if (this.bytes === undefined) return -ENOSYS;
    // Whatever there is has to be taken before the line is let through.
    if (this.#drained || immediate(this.thread.poll(this.fds, 0), 'poll') === 0) this.letThrough();
    const total = this.#sync.read();
    if (total < 0) return failure(total);
    this.#drained = true;
    return this.#since(total);
  }

  taken(result: number): number | undefined {
    const taken = checkResult(failure(result), 'read', this.path);
    this.#drained = true;
    const count = this.bytes === undefined ? taken : this.#since(taken);
    return count === 0 ? undefined : count;
  }

  /** The count of all events, or the events of an IIO node since the last read. */
  take(): number {
    return this.bytes === undefined ? this.#takeBytes() : this.#takeTotal();
  }

  async poll(timeoutMs: number, o: Interruptible): Promise<number> {
    const now = await this.thread.poll(this.fds, 0);
    if (now !== 0) return now;
    this.letThrough();
    return this.thread.poll(this.fds, timeoutMs, o);
  }

  close(): void {
    closeEach([{ close: () => this.#closeFd() }, this.#memory, ...this.#own]);
  }

  #takeOrUnmask(): number {
    this.#sync.end();
    const result = this.#drained ? -EAGAIN : this.take();
    if (result === -EAGAIN) this.letThrough();
    return result;
  }

  /** The events that came before the node's total was that. A listener that is 2^32 events late cannot know it. */
  #since(total: number): number {
    const count = (total - this.#seen) >>> 0;
    this.#seen = total;
    return count;
  }

  #takeTotal(): number {
    const result = this.#readNode(4);
    return result < 0 ? result : this.#view.getUint32(0, true);
  }

  #takeBytes(): number {
    let count = 0;
    for (;;) {
      const result = this.#readNode(1);
      if (result < 0) return count > 0 ? count : result;
      count++;
    }
  }

  #readNode(bytes: number): number {
    const result = immediate(this.thread.read(this.#fd, this.#memory.address, bytes), 'read');
    if (result < 0 || result === bytes) return result;
    throw new SystemError('EIO', 'read', { path: this.path, detail: `${result} of ${bytes} bytes` });
  }

  letThrough(): void {
    this.#drained = false;
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
    const bytes = this.bytes ?? 1;
    this.#view.setUint32(0, 1, true);
    const result = immediate(this.thread.write(this.#fd, this.#memory.address, bytes), 'write');
    if (result === -ENOSYS) return false;
    // The device has gone: the next read says so.
    if (result !== -EIO) checkResult(result, 'write', this.path);
    return true;
  }

  #closeFd(): void {
    checkResult(this.thread.close(this.#fd), 'close', this.path);
  }
}

/** A node whose device has gone says EIO (N7). */
function failure(result: number): number {
  return result === -EIO ? -ENODEV : result;
}
