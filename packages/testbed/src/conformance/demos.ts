import { Commands } from './commands.ts';
import type { NodeGuest } from './node-guest.ts';
import type { Check } from './suite.ts';

/** The command line with `--backend usrdrv`: the same commands and the same output as on emu. */
export async function demoChecks(guest: NodeGuest): Promise<Check[]> {
  const commands = new Commands();
  const on = ['--backend', 'usrdrv'];

  const listed = await commands.expects(
    'usrdrv lspci',
    guest.run('usrdrv', 'lspci', ...on),
    /^0000:[0-9a-f]{2}:00\.0 1234:11e8 class 00ff00 irq \d+\n {4}BAR 0: memory at 0x[0-9a-f]{8}, 1 MiB/m,
  );
  for (const options of [[], ['--msi']]) {
    await commands.expects(
      ['usrdrv demo edu', ...options].join(' '),
      guest.run('usrdrv', 'demo', 'edu', ...on, ...options),
      /LICENSE\nthrough edu at 0000:[0-9a-f]{2}:00\.0, interrupts by (INTx|MSI), on Linux 6\.1\./,
      /^sent +[0-9a-f]{64} {2}SHA-256 of [\d,]+ bytes\ncame back +[0-9a-f]{64} +the same$/m,
      /^interrupts +\d+ taken$/m,
      /^time +[\d.]+ m?s real$/m,
    );
  }
  const [, irq = '', bar = ''] = /1234:11e8 .* irq (\d+)\n.*at (0x[0-9a-f]+)/.exec(listed) ?? [];
  await commands.expects(
    'usrdrv irq',
    guest.shell(watched(irq, Number(bar))),
    new RegExp(`^irq ${irq} on Linux 6\\.1\\.`),
    new RegExp(
      `^ +[\\d.]+ s {2}irq ${irq} {2}\\+1 {2}total 1\\n.*total 2\\n.*total 3\\n/proc/interrupts: ${irq}:`,
      'm',
    ),
  );
  return commands.checks;
}

/**
 * Watches a line that its device raises as soon as somebody has claimed it, and does not let go: one count a read (P13). In
 * QEMU a line that falls while nobody has it interrupts falsely from then on, so in the end it rises and falls while it is open.
 */
function watched(irq: string, bar: number): string {
  return `
    (until grep -q "^ *${irq}:.* node" /proc/interrupts; do busybox usleep 50000; done; busybox devmem ${bar + 0x60} 32 1) &
    /bin/node /usrdrv/bin/usrdrv.mjs irq ${irq} --count 3 --backend usrdrv; status=$?
    busybox devmem ${bar + 0x64} 32 1
    for file in /proc/irq/${irq}/irq /dev/usrdrv/irq/${irq}; do [ -e $file ] && break; done
    (exec 3<$file; busybox devmem ${bar + 0x60} 32 1; busybox usleep 50000; busybox devmem ${bar + 0x64} 32 1; busybox usleep 50000)
    exit $status`
    .replaceAll('busybox', '/bin/busybox')
    .replaceAll('grep', '/bin/busybox grep');
}
