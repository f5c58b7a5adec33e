import { MachineFiles } from '../machine/machine-files.ts';
import { type BindPlan, bind, type Plan, planBind, planUnbind, type Target, unbind } from './bind.ts';
import { BindRefused } from './obstacle.ts';
import { shellLine } from './writes.ts';

export interface BindOptions {
  readonly to?: Target;
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

/**
 * `usrdrv bind`: gives functions to a driver that hands them to programs.
 * @returns the exit code: 1 where something is in the way
 */
export function bindCommand(addresses: readonly string[], o: BindOptions): number {
  const files = new MachineFiles();
  const plans = planBind(files, addresses, o.to);
  return run('bind', plans, o, () => bind(files, plans));
}

/** `usrdrv unbind`: gives a function back to the driver that it had. */
export function unbindCommand(address: string, o: BindOptions): number {
  const files = new MachineFiles();
  const plan = planUnbind(files, address);
  return run('unbind', [plan], o, () => unbind(files, plan));
}

function run(command: 'bind' | 'unbind', plans: readonly (Plan | BindPlan)[], o: BindOptions, act: () => void): number {
  const blocked = plans.filter(({ obstacles }) => obstacles.length > 0);
  if (o.json) {
    if (o.dryRun !== true && blocked.length === 0) act();
    const done = o.dryRun !== true && blocked.length === 0;
    process.stdout.write(
      `${JSON.stringify(
        plans.map((plan) => asJson(plan, done)),
        undefined,
        2,
      )}\n`,
    );
  } else if (blocked.length === 0 && o.dryRun) {
    for (const plan of plans) process.stdout.write(lines(command, plan));
  } else if (blocked.length === 0) {
    act();
    for (const { address, from, to, writes } of plans) {
      const what =
        writes.length === 0 ? `is with ${to ?? 'no driver'} already` : `${from ?? 'no driver'} -> ${to ?? 'no driver'}`;
      process.stdout.write(`${address}  ${what}\n`);
    }
  }
  for (const { address, obstacles } of blocked) {
    process.stderr.write(`usrdrv: ${new BindRefused(command, address, obstacles).message}\n`);
  }
  return blocked.length === 0 ? 0 : 1;
}

function asJson({ address, from, to, writes, record, obstacles }: Plan, done: boolean) {
  return { address, from, to, done, writes: writes.map(({ path, value }) => ({ path, value })), record, obstacles };
}

/** What would be done, for people and for a shell. */
function lines(command: 'bind' | 'unbind', { address, from, to, writes, record }: Plan): string {
  const head = `# ${address}: ${from ?? 'no driver'} -> ${to ?? 'no driver'}`;
  const kept = command === 'bind' ? `# ${from ?? 'no driver'} is remembered in ${record}` : `# ${record} is removed`;
  return `${[head, ...writes.map(shellLine), ...(writes.length > 0 || command === 'unbind' ? [kept] : [])].join('\n')}\n`;
}
