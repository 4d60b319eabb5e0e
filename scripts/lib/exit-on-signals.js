/** Makes the signals that ask for an end run the handlers of 'exit', which end what the script has started. */
for (const [signal, number] of [
  ['SIGINT', 2],
  ['SIGTERM', 15],
  ['SIGHUP', 1],
]) {
  process.once(signal, () => process.exit(128 + number));
}
