export * from './edu/index.ts';
