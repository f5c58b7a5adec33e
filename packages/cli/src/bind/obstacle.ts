import { type ErrnoCode, SystemError } from '@usrdrv/core';

/** Why a function is not bound, and what to do about it. */
export interface Obstacle {
  readonly code: ErrnoCode;
  readonly what: string;
  readonly remedy: string;
}

/** Nothing has been changed: each of the obstacles was in the way. */
export class BindRefused extends SystemError {
  readonly obstacles: readonly Obstacle[];

  /** @param obstacles at least one; the error's code is that of the first */
  constructor(syscall: 'bind' | 'unbind', address: string, obstacles: readonly Obstacle[]) {
    const detail = obstacles.map(({ what, remedy }) => `${what}: ${remedy}`).join('; ');
    super(obstacles[0]?.code ?? 'EBUSY', syscall, { path: address, detail });
    this.obstacles = obstacles;
  }
}
