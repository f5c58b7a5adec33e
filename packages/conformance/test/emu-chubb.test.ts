import { conformanceOfEmu } from './emu.ts';

conformanceOfEmu('chubb-2.6.11');
