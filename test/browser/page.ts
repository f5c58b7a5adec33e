// What the browser test runs: the packages that promise to run in a browser, loaded and used there.
import * as conformance from '@usrdrv/conformance';
import * as core from '@usrdrv/core';
import * as drivers from '@usrdrv/drivers';
import * as edu from '@usrdrv/drivers/edu';
import * as emu from '@usrdrv/emu';

Object.assign(globalThis, {
  result: {
    loaded: Object.entries({ conformance, core, drivers, edu, emu }).map(([name]) => name),
    address: core.PciAddress.parse('0000:00:04.0').toString(),
  },
});
