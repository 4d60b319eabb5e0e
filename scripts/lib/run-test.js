/**
 * Runs a test file with its source maps, and whatever it starts without: as a flag of Node's, each replica would have it as well, and
 * read all maps as it starts.
 */
import { pathToFileURL } from 'node:url';

process.setSourceMapsEnabled(true);
process.argv.splice(1, 1); // as if Node had been given the file
await import(pathToFileURL(process.argv[1]));
