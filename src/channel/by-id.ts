/**
 * What is unfinished, by ids that count up: a Map but for what it leaves behind. A Map of entries that come and go makes itself
 * a new table every time its places are used up, and the old table leads to the new one. Where the collector finds one of
 * them old, all that come later live until the next full collection, with everything in them: a primary with 1,024 calls
 * in flight was half as fast.
 */

/** At first; a power of two, as ever after. */
const PLACES = 64;

export class ById<Item extends { readonly id: number }> {
  /** The newer ones, each at its id modulo the length. */
  #places: (Item | undefined)[] = places(PLACES);
  /** Those few that take long, whose places were needed. */
  readonly #displaced = new Map<number, Item>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** @param item its id is larger than all before. */
  add(item: Item): void {
    let place = this.#placeOf(item.id);
    let holder = this.#places[place];
    if (holder !== undefined && this.#size > this.#places.length / 2) {
      this.#grow();
      place = this.#placeOf(item.id);
      holder = this.#places[place];
    }
    if (holder !== undefined) this.#displaced.set(holder.id, holder);
    this.#places[place] = item;
    this.#size++;
  }

  /** @param id any number. */
  get(id: number): Item | undefined {
    const item = this.#places[this.#placeOf(id)];
    if (item?.id === id) return item;
    return this.#displaced.size > 0 ? this.#displaced.get(id) : undefined;
  }

  has(item: Item): boolean {
    return this.get(item.id) === item;
  }

  /** @returns whether it was there. */
  delete(item: Item): boolean {
    if (!this.has(item)) return false;
    const place = this.#placeOf(item.id);
    if (this.#places[place] === item) this.#places[place] = undefined;
    else this.#displaced.delete(item.id);
    this.#size--;
    return true;
  }

  /** Takes all out, in the order of their ids. */
  takeAll(): Item[] {
    const newer = this.#places.filter((item) => item !== undefined);
    const all = [...this.#displaced.values(), ...newer].sort((a, b) => a.id - b.id);
    this.#places = places(PLACES);
    this.#displaced.clear();
    this.#size = 0;
    return all;
  }

  #placeOf(id: number): number {
    return id & (this.#places.length - 1);
  }

  #grow(): void {
    const held = this.#places;
    this.#places = places(2 * held.length);
    for (const item of held) if (item !== undefined) this.#places[this.#placeOf(item.id)] = item;
  }
}

function places(count: number): undefined[] {
  return new Array(count).fill(undefined);
}
