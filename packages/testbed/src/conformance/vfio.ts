import { Commands, EDU, usrdrvShell } from './commands.ts';
import { checksumExample, ledExample } from './examples.ts';
import type { NodeGuest } from './node-guest.ts';
import type { Check } from './suite.ts';

/** An edu device goes to vfio-pci and back, by `usrdrv bind`: what doctor makes of it, and what works meanwhile. */
export async function vfioChecks(guest: NodeGuest): Promise<Check[]> {
  const commands = new Commands();
  const shell = usrdrvShell(guest);

  await commands.expects(
    'usrdrv bind gives it to vfio-pci, and doctor knows the group',
    shell(`usrdrv bind ${EDU} --to vfio-pci && usrdrv doctor --json`),
    /"id": "vfio",[^}]*"state": "ok"/,
    /"id": "vfio-groups",[^}]*"found": "\/dev\/vfio\/\d+"/,
    /"id": "backend-vfio",[^}]*"state": "ok"/,
    /"address": "0000:01:00\.0",\n +"driver": "vfio-pci"/,
  );
  await commands.expects(
    'usrdrv demo edu over vfio, by MSI',
    shell('usrdrv demo edu --backend vfio --msi'),
    /^through edu at 0000:01:00\.0, interrupts by MSI, on Linux 6\.1\.\S* by vfio$/m,
    /^came back +[0-9a-f]{64} +the same$/m,
  );
  await checksumExample(commands, guest, 'vfio');
  await ledExample(commands, guest, 'vfio');
  await commands.expects(
    'usrdrv unbind gives it back',
    shell(`usrdrv unbind ${EDU} --json && [ ! -e /sys/bus/pci/devices/${EDU}/driver ]`),
    /"from": "vfio-pci",\n +"to": null,\n +"done": true/,
  );
  return commands.checks;
}
