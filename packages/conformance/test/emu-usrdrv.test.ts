import { conformanceOfEmu } from './emu.ts';

conformanceOfEmu('usrdrv-6.1');
