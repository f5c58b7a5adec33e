/**
 * A program of system calls, as plain data: JSON that any executor can run, on an emulated kernel or in a real one's
 * process. It contains no addresses and no descriptor numbers of a particular process:
 *
 * - A descriptor `fd` is counted from the first one that was free when the program started, so that 0 is what the first
 *   open returns (descriptors are always the lowest free one); -1 and numbers from {@link FOREIGN_FD} on are meant as
 *   they are.
 * - A {@link Pointer} names a place in the memory that the executor laid out before.
 * - Memory to be mapped for a device lies in one of {@link ARENAS} arenas of {@link ARENA_PAGES} pages, which stays where it
 *   is (MAP_FIXED) whatever is mapped in it. Arena 0 is mapped, readable and writable, when the program starts.
 * - A call that goes to sleep without a timeout is ended: by an interrupt of the device where `meanwhile` says `raise` and
 *   that wakes it, else by a signal.
 */
export interface Program {
  readonly calls: readonly Call[];
}

/** Descriptors from here on are not counted from the first free one, and never open. */
export const FOREIGN_FD = 100;
export const ARENAS = 3;
/** Pages of an arena that can be mapped; the one behind them never is. */
export const ARENA_PAGES = 4;

/**
 * Where a pointer points: `ok` to memory made for the purpose, `null`, `unmapped`, `kernel`, `straddle` to the last 2
 * bytes before unmapped memory, `readonly` to memory that cannot be written.
 */
export type Pointer = 'ok' | 'null' | 'unmapped' | 'kernel' | 'straddle' | 'readonly';

/** What happens once the call sleeps: the device interrupts (bit 0), or a signal arrives. */
export type Meanwhile = 'raise' | 'signal';

/** Who makes the call: the child that `fork` made, if it is set and there is one. */
interface Caller {
  readonly child?: boolean;
}

export type Call = Caller &
  (
    | { readonly call: 'open'; readonly path: 'irq' | 'missing'; readonly flags: number }
    | { readonly call: 'close' | 'dup' | 'getfl'; readonly fd: number }
    | { readonly call: 'setfl'; readonly fd: number; readonly flags: number }
    | {
        readonly call: 'read';
        readonly fd: number;
        readonly buf: Pointer;
        readonly count: number;
        readonly meanwhile: Meanwhile;
      }
    | { readonly call: 'write'; readonly fd: number; readonly buf: Pointer; readonly count: number }
    | {
        readonly call: 'poll';
        readonly fds: readonly { readonly fd: number; readonly events: number }[];
        readonly timeout: number;
        readonly meanwhile: Meanwhile;
      }
    | {
        readonly call: 'select';
        readonly read: readonly number[];
        readonly timeout: number;
        readonly meanwhile: Meanwhile;
      }
    | { readonly call: 'epoll_create1'; readonly flags: number }
    | {
        readonly call: 'epoll_ctl';
        readonly epfd: number;
        readonly op: number;
        readonly fd: number;
        readonly events: number;
      }
    | {
        readonly call: 'epoll_wait';
        readonly epfd: number;
        readonly maxevents: number;
        readonly timeout: number;
        readonly meanwhile: Meanwhile;
      }
    | { readonly call: 'mmap'; readonly arena: number; readonly length: number; readonly prot: number }
    | { readonly call: 'munmap'; readonly arena: number; readonly offset: number; readonly length: number }
    | {
        readonly call: 'usr_pci_open';
        readonly device: 'edu' | 'missing';
        readonly mask: 'default' | '28 bits' | '1 bit';
      }
    | {
        readonly call: 'usr_pci_get_consistent';
        readonly fd: number;
        readonly size: number;
        readonly vaddrp: Pointer;
        readonly dmaaddrp: Pointer;
      }
    | {
        readonly call: 'usr_pci_mmap';
        readonly fd: number;
        readonly mp: Pointer;
        readonly arena: number | 'consistent' | 'null';
        readonly offset: number;
        readonly size: number;
        readonly sglist: Pointer;
        readonly nents: number;
        readonly direction: number;
        /** The mapping is remembered under that number, for usr_pci_munmap. */
        readonly to: number;
      }
    | { readonly call: 'usr_pci_munmap'; readonly fd: number; readonly mp: Pointer; readonly mapping: number }
    | { readonly call: 'raise' | 'acknowledge'; readonly bits: number }
    | { readonly call: 'sigaction'; readonly handle: boolean }
    | { readonly call: 'kill' | 'fork' | 'exit' | 'observe' }
  );

/** The calls of one name. */
export type CallOf<N extends Call['call']> = Extract<Call, { readonly call: N }>;

/** Mappings that a program remembers. */
export const MAPPINGS = 3;

/** A program as lines: `2  read(fd 0, ok, 4)  raise meanwhile`. */
export function showProgram({ calls }: Program): string {
  return calls.map((call, at) => `${String(at).padStart(3)}  ${showCall(call)}`).join('\n');
}

export function showCall({ child = false, ...call }: Call): string {
  return `${child ? 'child: ' : ''}${text(call)}`;
}

function text({ call, ...args }: Omit<Call, 'child'> & { readonly meanwhile?: Meanwhile }): string {
  const { meanwhile, ...rest } = args;
  const shown = Object.entries(rest).map(([name, value]) => argument(name, value));
  return `${call}(${shown.join(', ')})${meanwhile === undefined ? '' : `, asleep: ${meanwhile}`}`;
}

function argument(name: string, value: unknown): string {
  if (name === 'flags') return `${name} 0${Number(value).toString(8)}`;
  if (name === 'events') return `${name} 0x${(Number(value) >>> 0).toString(16)}`;
  if (Array.isArray(value)) return `${name} [${value.map((each) => JSON.stringify(each)).join(' ')}]`;
  return `${name} ${String(value)}`;
}

/** A program in one line of letters, digits, - and _ (base64url of its JSON). */
export function encodeProgram(program: Program): string {
  const json = new TextEncoder().encode(JSON.stringify(program.calls));
  return btoa(String.fromCharCode(...json))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replace(/=+$/, '');
}

/**
 * @throws TypeError a token that encodes no program
 */
export function decodeProgram(token: string): Program {
  let calls: unknown;
  try {
    const json = atob(token.replaceAll('-', '+').replaceAll('_', '/'));
    calls = JSON.parse(new TextDecoder().decode(Uint8Array.from(json, (letter) => letter.charCodeAt(0))));
  } catch (error) {
    throw new TypeError(`'${token}' encodes no program`, { cause: error });
  }
  if (!Array.isArray(calls)) throw new TypeError(`'${token}' encodes no program`);
  return { calls: calls as Call[] };
}
