/** Which storm: of kills among calls and requests, or, with `--clients`, of clients that do whatever they like. */

const at = process.argv.indexOf('--clients');
if (at >= 0) process.argv.splice(at, 1);
await import(at < 0 ? './storm.js' : './client-storm.js');
