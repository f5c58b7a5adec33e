/**
 * In the guest: the conformance suite on the uio backend, over the sample driver uio_edu. Prints a row for each rule as JSON,
 * as `usrdrv conformance --json` does.
 */
import { runConformance } from '@usrdrv/conformance';
import { linuxBed } from '@usrdrv/native/bench';

const rows = await runConformance({
  ...linuxBed('uio', { driver: 'uio_edu' }),
  onProgress: (_done, _all, name) => process.stderr.write(`${name}\n`),
});
process.stdout.write(JSON.stringify(rows), () => process.exit());
