import { type ConfigSpace, checkConfigAccess } from '../config-space.ts';
import { checkResult, SystemError } from '../errors.ts';
import { closed } from '../open-resources.ts';
import { O_CLOEXEC, O_RDWR, SEEK_END, SEEK_SET, type UserThread } from '../user-mode-kernel.ts';
import { type AnonymousMemory, immediate } from './user-memory.ts';

/** Configuration space through its file in sysfs, which holds the header little-endian as the bus does. */
export class UserModeConfigSpace implements ConfigSpace {
  readonly length: 256 | 4096;
  readonly #thread: UserThread;
  readonly #path: string;
  readonly #buffer: AnonymousMemory;
  readonly #view: DataView;
  #fd: number;

  /**
   * @param buffer what the system calls copy through: its first four bytes
   * @throws SystemError of the open(2)
   */
  constructor(thread: UserThread, path: string, buffer: AnonymousMemory) {
    this.#thread = thread;
    this.#path = path;
    this.#buffer = buffer;
    this.#view = buffer.view();
    this.#fd = checkResult(thread.open(path, O_RDWR | O_CLOEXEC), 'open', path);
    this.length = thread.lseek(this.#fd, 0, SEEK_END) >= 4096 ? 4096 : 256;
  }

  read8(offset: number): number {
    this.#read(offset, 1);
    return this.#view.getUint8(0);
  }

  read16(offset: number): number {
    this.#read(offset, 2);
    return this.#view.getUint16(0, true);
  }

  read32(offset: number): number {
    this.#read(offset, 4);
    return this.#view.getUint32(0, true);
  }

  write8(offset: number, value: number): void {
    checkConfigAccess(this, offset, 1, value);
    this.#view.setUint8(0, value);
    this.#write(offset, 1);
  }

  write16(offset: number, value: number): void {
    checkConfigAccess(this, offset, 2, value);
    this.#view.setUint16(0, value, true);
    this.#write(offset, 2);
  }

  write32(offset: number, value: number): void {
    checkConfigAccess(this, offset, 4, value);
    this.#view.setUint32(0, value, true);
    this.#write(offset, 4);
  }

  close(): void {
    if (this.#fd < 0) return;
    const fd = this.#fd;
    this.#fd = -1;
    checkResult(this.#thread.close(fd), 'close', this.#path);
  }

  #read(offset: number, width: number): void {
    checkConfigAccess(this, offset, width);
    this.#seek('read', offset);
    const count = immediate(this.#thread.read(this.#fd, this.#buffer.address, width), 'read');
    this.#whole('read', count, width);
  }

  #write(offset: number, width: number): void {
    this.#seek('write', offset);
    const count = immediate(this.#thread.write(this.#fd, this.#buffer.address, width), 'write');
    this.#whole('write', count, width);
  }

  #seek(syscall: string, offset: number): void {
    if (this.#fd < 0) throw closed(syscall, this.#path);
    checkResult(this.#thread.lseek(this.#fd, offset, SEEK_SET), 'lseek', this.#path);
  }

  #whole(syscall: string, count: number, width: number): void {
    if (checkResult(count, syscall, this.#path) === width) return;
    throw new SystemError('EIO', syscall, { path: this.#path, detail: `${count} of ${width} bytes` });
  }
}
