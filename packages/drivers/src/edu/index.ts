export * from './driver.ts';
export * from './echo.ts';
export * from './registers.ts';
