import { SystemError } from './errors.ts';

/** Something that is given back by name. */
export interface Closeable {
  close(): void;
}

/** What somebody opened and has not closed yet. A resource takes itself out as it closes. */
export class OpenResources<T extends Closeable> {
  readonly #open = new Set<T>();

  get size(): number {
    return this.#open.size;
  }

  add<R extends T>(resource: R): R {
    this.#open.add(resource);
    return resource;
  }

  delete(resource: T): void {
    this.#open.delete(resource);
  }

  has(resource: T): boolean {
    return this.#open.has(resource);
  }

  /** Closes all, the newest first, as {@link closeEach} does. */
  closeAll(): void {
    closeEach([...this.#open].reverse());
  }
}

/** Closes in this order. One that fails does not keep the rest open: the first failure is thrown at the end. */
export function closeEach(resources: Iterable<Closeable>): void {
  const failures: unknown[] = [];
  for (const resource of resources) {
    try {
      resource.close();
    } catch (failure) {
      failures.push(failure);
    }
  }
  if (failures.length > 0) throw failures[0];
}

/** The error of everything that is used after it was closed. */
export function closed(syscall: string, path?: string): SystemError {
  return new SystemError('EBADF', syscall, { ...(path !== undefined && { path }), detail: 'closed' });
}
