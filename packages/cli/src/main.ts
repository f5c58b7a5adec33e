import { readFileSync } from 'node:fs';
import { RULES, type RuleId } from '@usrdrv/conformance';
import { PciAddress } from '@usrdrv/core';
import { parseToken } from '@usrdrv/emu';
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { BACKENDS, KERNELS, openHost } from './backends.ts';
import { TARGETS } from './bind/bind.ts';
import { bindCommand, unbindCommand } from './bind/command.ts';
import { conformance } from './conformance.ts';
import { demoEdu } from './demo-edu.ts';
import { doctorCommand } from './doctor/command.ts';
import { exploreCommand, replayCommand, type Shard, STRATEGIES } from './explore.ts';
import { watchIrq } from './irq.ts';
import { lspci } from './lspci.ts';
import { mergeCommand } from './merge.ts';
import { findScenario } from './scenarios.ts';

// Exit codes: 0 done, 1 it failed, 2 it was called wrongly.

// From src and from dist alike.
const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));

const program = new Command('usrdrv')
  .description('User-mode PCI drivers: on an emulated machine in this process, or on this machine.')
  .version(version)
  .helpCommand(false)
  .showHelpAfterError('(--help shows what can be said)')
  .exitOverride();

on(program.command('lspci'))
  .description('list the PCI functions: address, ids, class, irq, BARs')
  .action(async (o) => {
    using host = await openHost(o);
    process.stdout.write(lspci(host));
  });

const demo = program.command('demo').description('drive a device').helpCommand(false);
on(demo.command('edu'))
  .description('send a file through the edu device and back by DMA, a block and an interrupt at a time')
  .option('--input <file>', 'the file (default: the LICENSE of usrdrv)')
  .option('--msi', 'interrupts by MSI instead of the INTx line')
  .action(async (o) => {
    using host = await openHost(o);
    process.exitCode = await demoEdu(host, o);
  });

on(program.command('irq'))
  .description('watch an interrupt line: what each read of its count returns')
  .argument('<line>', 'the kernel’s number: the N of /proc/irq/N/irq', integer(0))
  .option('--count <n>', 'stop after so many reads', integer(1), 10)
  .option('--every <ms>', 'emu: the line is pulsed each time so many virtual milliseconds have passed', integer(1), 100)
  .action(async (line, o) => {
    using host = await openHost(o);
    await watchIrq(host, line, o);
  });

on(program.command('conformance'))
  .description('check every rule that the kernel has to follow')
  .option('--json', 'print a JSON array with a row for each rule')
  .option('--msi', 'where drivers take interrupts, by MSI instead of the INTx line')
  .option('--rules <ids>', 'only these: P9,D7', rules)
  .option(
    '--progress',
    'print the name of each case to standard error before it runs: the last one is the one that hangs',
  )
  .action(async (o) => {
    process.exitCode = await conformance(o);
  });

program
  .command('explore')
  .description('run a scenario, of threads or of whole drivers, in every order, and show what goes wrong')
  .addOption(kernelOption())
  .option('--scenario <name>', 'which one, or all', known(findScenario, 'all'), 'all')
  .addOption(new Option('--strategy <name>', 'how runs are chosen').choices(STRATEGIES).default('exhaustive'))
  .option(
    '--bound <n>',
    'exhaustive: preemptions in a run (of whole drivers: deviations, at most 1); delay: deviations; pct: depth - 1',
    integer(0),
    2,
  )
  .option('--runs <n>', 'runs of a scenario at most', integer(1), 1_000_000)
  .option('--seed <n>', 'random, pct: where chance starts', integer(0), 1)
  .option('--json', 'print a JSON array with an object for each scenario')
  .option('--shard <i/n>', 'only part i, from 0, of n: what n processes or machines share', shard)
  .action(async (o) => {
    process.exitCode = await exploreCommand(o);
  });

program
  .command('replay')
  .description('have runs again, and show them step by step')
  .argument('<tokens...>', 'what explore printed: emu1:<kernel>:<scenario>:<tape>', tokens)
  .option('--vcd <file>', 'write the last one as a value change dump, for GTKWave')
  .option('--perfetto <file>', 'write the last one as a trace for ui.perfetto.dev')
  .action(async (tokens, o) => {
    process.exitCode = await replayCommand(tokens, o);
  });

program
  .command('merge')
  .description('put the results of all shards together: what explore --json printed')
  .argument('<files...>', 'one for each shard')
  .action((files) => {
    process.exitCode = mergeCommand(files);
  });

program
  .command('doctor')
  .description('what this machine has for user-mode drivers, and what to do about the rest')
  .option('--json', 'print a JSON object')
  .action(async (o) => {
    process.exitCode = await doctorCommand(o);
  });

program
  .command('bind')
  .description('give PCI functions of this machine to a driver that hands them to programs')
  .argument('<addresses...>', 'which ones: 0000:00:04.0; those that share an IOMMU group at once', addresses)
  .addOption(new Option('--to <driver>', 'which driver').choices(TARGETS))
  .option('--dry-run', 'print what would be written where, and write nothing')
  .option('--json', 'print a JSON array with an object for each function')
  .action((which, o) => {
    process.exitCode = bindCommand(which, o);
  });

program
  .command('unbind')
  .description('give a PCI function back to the driver that it had before bind')
  .argument('<address>', 'which one', known(PciAddress.parse))
  .option('--dry-run', 'print what would be written where, and write nothing')
  .option('--json', 'print a JSON array with an object')
  .action((address, o) => {
    process.exitCode = unbindCommand(address, o);
  });

/** The options that every command has. */
function on(command: Command): Command {
  return command
    .addOption(
      new Option('--backend <name>', 'where to run: an emulated machine, or this one by @usrdrv/native')
        .choices(BACKENDS)
        .default('emu'),
    )
    .addOption(kernelOption());
}

function kernelOption(): Option {
  return new Option('--kernel <profile>', 'which kernel is emulated').choices(KERNELS).default('usrdrv-6.1');
}

function rules(text: string): RuleId[] {
  return text.split(',').map((id) => {
    if (!isRule(id)) throw new InvalidArgumentError(`There is no rule ${id}.`);
    return id;
  });
}

function isRule(id: string): id is RuleId {
  return id in RULES;
}

function shard(text: string): Shard {
  const [, index, of] = /^(\d{1,6})\/(\d{1,6})$/.exec(text) ?? [];
  const parsed = { index: Number(index), of: Number(of) };
  if (!(parsed.index < parsed.of)) throw new InvalidArgumentError('It is i/n, with 0 <= i < n.');
  return parsed;
}

/** Refuses what `find` does not find. */
function known(find: (text: string) => unknown, besides?: string): (text: string) => string {
  return (text) => {
    try {
      if (text !== besides) find(text);
    } catch (error) {
      if (error instanceof RangeError || error instanceof TypeError) throw new InvalidArgumentError(error.message);
      throw error;
    }
    return text;
  };
}

function addresses(text: string, before: readonly string[] = []): string[] {
  return [...before, known(PciAddress.parse)(text)];
}

function tokens(text: string, before: readonly string[] = []): string[] {
  return [...before, known(tokenOfScenario)(text)];
}

function tokenOfScenario(text: string): unknown {
  return findScenario(parseToken(text).scenario);
}

function integer(min: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < min || !Number.isSafeInteger(value)) {
      throw new InvalidArgumentError(`It is an integer from ${min}.`);
    }
    return value;
  };
}

/** What failed, in a line; the stack too where it is nobody's fault but ours. */
function explain(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return 'code' in error ? error.message : (error.stack ?? error.message);
}

// Whoever reads may have read enough: `usrdrv lspci | head -1`.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit(0);
});

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    // Commander has said what was wrong, or has shown the help that was asked for.
    process.exitCode = error.exitCode === 0 ? 0 : 2;
  } else {
    process.stderr.write(`usrdrv: ${explain(error)}\n`);
    process.exitCode = 1;
  }
}
