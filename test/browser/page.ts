// What the browser test has in the browser.
import { conformanceRows, eduDemo } from './demo.ts';

const demo = { conformanceRows, eduDemo };

declare global {
  var inPage: typeof demo;
}
globalThis.inPage = demo;
