import { describe, expect, test } from 'vitest';
import { SystemError } from '../errors.ts';
import type { FileView } from '../user-mode-kernel.ts';
import { ifThere, readNumber, readText, scanSysfs } from './sysfs.ts';

const DEVICES = '/sys/bus/pci/devices';
const [FIRST, SECOND] = ['0000:00:04.0', '0000:00:05.0'];

/** A machine's files: what each holds, or the error that reading it is. */
function view(files: Readonly<Record<string, string>>): FileView {
  const look = (path: string): string => {
    const text = files[path];
    if (text === undefined) throw Object.assign(new Error(path), { code: 'ENOENT' });
    if (/^E[A-Z]+$/.test(text)) throw Object.assign(new Error(path), { code: text });
    return text;
  };
  return {
    readdirSync: (path) => look(path).split(' '),
    readFileSync: (path) => new TextEncoder().encode(look(path)),
    existsSync: (path) => path in files,
  };
}

function functionFiles(address: string): Record<string, string> {
  const folder = `${DEVICES}/${address}`;
  return { [`${folder}/vendor`]: '0x1234\n', [`${folder}/device`]: '0x11e8\n', [`${folder}/class`]: '0x00ff00\n' };
}

describe('sysfs that cannot be read', () => {
  test('is the error of the file, with its path', () => {
    const files = view({ [DEVICES]: FIRST, ...functionFiles(FIRST), [`${DEVICES}/${FIRST}/class`]: 'EACCES' });
    expect(() => scanSysfs(files)).toThrow("EACCES: permission denied, open '/sys/bus/pci/devices/0000:00:04.0/class'");
    expect(() => scanSysfs(view({ [DEVICES]: 'EIO' }))).toThrow("EIO: i/o error, scandir '/sys/bus/pci/devices'");
    expect(() => scanSysfs(view({}))).toThrow("ENOENT: no such file or directory, scandir '/sys/bus/pci/devices'");
    expect(() => readText(view({}), '/sys/kernel')).toThrow(SystemError);
  });

  test('a number that is none is EIO, with what is there', () => {
    for (const text of ['', 'edu', '-1', '1.5', '0x']) {
      expect(() => readNumber(view({ '/n': `${text}\n` }), '/n')).toThrow(
        `EIO: i/o error, read '/n' ('${text}' is no number)`,
      );
    }
    expect(readNumber(view({ '/n': '0x10\n' }), '/n')).toBe(16);
  });

  test('a function that goes while it is looked at is left out; other errors are not', () => {
    const both = { [DEVICES]: `${SECOND} ${FIRST}`, ...functionFiles(FIRST), ...functionFiles(SECOND) };
    expect(scanSysfs(view(both)).map(({ address }) => `${address}`)).toEqual([FIRST, SECOND]);
    for (const gone of ['ENOENT', 'ENODEV']) {
      const files = view({ ...both, [`${DEVICES}/${FIRST}/device`]: gone });
      expect(scanSysfs(files).map(({ address }) => `${address}`)).toEqual([SECOND]);
    }
    expect(() => ifThere(() => readText(view({ '/n': 'EPERM' }), '/n'))).toThrow('EPERM');
    expect(ifThere(() => readText(view({}), '/n'))).toBeUndefined();
  });

  test('an error of another kind is passed on as it is', () => {
    const broken = {
      ...view({}),
      readFileSync: () => {
        throw new TypeError('broken');
      },
    };
    expect(() => readText(broken, '/n')).toThrow(TypeError);
  });
});
