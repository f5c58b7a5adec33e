export * from './driver.ts';
export * from './registers.ts';
