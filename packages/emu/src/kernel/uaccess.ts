import type { MemoryTarget, Vma } from './vma.ts';
import { TASK_SIZE, type VmaTree } from './vma-tree.ts';

/** access_ok(): the range lies in user space; whether anything is mapped there is another question. */
export function accessOk(start: number, count: number): boolean {
  return start >= 0 && start + count <= TASK_SIZE;
}

/** copy_to_user(). False is EFAULT, and nothing has been copied. A mapping of device memory is no place to copy to here. */
export function copyToUser(vmas: VmaTree, start: number, bytes: Uint8Array): boolean {
  if (!isMemory(vmas, start, bytes.length, true)) return false;
  forEachPart(vmas, start, bytes.length, ({ backing }, offset, done, length) => {
    backing.touch(offset, length);
    backing.bytes.set(bytes.subarray(done, done + length), offset);
  });
  return true;
}

/** copy_from_user(): a copy of the bytes, or undefined for EFAULT. */
export function copyFromUser(vmas: VmaTree, start: number, length: number): Uint8Array<ArrayBuffer> | undefined {
  if (!isMemory(vmas, start, length, false)) return undefined;
  const bytes = new Uint8Array(length);
  forEachPart(vmas, start, length, ({ backing }, offset, done, part) => {
    bytes.set(backing.bytes.subarray(offset, offset + part), done);
  });
  return bytes;
}

/** put_user() of an int. False is EFAULT. */
export function putInt32(vmas: VmaTree, start: number, value: number): boolean {
  const vma = vmas.find(start);
  if (vma === undefined || !vma.writable || vma.target.kind !== 'memory' || start + 4 > vma.end) {
    return putBytes(vmas, start, value);
  }
  const { backing, offset } = vma.target;
  const at = offset + start - vma.start;
  if (backing.untouched > 0) backing.touch(at, 4);
  backing.view.setInt32(at, value, true);
  return true;
}

/** Where the int is across a border, or nowhere. */
function putBytes(vmas: VmaTree, start: number, value: number): boolean {
  return copyToUser(vmas, start, new Uint8Array(new Int32Array([value]).buffer));
}

/** Whether every byte of a range is mapped memory that can be written, or read. */
function isMemory(vmas: VmaTree, start: number, length: number, write: boolean): boolean {
  if (!accessOk(start, length)) return false;
  for (let at = start; at < start + length; ) {
    const vma = vmas.find(at);
    if (vma?.target.kind !== 'memory' || !(write ? vma.writable : vma.readable)) return false;
    at = vma.end;
  }
  return true;
}

type Part = (target: MemoryTarget, offset: number, done: number, length: number) => void;

/** Calls back for the part of a range in each mapping; the range has been checked. */
function forEachPart(vmas: VmaTree, start: number, length: number, part: Part): void {
  for (let done = 0; done < length; ) {
    const vma: Vma | undefined = vmas.find(start + done);
    if (vma?.target.kind !== 'memory') throw new Error('BUG: a range that was checked is not mapped');
    const here = Math.min(length - done, vma.end - start - done);
    part(vma.target, vma.target.offset + start + done - vma.start, done, here);
    done += here;
  }
}
