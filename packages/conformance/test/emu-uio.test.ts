import { describe } from 'vitest';
import { conformanceOfEmu } from './emu.ts';

describe('over UIO', () => conformanceOfEmu('usrdrv-6.1', 'uio'));
describe('over IIO', () => conformanceOfEmu('usrdrv-6.1', 'iio'));
