// Imported for what it does: `import '@usrdrv/emu/testing/vitest'` adds the matchers to vitest's expect.
import { expect } from 'vitest';
import { toHaveNoDmaReports, toHaveNoKernelWarnings, toHaveReleasedEverything } from './matchers.ts';

/** What `expect(machine)` can be asked. */
export interface MachineMatchers {
  /** No misuse of DMA so far (M6). Fails with each report, who mapped the memory, and who misused it. */
  toHaveNoDmaReports(): void;
  /** The kernel has complained about nothing so far: no unbalanced enable, no interrupt that nobody cared about (I4, I6). */
  toHaveNoKernelWarnings(): void;
  /**
   * Nothing is held any more, as after the backend was closed (U2): no file is open, no line claimed, no page pinned or
   * allocated, no function a bus master.
   */
  toHaveReleasedEverything(): void;
}

declare module 'vitest' {
  interface Matchers<T> extends MachineMatchers {}
}

expect.extend({ toHaveNoDmaReports, toHaveNoKernelWarnings, toHaveReleasedEverything });
