import type { Strategy } from './strategy.ts';
import type { Tape } from './token.ts';

/** One run: the one that a tape has recorded. An empty tape is the calm run. */
export class Replay implements Strategy {
  readonly name: string;
  readonly bound = 'one run';
  exhausted = false;
  /** Entries of the tape that the run came to. */
  used = 0;

  constructor(private tape: Tape) {
    this.name = tape.size === 0 ? 'calm' : 'replay';
  }

  /** One more run, of another tape. */
  next(tape: Tape): void {
    this.tape = tape;
    this.exhausted = false;
    this.used = 0;
  }

  begin(): boolean {
    if (this.exhausted) return false;
    this.exhausted = true;
    return true;
  }

  stays(at: number): boolean {
    return !this.tape.has(at);
  }

  schedule(at: number): number {
    return this.pick(at);
  }

  pick(at: number): number {
    const way = this.tape.get(at);
    if (way === undefined) return 0;
    this.used++;
    return way;
  }
}
