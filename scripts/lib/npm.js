/** Finds the npm to run: the one that runs us, where one does. */

/** @returns the command and its arguments. */
export function npmCommand(args) {
  const cli = process.env.npm_execpath ?? '';
  return cli.endsWith('npm-cli.js') ? [process.execPath, [cli, ...args]] : ['npm', args];
}
