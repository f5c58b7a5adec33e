import {
  type Call,
  decodeProgram,
  encodeProgram,
  type Program,
  predict,
  programs,
  runProgram,
  showCall,
} from '@usrdrv/conformance/programs';
import { emulatedTarget, endTarget } from '@usrdrv/emu/bench';
import fc from 'fast-check';
import type { Guest } from '../guest.ts';
import { decodeLogs, encodeForGuest } from './encode.ts';
import { shrink } from './shrink.ts';

const PROFILE = 'usrdrv-6.1';
/** Programs in one request: enough that the channel costs nothing, and a guest that hangs is noticed soon. */
const BATCH = 250;

export interface RandomPrograms {
  readonly runs: number;
  readonly seed: number;
  /** System calls in the longest. */
  readonly length: number;
  readonly progress?: (done: number) => void;
}

/** Programs that ran alike; and, smallest first found, those that did not, as text. */
export interface ProgramsReport {
  readonly agreed: number;
  readonly calls: number;
  readonly differences: readonly string[];
}

/** Looks for more than one, but not for ever. */
const MOST_DIFFERENCES = 5;

/** Boots a guest as soon as there is room for it, and ends it when the work in it is done. */
export type Seat = (work: (guest: Guest) => Promise<void>) => Promise<void>;

/**
 * Runs random programs on the emulated and on the real kernel, and compares what each call returned. Each guest runs its
 * next programs while those before them are compared.
 */
export async function checkRandomPrograms(seats: readonly Seat[], options: RandomPrograms): Promise<ProgramsReport> {
  const { runs, seed, length, progress } = options;
  const differences = new Map<string, string>();
  let [begun, done, calls, agreed] = [0, 0, 0, 0];

  const begin = (guest: Guest): Sent | undefined => {
    if (begun >= runs || differences.size >= MOST_DIFFERENCES) return undefined;
    const sent = batch(seed, begun, runs, length);
    begun += sent.length;
    const answer = send(guest, sent);
    // Whoever awaits it hears of it; it may fail before.
    answer.catch(() => undefined);
    return { programs: sent, answer };
  };
  const compare = async (guest: Guest, program: Program, real: readonly string[]): Promise<void> => {
    calls += program.calls.length;
    const emulated = await runEmulated(program.calls);
    if (same(emulated, real)) {
      agreed++;
    } else if (differences.size < MOST_DIFFERENCES) {
      const [smallest, text] = await smallestDifference(guest, program, show(program, emulated, real));
      differences.set(encodeForGuest(smallest), `${text}\nprogram ${encodeProgram(smallest)}`);
    }
  };
  const keepBusy = async (guest: Guest): Promise<void> => {
    let ahead = begin(guest);
    for (let sent = ahead; sent !== undefined; sent = ahead) {
      ahead = begin(guest);
      const real = await sent.answer;
      for (const [at, program] of sent.programs.entries()) await compare(guest, program, real[at] ?? []);
      done += sent.programs.length;
      progress?.(done);
    }
  };
  await Promise.all(seats.map((seat) => seat(keepBusy)));
  return { agreed, calls, differences: [...differences.values()] };
}

/** Programs that a guest runs. */
interface Sent {
  readonly programs: readonly Program[];
  readonly answer: Promise<string[][]>;
}

/** Runs one program on both: its timeline, with both results where they differ. */
export async function replayProgram(guest: Guest, token: string): Promise<string> {
  const program = decodeProgram(token);
  const [real = []] = await send(guest, [program]);
  return show(program, await runEmulated(program.calls), real);
}

/** Shrinks a program, and shows both timelines of what is left; or, where it does not happen again, those of the first. */
async function smallestDifference(guest: Guest, program: Program, first: string): Promise<readonly [Program, string]> {
  if (!(await differs(guest, program))) return [program, `${first}\n(it did not happen again)`];
  const smallest = await shrink(program, (candidate) => differs(guest, candidate));
  const [real = []] = await send(guest, [smallest]);
  return [smallest, show(smallest, await runEmulated(smallest.calls), real)];
}

/** Each call with its result, or where they differ with both. */
function show(program: Program, emulated: readonly string[], real: readonly string[]): string {
  const lines = program.calls.map((call, at) => {
    const [emu = 'nothing', is = 'nothing'] = [emulated[at], real[at]];
    const line = `${String(at).padStart(3)}  ${showCall(call)}`;
    return emu === is ? `${line}${emu === '' ? '' : ` = ${emu}`}` : `${line}    <-- emu ${emu}, real ${is}`;
  });
  return [...lines, ...real.slice(program.calls.length)].join('\n');
}

function batch(seed: number, done: number, runs: number, maxLength: number): Program[] {
  const numRuns = Math.min(BATCH, runs - done);
  return fc.sample(programs({ maxLength }), { seed: seed + done, numRuns }).map((program) => ({
    calls: predict({ calls: program.calls }, PROFILE).calls,
  }));
}

async function send(guest: Guest, sent: readonly Program[]): Promise<string[][]> {
  const logs = decodeLogs(await guest.request('programs', sent.map(encodeForGuest).join('')));
  if (logs.length !== sent.length) throw new Error(`the guest ran ${logs.length} of ${sent.length} programs`);
  return logs;
}

async function differs(guest: Guest, program: Program): Promise<boolean> {
  const [real = []] = await send(guest, [program]);
  return !same(await runEmulated(program.calls), real);
}

async function runEmulated(calls: readonly Call[]): Promise<string[]> {
  const target = emulatedTarget(PROFILE);
  try {
    return await runProgram(target, calls);
  } finally {
    endTarget(target);
  }
}

function same(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((entry, at) => entry === b[at]);
}
