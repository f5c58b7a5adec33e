import { Commands, EDU, printedChecks, usrdrvShell } from './commands.ts';
import { checksumExample, ledExample } from './examples.ts';
import type { NodeGuest } from './node-guest.ts';
import type { Check } from './suite.ts';

const RECORD = `/run/usrdrv/bind/${EDU}.json`;
const WHY_NO_DMA = /UIO gives no bus addresses/;

/**
 * An edu device goes to uio_pci_generic and back, by `usrdrv bind`: what that prints, refuses and leaves behind, what doctor
 * makes of it, and what works meanwhile.
 */
export async function uioChecks(guest: NodeGuest): Promise<Check[]> {
  const commands = new Commands();
  const shell = usrdrvShell(guest);

  await commands.refuses(
    'uio has nothing yet, and says what to do',
    shell('usrdrv lspci --backend uio'),
    /^usrdrv: ENODEV.*no function has a UIO node; .* bind ADDRESS --to uio_pci_generic/m,
  );
  await commands.expects(
    'usrdrv bind --dry-run prints what it would write, and writes nothing',
    shell(`usrdrv bind ${EDU} --to uio_pci_generic --dry-run && [ ! -e /sys/bus/pci/devices/${EDU}/driver ]`),
    /^echo uio_pci_generic > \S*driver_override\necho 0000:01:00\.0 > \S*uio_pci_generic\/bind$/m,
  );
  await commands.expects(
    'usrdrv bind --json gives it to uio_pci_generic, and remembers',
    shell(`usrdrv bind ${EDU} --to uio_pci_generic --json && ${cat(RECORD)}`),
    /"from": null,\n +"to": "uio_pci_generic",\n +"done": true/,
    /^\{"driver":null,"driverOverride":null,"to":"uio_pci_generic"\}$/m,
  );
  await commands.expects(
    'usrdrv doctor --json knows the node, and that uio can be used',
    shell('usrdrv doctor --json'),
    /"id": "uio",[^}]*"state": "ok"/,
    /"id": "uio-devices",[^}]*"found": "\/dev\/uio0"/,
    /"id": "backend-uio",[^}]*"state": "ok"/,
    /"address": "0000:01:00\.0",\n +"driver": "uio_pci_generic"/,
  );
  await commands.refuses(
    'usrdrv bind refuses what a program has open, and says which',
    shell(`/bin/busybox sleep 60 <>/dev/uio0 & usrdrv bind ${EDU} --to none; status=$?; kill $!; exit $status`),
    /EBUSY.*busybox \(process \d+\) has \/dev\/uio0 open/,
  );
  commands.checks.push(...(await printedChecks(guest, 'uio')));
  await commands.expects(
    'usrdrv demo edu over uio',
    shell('usrdrv demo edu --backend uio'),
    /^edu at 0000:01:00\.0, interrupts by INTx, on Linux 6\.1\.\S* by uio$/m,
    WHY_NO_DMA,
    /^12! = 479,001,600\ninterrupts +\d+ taken$/m,
  );
  await commands.expects(
    'usrdrv irq over uio',
    shell(watched),
    /\+1 {2}total 1\n.*total 2\n.*total 3\n\/proc\/interrupts: \d+:.*uio_pci_generic/,
  );
  await ledExample(commands, guest, 'uio');
  await commands.refuses(
    'examples/checksum says that uio has no DMA',
    shell('/bin/node /usrdrv/bin/checksum.mjs --backend uio'),
    WHY_NO_DMA,
  );
  await commands.expects(
    'usrdrv unbind --json gives it back, and forgets',
    shell(`usrdrv unbind ${EDU} --json && [ ! -e ${RECORD} ] && [ ! -e /sys/bus/pci/devices/${EDU}/driver ]`),
    /"from": "uio_pci_generic",\n +"to": null,\n +"done": true/,
  );
  await checksumExample(commands, guest, 'usrdrv');
  await ledExample(commands, guest, 'usrdrv');
  return commands.checks;
}

/** Watches a line that its device raises and does not let go: uio masks it at the device, so one count a read. */
const watched = `
  cd /sys/bus/pci/devices/${EDU}; read bar end flags <resource
  /bin/busybox devmem $((bar + 0x60)) 32 1
  usrdrv irq $(${cat('irq')}) --count 3 --backend uio; status=$?
  /bin/busybox devmem $((bar + 0x64)) 32 1
  exit $status`;

function cat(path: string): string {
  return `/bin/busybox cat ${path}`;
}
