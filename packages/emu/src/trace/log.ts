import type { VirtualClock } from '../machine/clock.ts';

/** What happened, named as the kernel or the bus names it. */
export type TraceKind =
  | 'raise'
  | 'lower'
  | 'message'
  | 'mask'
  | 'unmask'
  | 'handler'
  | 'count'
  | 'wake'
  | 'read'
  | 'sleep'
  | 'acknowledge'
  | 'mmio-read'
  | 'mmio-write'
  | 'dma-read'
  | 'dma-write'
  | 'map'
  | 'unmap'
  | 'warning';

/** One line of the log. */
export interface TraceEvent {
  /** Virtual nanoseconds. */
  readonly time: number;
  readonly kind: TraceKind;
  /** The interrupt line or vector, where there is one. */
  readonly irq: number | undefined;
  /** Who: `cpu0`, `tid 100`, a device. */
  readonly who: string;
  readonly detail: string;
}

/** The one event log of a machine. Off, it costs a test of `on`. */
export class TraceLog {
  on = false;
  readonly events: TraceEvent[] = [];
  /** Hears of each event when it happens. */
  onEvent: ((event: TraceEvent) => void) | undefined = undefined;

  constructor(private readonly clock: VirtualClock) {}

  emit(kind: TraceKind, irq: number | undefined, who: string, detail = ''): void {
    const event = { time: this.clock.now, kind, irq, who, detail };
    this.events.push(event);
    this.onEvent?.(event);
  }
}
