/** Room for guests: so many may run at once. Who asks first is served first. */
export class Places {
  readonly #waiting: { readonly wanted: number; readonly enter: () => void }[] = [];
  #free: number;

  constructor(private readonly all: number) {
    this.#free = all;
  }

  /** Does something while nobody else has a place. */
  useAll<T>(work: () => Promise<T>): Promise<T> {
    return this.use(work, this.all);
  }

  /** Does something as soon as there is a place for it, or as many as it wants. */
  async use<T>(work: () => Promise<T>, wanted = 1): Promise<T> {
    await new Promise<void>((enter) => {
      this.#waiting.push({ wanted, enter });
      this.#admit();
    });
    try {
      return await work();
    } finally {
      this.#free += wanted;
      this.#admit();
    }
  }

  #admit(): void {
    for (let next = this.#waiting[0]; next !== undefined && next.wanted <= this.#free; next = this.#waiting[0]) {
      this.#waiting.shift();
      this.#free -= next.wanted;
      next.enter();
    }
  }
}
