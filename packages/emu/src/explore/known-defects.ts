import type { Violation } from './invariants.ts';

/**
 * Which of the known defects of the 2005 code a failure is: a name for what was found, for people to read. Nothing looks
 * for it; the invariants know no defect.
 */
export function knownDefect(scenario: string, { invariant, step, what }: Violation): string | undefined {
  switch (invariant) {
    case 'counts are not negative':
      return 'D1';
    case 'masked while pending':
      // The handler has masked the line, and not yet counted, when somebody lets it through again.
      return step === 'H2' ? 'D4' : 'D3';
    case 'no kernel warning':
      return 'D5';
    case 'mask depth is balanced':
      return 'D6';
    case 'EAGAIN is true':
      return 'D7';
    case 'interrupts are conserved':
      return 'D9';
    case 'nobody sleeps for ever':
      if (scenario === 'epoll-edge') return 'D8';
      return scenario === 'epoll-level' ? 'D15' : 'D2';
    case 'no DMA misuse':
      return what.includes('nothing was ever mapped at 0x0') ? 'UD4' : undefined;
    case 'the scenario passes':
      if (what.startsWith('EBUSY') && step === 'pci.enable') return 'UD9';
      return /still holds \d+ page frames?/.test(what) ? 'UD11' : undefined;
    default:
      return undefined;
  }
}
