import { describe, expect, test } from 'vitest';
import { EduDevice, emulated, faults, runScenario, ScenarioFailure } from '../index.ts';
import './vitest.ts';

const SLOT = '0000:00:04.0';

function boot(oracle = faults([])) {
  const backend = emulated({ devices: [new EduDevice()], oracle });
  const device = backend.pci.open(SLOT, { dmaMask: 0xfff_ffffn });
  return { backend, device, machine: backend.machine };
}

/** What an expectation that must fail says. */
function text(expectation: () => void): string {
  try {
    expectation();
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  throw new Error('it did not fail');
}

describe('toHaveNoDmaReports', () => {
  test('passes while nothing is misused', () => {
    const { machine, device } = boot();
    device.dma.map(device.dma.allocUser(4096), 'to-device').unmap();
    expect(machine).toHaveNoDmaReports();
    expect(text(() => expect(machine).not.toHaveNoDmaReports())).toContain('but it has none');
  });

  test('M6 fails with the misuse, the mapping, who made it, and the run', () => {
    const { machine, device } = boot(faults([{ tag: 'dma.merge' }]));
    const memory = device.dma.allocUser(8192);
    const mapping = device.dma.map(memory, 'from-device');
    memory.bytes[0] = 1;
    mapping.unmap();
    expect(machine).not.toHaveNoDmaReports();
    const message = text(() => expect(machine).toHaveNoDmaReports());
    expect(message).toMatch(
      /^expected the machine to have no DMA reports, but it has 1:\n {2}- DMA-API: 0000:00:04.0: cpu access: /,
    );
    expect(message).toMatch(/\n {6}mapped at .*vitest[.]test[.]ts/);
    expect(message).toMatch(/\n\nthis run: emu1:usrdrv-6[.]1:machine:[1-9a-z]+$/);
  });
});

describe('toHaveNoKernelWarnings', () => {
  test('I4 fails with what the kernel complained about', () => {
    const { machine, device } = boot();
    const irq = device.irq();
    expect(machine).toHaveNoKernelWarnings();
    machine.irqs.enable(16);
    expect(text(() => expect(machine).toHaveNoKernelWarnings())).toContain('  - Unbalanced enable for IRQ 16');
    irq.close();
  });
});

describe('toHaveReleasedEverything', () => {
  test('U2 passes after close', () => {
    const { machine, backend, device } = boot();
    device.irq();
    device.dma.allocConsistent(4096);
    device.dma.map(device.dma.allocUser(8192), 'to-device');
    backend.close();
    expect(machine).toHaveReleasedEverything();
  });

  test('fails with each thing that is held', () => {
    const { machine, device } = boot();
    device.irq();
    device.dma.map(device.dma.allocUser(8192), 'to-device');
    const message = text(() => expect(machine).toHaveReleasedEverything());
    expect(message).toMatch(/\n {2}- \d open files\n/);
    expect(message).toContain('\n  - irq 16, claimed by node');
    expect(message).toContain('\n  - 2 pages pinned for DMA\n');
    expect(message).toMatch(/\n {2}- \d+ page frames allocated\n/);
    expect(message).toContain('\n  - bus mastering of 0000:00:04.0 (edu)\n');
  });
});

test('within a scenario the token is the scenario’s, once more in the failure', async () => {
  const scenario = {
    name: 'leaves-open',
    run: async (powerOn: typeof emulated) => expect(powerOn().machine).not.toHaveReleasedEverything(),
  };
  const failure = await runScenario(scenario).catch((error) => error);
  expect(failure).toBeInstanceOf(ScenarioFailure);
  expect(failure.message.match(/emu1:usrdrv-6[.]1:leaves-open:0/g)).toHaveLength(2);
});

test('they are for machines only', () => {
  expect(text(() => expect({}).toHaveNoDmaReports())).toContain('expect(backend.machine)');
});
