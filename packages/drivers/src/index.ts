export { Edu, type EduOptions, eduDriver, type OperationOptions } from './edu/index.ts';
export { Led, ledDriver } from './led/index.ts';
