export * from './address.ts';
export * from './backend.ts';
export * from './bars.ts';
export * from './capabilities.ts';
export * from './config-space.ts';
export * from './direct-io.ts';
export * from './dma.ts';
export * from './driver.ts';
export * from './errors.ts';
export * from './irq.ts';
export * from './mmio.ts';
export * from './mutex.ts';
export * from './pci.ts';
export * from './pci-address.ts';
export type {
  BoundRegister,
  ReadOnlyRegister,
  ReadWriteRegister,
  Registers,
  WriteOneToClearRegister,
  WriteOnlyRegister,
} from './register-access.ts';
export {
  type BitField,
  bit,
  bits,
  decodeFields,
  type EnumField,
  encodeFields,
  type Field,
  type Fields,
  type FieldValue,
  type FieldValues,
  type Names,
  type NumberField,
} from './register-fields.ts';
export * from './registers.ts';
export { uioBackend } from './uio-backend/uio-backend.ts';
export { userModeBackend } from './user-mode-backend/user-mode-backend.ts';
export * from './user-mode-kernel.ts';
