export { Edu, type EduOptions, eduDriver, type OperationOptions } from './edu/index.ts';
