/** Styles for text on that stream: real on a terminal, none in a pipe or where NO_COLOR is set (no-color.org). */
export interface Style {
  bold(text: string): string;
  dim(text: string): string;
  green(text: string): string;
  red(text: string): string;
}

export function styleOf(stream: { readonly isTTY?: boolean }): Style {
  const { NO_COLOR, TERM } = process.env;
  const colored = stream.isTTY === true && !NO_COLOR && TERM !== 'dumb';
  const sgr = (on: number, off: number) => (text: string) => (colored ? `\x1b[${on}m${text}\x1b[${off}m` : text);
  return { bold: sgr(1, 22), dim: sgr(2, 22), green: sgr(32, 39), red: sgr(31, 39) };
}

/** How far something long has come. Off a terminal it shows nothing. */
export interface Progress {
  /**
   * @param fraction 0 to 1
   * @param text what stands beside the bar; asked for only when it is drawn
   */
  show(fraction: number, text: () => string): void;
  /** Takes it off the terminal. */
  end(): void;
}

const BAR_CELLS = 30;
const REDRAW_MS = 50;

/** Where a bar is drawn. */
interface Terminal {
  readonly isTTY?: boolean;
  write(text: string): boolean;
}

/** A bar, redrawn in place. */
export function progress(stream: Terminal = process.stderr): Progress {
  if (!stream.isTTY) return { show: () => undefined, end: () => undefined };
  let drawn = 0;
  return {
    show(fraction, text) {
      const now = performance.now();
      if (drawn > 0 && now - drawn < REDRAW_MS) return;
      drawn = now;
      const cells = Math.round(Math.min(1, fraction) * BAR_CELLS);
      const bar = '█'.repeat(cells) + '░'.repeat(BAR_CELLS - cells);
      stream.write(`\r${bar} ${String(Math.floor(fraction * 100)).padStart(3)} %  ${text()}\x1b[K`);
    },
    end() {
      if (drawn > 0) stream.write('\r\x1b[K');
    },
  };
}
