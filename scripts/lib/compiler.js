/** Knows what compiling the addon needs, and how to get it. Part of the package. */
import { accessSync, constants, existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** The command that installs a compiler on this system. */
function installCommand() {
  if (process.platform === 'darwin') return 'xcode-select --install';
  return existsSync('/etc/alpine-release') ? 'apk add python3 make g++' : 'apt-get install python3 make g++';
}

/** @returns what is missing and how to install it; undefined where all is there. */
export function missingCompiler() {
  const { env, platform } = process;
  const wanted = [
    ['python3', env.npm_config_python ?? env.NODE_GYP_FORCE_PYTHON ?? env.PYTHON, 'python3', 'python'],
    ['make', env.MAKE, 'make', 'gmake'],
    ['g++', env.CXX, ...(platform === 'darwin' ? ['clang++'] : ['g++', 'c++'])],
  ];
  const missing = wanted.filter(([, own, ...usual]) => {
    // A variable may hold arguments, or a launcher such as ccache, before the command.
    const [command] = own?.trim().split(/\s+/) ?? [];
    return !(command ? [command] : usual).some(hasCommand);
  });
  if (missing.length === 0) return undefined;
  const names = missing.map(([name]) => name);
  return `the addon is compiled here, and ${names.join(' and ')} ${names.length > 1 ? 'are' : 'is'} missing. Install: ${installCommand()}`;
}

/** @param command a name that is looked for on the PATH, or a path. */
export function hasCommand(command) {
  const places = command.includes('/') ? [''] : (process.env.PATH ?? '').split(delimiter);
  return places.some((place) => {
    try {
      accessSync(place === '' ? command : join(place, command), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}
