// All that memfs takes of node:url.
export const URL = globalThis.URL;
