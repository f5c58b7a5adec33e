import type { DeviceModel, Timer } from '@usrdrv/emu';

// Registers of 32 bits, by offset.
const ADDRESS = 0x00; // where the bytes are: a bus address
const LENGTH = 0x04; // how many: 24 bits
const CONTROL = 0x08; // 1 starts; 0 stops, and acknowledges the interrupt
const STATUS = 0x0c; // read only: see below
const SUM = 0x10; // read only

const [IDLE, BUSY, DONE, FAILED] = [0, 1, 2, 3];

/** Adds up bytes in memory, which it reads by DMA, one in a nanosecond; then it interrupts. */
export const sumDevice: DeviceModel = {
  name: 'sum',
  config: { vendorId: 0x1234, deviceId: 0x5153, classCode: 0xff0000, interruptPin: 1 },
  bars: [{ size: 4096 }],

  attach(bus) {
    let address = 0;
    let length = 0;
    let status = IDLE;
    let sum = 0;
    let work: Timer | undefined;

    function finish() {
      const bytes = new Uint8Array(length);
      status = bus.dmaRead(address, bytes) ? DONE : FAILED;
      sum = bytes.reduce((total, byte) => total + byte, 0);
      bus.raiseInterrupt();
    }

    return {
      read(offset) {
        if (offset === STATUS) return status;
        return offset === SUM ? sum : 0;
      },
      write(offset, value) {
        if (offset === ADDRESS) address = value;
        if (offset === LENGTH) length = value & 0xff_ffff;
        if (offset !== CONTROL) return;
        work?.cancel();
        bus.lowerInterrupt();
        status = value === 1 ? BUSY : IDLE;
        if (status === BUSY) work = bus.after(length, finish);
      },
    };
  },
};
