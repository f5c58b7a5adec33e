import { MachineFiles } from '../machine/machine-files.ts';
import { type Style, styleOf } from '../terminal.ts';
import { backendChecks } from './backends.ts';
import type { Check } from './check.ts';
import { checksOf } from './doctor.ts';
import { type IommuGroup, iommuGroups } from './iommu.ts';

/** `usrdrv doctor`: what this machine has for user-mode drivers, and what to do about the rest. */
export async function doctorCommand(o: { json?: boolean }): Promise<number> {
  const files = new MachineFiles();
  const checks = [...checksOf(files), ...(await backendChecks())];
  const groups = iommuGroups(files);
  if (o.json) process.stdout.write(`${JSON.stringify({ checks, groups }, undefined, 2)}\n`);
  else process.stdout.write(report(checks, groups, styleOf(process.stdout)));
  return 0;
}

function report(checks: readonly Check[], groups: readonly IommuGroup[], style: Style): string {
  const width = Math.max(...checks.map(({ id }) => id.length));
  const lines = checks.flatMap(({ id, state, found, remedy }) => {
    const paint = state === 'ok' ? style.green : state === 'missing' ? style.red : style.dim;
    const head = `${paint(state.padEnd(9))}  ${style.bold(id.padEnd(width))}  ${found}`;
    return remedy === undefined ? [head] : [head, `${' '.repeat(width + 13)}${style.dim(`-> ${remedy}`)}`];
  });
  for (const { group, type, functions } of groups) {
    const members = functions.map(({ address, driver }) => `${address} (${driver ?? 'no driver'})`);
    lines.push(`group ${group}${type === null ? '' : `, ${type}`}: ${members.join(', ')}`);
  }
  return `${lines.join('\n')}\n`;
}
