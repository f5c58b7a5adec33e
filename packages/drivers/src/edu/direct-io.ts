import { type BusAddress, DirectIo, type DirectIoDevice, type DirectIoWait } from '@usrdrv/core';

/** What direct I/O takes of the driver: the steps of one DMA. */
export interface EduDma extends Pick<DirectIoDevice, 'name' | 'clock' | 'dma' | 'stop'> {
  readonly mutex: NonNullable<DirectIoDevice['mutex']>;
  /** Bytes of the device's buffer that are used. */
  readonly bufferSize: number;
  /** Puts a device that was stopped back on the bus, once it is through with what was called off. */
  ready(o: DirectIoWait): Promise<void>;
  begin(direction: 'toDevice' | 'fromDevice', address: BusAddress, length: number, offset: number): void;
  /** Waits for an interrupt or the time; whether the device is done then. */
  finished(o: DirectIoWait): Promise<boolean>;
}

/**
 * edu's side of direct I/O. The device moves one run of addresses at a time, and its buffer is all that it has: a chunk ends
 * where the buffer does, and the next position is its start again.
 */
export function eduDirectIo(edu: EduDma): DirectIo {
  const { name, clock, dma, mutex, bufferSize } = edu;
  let underWay = 0;
  return new DirectIo({
    name,
    clock,
    dma,
    mutex,
    maxSegments: 1,
    maxTransfer: (position) => bufferSize - (position % bufferSize),
    async start({ direction, position, segments, length }, o) {
      await edu.ready(o);
      underWay = length;
      const way = direction === 'to-device' ? 'toDevice' : 'fromDevice';
      for (const { busAddress } of segments) edu.begin(way, busAddress, length, position % bufferSize);
    },
    wait: async (o) => ((await edu.finished(o)) ? underWay : undefined),
    stop: () => edu.stop(),
  });
}
