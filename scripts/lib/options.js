/** Reads what the options of a command line give. */

/** The number that an option gives. */
export function positive(name, text) {
  const value = Number(text);
  if (!(value > 0 && Number.isFinite(value)))
    throw new RangeError(`--${name}: expected a number above 0, got ${text}`);
  return value;
}
