/** What requests are handed to by hand: an echo over the channel of node:child_process. */

process.on('message', (message) => process.send?.(message));
process.on('disconnect', () => process.exit());
