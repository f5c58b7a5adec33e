/** Builds every package; takes a moment where nothing has changed. */
export function build(): void;
