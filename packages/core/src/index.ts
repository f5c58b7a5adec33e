export * from './address.ts';
export * from './backend.ts';
export * from './dma.ts';
export * from './errors.ts';
export * from './irq.ts';
export * from './mmio.ts';
export * from './pci.ts';
export * from './user-mode-kernel.ts';
