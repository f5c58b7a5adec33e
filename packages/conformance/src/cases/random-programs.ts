import type { Case } from '../case.ts';

/** Programs that nobody thought of. */
export const randomProgramCases: readonly Case[] = [
  {
    id: 'programs',
    level: 'syscall',
    title: 'random programs of system calls return what the model says',
    needs: ['edu', 'fork', 'signals'],
    run: (t) => t.checkPrograms(),
  },
];
