/** Cuts what comes over a connection into lines, none longer than it may be. */

const NEWLINE = 10;
const FIRST_BYTES = 256;

export class Lines {
  readonly #maxBytes: number;
  /** The line that has begun: copied, so that a byte at a time costs no more than all at once. */
  #begun = Buffer.allocUnsafe(FIRST_BYTES);
  #length = 0;

  /** @param maxBytes of a line, without its end. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Whether part of a line is there. */
  get hasBegun(): boolean {
    return this.#length > 0;
  }

  /** Gives each line that is complete now, without its end. @throws RangeError where one is too long: nothing can follow. */
  *add(bytes: Buffer): Generator<string> {
    let start = 0;
    for (let end = bytes.indexOf(NEWLINE); end !== -1; end = bytes.indexOf(NEWLINE, start)) {
      this.#keep(bytes.subarray(start, end));
      const line = this.#begun.toString('utf8', 0, this.#length);
      this.#length = 0;
      start = end + 1;
      yield line;
    }
    this.#keep(bytes.subarray(start));
  }

  #keep(part: Buffer): void {
    const length = this.#length + part.length;
    if (length > this.#maxBytes) throw new RangeError(`a line is longer than ${this.#maxBytes} bytes`);
    if (length > this.#begun.length) {
      const larger = Buffer.allocUnsafe(Math.min(2 * length, this.#maxBytes));
      this.#begun.copy(larger, 0, 0, this.#length);
      this.#begun = larger;
    }
    part.copy(this.#begun, this.#length);
    this.#length = length;
  }
}
