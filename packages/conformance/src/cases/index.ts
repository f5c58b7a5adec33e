import type { Case } from '../case.ts';
import { badInputCases } from './bad-input.ts';
import { dmaCases } from './dma.ts';
import { dmaDefectCases } from './dma-defects.ts';
import { driverDmaCases } from './driver-dma.ts';
import { driverIrqCases } from './driver-irq.ts';
import { driverMmioCases } from './driver-mmio.ts';
import { driverPciCases } from './driver-pci.ts';
import { epollCases } from './epoll.ts';
import { interruptCoreCases } from './interrupt-core.ts';
import { interruptFlowCases } from './interrupt-flow.ts';
import { irqDefectCases } from './irq-defects.ts';
import { irqLineCases } from './irq-line.ts';
import { irqOpenCases } from './irq-open.ts';
import { irqReadCases } from './irq-read.ts';
import { pollCases } from './poll.ts';
import { randomProgramCases } from './random-programs.ts';
import { usrPciDefectCases } from './usr-pci-defects.ts';
import { usrPciMapCases } from './usr-pci-map.ts';
import { usrPciMsiCases } from './usr-pci-msi.ts';
import { usrPciOpenCases } from './usr-pci-open.ts';

/** Every case there is. */
export const CASES: readonly Case[] = [
  ...interruptCoreCases,
  ...interruptFlowCases,
  ...irqReadCases,
  ...irqOpenCases,
  ...irqLineCases,
  ...pollCases,
  ...epollCases,
  ...irqDefectCases,
  ...usrPciOpenCases,
  ...usrPciMapCases,
  ...usrPciMsiCases,
  ...usrPciDefectCases,
  ...dmaDefectCases,
  ...dmaCases,
  ...badInputCases,
  ...driverPciCases,
  ...driverMmioCases,
  ...driverIrqCases,
  ...driverDmaCases.map((each): Case => ({ ...each, needs: [...(each.needs ?? []), 'dma'] })),
  ...randomProgramCases,
];
