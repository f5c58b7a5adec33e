/** What a suite has to say: shown at once when it is its turn, and kept until then. */
export class Report {
  #kept: string[] | undefined = [];

  print(text: string): void {
    if (this.#kept === undefined) console.log(text);
    else this.#kept.push(text);
  }

  /** It is its turn. */
  show(): void {
    for (const text of this.#kept ?? []) console.log(text);
    this.#kept = undefined;
  }
}
