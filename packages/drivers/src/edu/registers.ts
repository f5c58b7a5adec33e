import { bit, bits, r32, registers, rw32, rw64, w32 } from '@usrdrv/core';

/**
 * The registers of QEMU's edu device, in BAR 0 (QEMU, docs/specs/edu). Below 0x80 each access is of 4 bytes; from there on
 * of 4 or 8.
 */
export const eduRegisters = registers({
  /** 0xRRrr00ed: major and minor version, and what says that this is an edu. */
  identification: r32(0x00, { fields: { edu: bits(15, 0), minor: bits(23, 16), major: bits(31, 24) } }),
  /** Reads as the inverse of what was written. */
  liveness: rw32(0x04),
  /** n goes in; n! (modulo 2^32) comes out as soon as `computing` is clear. */
  factorial: rw32(0x08),
  status: rw32(0x20, { fields: { computing: bit(0), interruptWhenDone: bit(7) } }),
  /** What the interrupt is for, {@link FACTORIAL_DONE} and {@link DMA_DONE}; the line is held until all are acknowledged. */
  interruptStatus: r32(0x24),
  /** Sets bits of the interrupt status: an interrupt on request. */
  interruptRaise: w32(0x60),
  /** Clears bits of the interrupt status. Has to be done with MSI too. */
  interruptAcknowledge: w32(0x64),
  /** A bus address or one in the device's own buffer, depending on the direction; so is the destination. */
  dmaSource: rw64(0x80),
  dmaDestination: rw64(0x88),
  /** Bytes. The device copies past the end of its buffer when it is told to. */
  dmaCount: rw32(0x90),
  /** While `run` is set, the DMA registers ignore what is written. */
  dmaCommand: rw32(0x98, {
    fields: { run: bit(0), direction: bits(1, 1, { toDevice: 0, fromDevice: 1 }), interruptWhenDone: bit(2) },
  }),
});

/** Bits of the interrupt status. */
export const FACTORIAL_DONE = 0x001;
export const DMA_DONE = 0x100;

/** The identification's low half. */
export const EDU = 0x00ed;

/** Where the device's buffer is in its own address space. */
export const BUFFER_ADDRESS = 0x40000;
/** Bytes. */
export const BUFFER_SIZE = 4096;
/**
 * Bytes of the buffer that a transfer may touch in every QEMU: versions up to 7.2 end with a hardware error where one
 * reaches the last byte.
 */
export const BLOCK_SIZE = BUFFER_SIZE - 1;

/** The bus addresses that the device reaches: 28 bits. */
export const DMA_MASK = 0xfff_ffffn;
