/** QEMU, docs/specs/edu.rst */
export const INTERRUPT_STATUS = 0x24;
export const RAISE = 0x60;
export const ACKNOWLEDGE = 0x64;
