import { bindDriver, type KernelProfile, SystemError } from '@usrdrv/core';
import { type ChoiceTag, calm, emulated, LedDevice, type Oracle, type Scenario } from '@usrdrv/emu';
import { faultPlans, scenarioProperty } from '@usrdrv/emu/testing';
import '@usrdrv/emu/testing/vitest';
import fc from 'fast-check';
import { afterEach, describe, expect, test } from 'vitest';
import { ledDriver } from './driver.ts';

const SLOT = '0000:00:04.0';

const open: Disposable[] = [];
afterEach(() => {
  for (const one of open.splice(0).reverse()) one[Symbol.dispose]();
});

async function start({ kernel = 'usrdrv-6.1', oracle = calm }: { kernel?: KernelProfile; oracle?: Oracle } = {}) {
  const device = new LedDevice();
  const backend = emulated({ kernel, oracle, devices: [device] });
  open.push(backend);
  const { bound, failed } = await bindDriver(backend, ledDriver);
  const [binding] = bound;
  if (binding === undefined) throw failed[0]?.error;
  return { device, backend, binding, led: binding.instance, now: () => backend.machine.clock.now / 1e6 };
}

/** Chooses 1 for the nth question of that kind (from 0), and is calm otherwise. */
function fault(tag: ChoiceTag, nth = 0): Oracle & { asked: number } {
  return {
    asked: 0,
    asksAtSteps: false,
    choose(_n, asked) {
      return asked === tag && this.asked++ === nth ? 1 : 0;
    },
  };
}

function outcome(promise: Promise<unknown>): Promise<unknown> {
  return promise.catch((error) => (error instanceof SystemError ? error.code : String(error)));
}

describe.each(['usrdrv-6.1', 'chubb-2.6.11'] as const)('on %s', (kernel) => {
  test('LEDs are lit, read back and turned over', async () => {
    const { led, device } = await start({ kernel });
    led.light(0b1010);
    expect([led.lit, device.leds]).toEqual([0b1010, 0b1010]);
    led.toggle(0b0110);
    expect([led.lit, device.leds]).toEqual([0b1100, 0b1100]);
    led.light(0xff);
    expect(led.lit).toBe(0xff);
    expect(device.errors).toEqual([]);
  });

  test('a press is taken once, by one interrupt; without one the time is up', async () => {
    const { led, device, backend, now } = await start({ kernel });
    const waiting = led.press();
    await backend.clock.sleep(5);
    device.press();
    expect(await waiting).toBe(true);
    expect([led.held, led.interrupts]).toEqual([true, 1]);
    device.release();
    expect(led.held).toBe(false);
    const before = now();
    expect(await led.press({ timeoutMs: 10 })).toBe(false);
    expect(now() - before).toBeGreaterThanOrEqual(10);
    expect(now() - before).toBeLessThan(11);
  });

  test('a press that came before is not lost', async () => {
    const { led, device } = await start({ kernel });
    device.press();
    device.release();
    expect(await led.press({ timeoutMs: 0 })).toBe(true);
    expect(await led.press({ timeoutMs: 0 })).toBe(false);
  });

  test('an interrupt that got lost costs time, not the press', async () => {
    const { led, device, backend } = await start({ kernel, oracle: fault('interrupt.lost') });
    const waiting = led.press({ timeoutMs: 100 });
    await backend.clock.sleep(5);
    device.press();
    expect(await waiting).toBe(true);
  });

  test('P13 a line that is stuck is no press, and costs no processor', async () => {
    const { led, backend } = await start({ kernel });
    backend.machine.line(16).raise({});
    backend.machine.kick();
    expect(await led.press({ timeoutMs: 100 })).toBe(false);
    expect(led.interrupts).toBeLessThan(150);
  });

  test('a wait that is called off rejects with the reason, and takes nothing', async () => {
    const { led, device } = await start({ kernel });
    const controller = new AbortController();
    const waiting = led.press({ signal: controller.signal });
    controller.abort('enough');
    await expect(waiting).rejects.toBe('enough');
    device.press();
    expect(await led.press()).toBe(true);
  });

  test('removed, it is dark and quiet, and what waits is told', async () => {
    const { led, device, binding, backend } = await start({ kernel });
    led.light(0xff);
    const waiting = outcome(led.press());
    await backend.clock.sleep(1);
    binding.remove();
    expect(await waiting).toBe('ECANCELED');
    expect(device.leds).toBe(0);
    device.press();
    expect(backend.machine.line(16).asserted).toBe(false);
    expect(() => led.lit).toThrow(expect.objectContaining({ code: 'EBADF' }));
    expect(await outcome(led.press())).toBe('EBADF');
    const again = await bindDriver(backend, ledDriver);
    expect(await again.bound[0]?.instance.press({ timeoutMs: 1 })).toBe(false);
  });

  test('wherever the device is pulled out, nothing but ENODEV comes of it, and it works again after a plug', async () => {
    for (let nth = 0; ; nth++) {
      const oracle = fault('device.remove', nth);
      const device = new LedDevice();
      using backend = emulated({ kernel, oracle, devices: [device] });
      const use = async () => {
        using bindings = await bindDriver(backend, ledDriver);
        const [binding] = bindings.bound;
        if (binding === undefined) throw bindings.failed[0]?.error ?? new SystemError('ENODEV', 'scan');
        const { instance: led } = binding;
        led.toggle(0x81);
        device.press();
        return [led.lit, await led.press({ timeoutMs: 5 }), led.held, await led.press({ timeoutMs: 5 })];
      };
      const result = await outcome(use());
      if (oracle.asked <= nth) {
        expect(result).toEqual([0x81, true, true, false]);
        break;
      }
      // Pulled out by the very last accesses, it has done all that it was asked for; before the first, it is not there.
      if (!Array.isArray(result)) expect(['ENODEV', 'ENOENT'], `access ${nth}`).toContain(result);
      if (backend.machine.pci.function(SLOT) === undefined) backend.machine.pci.plug(device, { address: SLOT });
      expect(await outcome(use()), `after a plug, access ${nth}`).toEqual([0x81, true, true, false]);
    }
  });
});

describe('bad input', () => {
  test.each([-1, 256, 1.5, Number.NaN, '1' as never])('light(%s) is a RangeError, and lights nothing', async (leds) => {
    const { led, device } = await start();
    expect(() => led.light(leds)).toThrow(RangeError);
    expect(device.leds).toBe(0);
  });

  test.each([-1, Number.NaN, '10' as never])('a timeout of %s is a RangeError', async (timeoutMs) => {
    const { led } = await start();
    await expect(led.press({ timeoutMs })).rejects.toBeInstanceOf(RangeError);
  });
});

const presses: Scenario = {
  name: 'led-presses',
  async run(powerOn) {
    const device = new LedDevice();
    const backend = powerOn({ devices: [device] });
    const bindings = await bindDriver(backend, ledDriver);
    for (const { error } of bindings.failed) expect(error).toBeInstanceOf(SystemError);
    for (const { instance: led } of bindings.bound) {
      try {
        led.light(1);
        device.press();
        expect(await led.press({ timeoutMs: 50 })).toBe(true);
        expect(await led.press({ timeoutMs: 50 })).toBe(false);
      } catch (error) {
        if (!(error instanceof SystemError)) throw error;
      }
    }
    bindings.remove();
    backend.close();
    expect(device.errors).toEqual([]);
    expect(backend.machine).toHaveNoKernelWarnings();
    expect(backend.machine).toHaveReleasedEverything();
  },
};

test('whatever goes wrong, a press is taken once or an error says why not, and nothing stays behind', async () => {
  await fc.assert(scenarioProperty(presses, { under: faultPlans() }), { numRuns: 200 });
});
