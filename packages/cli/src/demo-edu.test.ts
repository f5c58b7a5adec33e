import { EduDevice, emulated } from '@usrdrv/emu';
import { afterEach, expect, test, vi } from 'vitest';
import type { Host } from './backends.ts';
import { demoEdu } from './demo-edu.ts';

afterEach(() => vi.restoreAllMocks());

/** An edu whose memory has a bit that does not hold. */
class FaultyEdu extends EduDevice {
  override read64(offset: number): bigint {
    this.buffer[7] = (this.buffer[7] ?? 0) ^ 1;
    return super.read64(offset);
  }
}

test('exits 1 where something else came back, and says so', async () => {
  const backend = emulated({ devices: [new FaultyEdu()] });
  const host: Host = {
    backend,
    files: backend.machine.kernel.files,
    description: 'on a faulty machine',
    [Symbol.dispose]: () => backend.close(),
  };
  const written: string[] = [];
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => written.push(String(text)) > 0);
  using _ = host;
  expect(await demoEdu(host, {})).toBe(1);
  expect(written.join('')).toContain('not the same');
});
