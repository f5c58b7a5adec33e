import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Commands } from './commands.ts';
import type { NodeGuest } from './node-guest.ts';

/** Also in the guest. */
const FILE = '/bin/busybox';
/** Three blocks of edu's, the last of them not full. */
const LENGTH = 10_000;

/** examples/checksum sends a part of a file through edu and back: the hash of both is that of the bytes in the host's. */
export async function checksumExample(
  commands: Commands,
  guest: NodeGuest,
  backend: 'usrdrv' | 'vfio' | 'uio',
): Promise<void> {
  const hash = createHash('sha256').update(readFileSync(FILE).subarray(0, LENGTH)).digest('hex');
  await commands.expects(
    `examples/checksum sends ${LENGTH} bytes through edu by ${backend}, and the host’s hash comes back`,
    guest.shell(`
      /bin/busybox head -c ${LENGTH} ${FILE} >/tmp/sent
      exec /bin/node /usrdrv/bin/checksum.mjs --backend ${backend} /tmp/sent`),
    new RegExp(`^/tmp/sent: ${LENGTH} bytes through edu at 0000:01:00\\.0, on ${backend}$`, 'm'),
    new RegExp(`^sent +${hash}\nreceived +${hash}\nthe same$`, 'm'),
  );
}

/** QEMU has no LED port. */
export async function ledExample(
  commands: Commands,
  guest: NodeGuest,
  backend: 'usrdrv' | 'vfio' | 'uio',
): Promise<void> {
  await commands.refuses(
    `examples/led says that there is no LED port on ${backend}`,
    guest.shell(`/bin/node /usrdrv/bin/led.mjs --backend ${backend} 2>&1`),
    new RegExp(`^Error: there is no LED port on ${backend}$`, 'm'),
  );
}
