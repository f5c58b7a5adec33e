/** One thing that user-mode drivers need, and how this machine stands. */
export interface Check {
  readonly id: string;
  readonly about: string;
  readonly state: 'ok' | 'missing' | 'not known';
  /** What is there, or why that cannot be said. */
  readonly found: string;
  /** What to do about it, where there is something to do. */
  readonly remedy?: string;
}

type Finding = Omit<Check, 'id' | 'about'>;

export function ok(found: string, remedy?: string): Finding {
  return { state: 'ok', found, ...(remedy === undefined ? {} : { remedy }) };
}

export function missing(found: string, remedy: string): Finding {
  return { state: 'missing', found, remedy };
}

export function notKnown(found: string, remedy?: string): Finding {
  return { state: 'not known', found, ...(remedy === undefined ? {} : { remedy }) };
}

export type { Finding };
