/** Checks the layout of the C++ sources with clang-format, or with `--write` puts it right. */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const mode = process.argv.includes('--write') ? ['-i'] : ['--dry-run', '-Werror'];

const files = ['native', join('test', 'native')]
  .filter((directory) => existsSync(join(root, directory)))
  .flatMap((directory) =>
    readdirSync(join(root, directory), { recursive: true }).map((file) => join(directory, file)),
  )
  .filter((file) => /\.(?:cc|hpp|h)$/.test(file));

const result = spawnSync('clang-format', [...mode, '--style=file', ...files], {
  cwd: root,
  stdio: 'inherit',
});
if (result.error?.code === 'ENOENT') {
  console.error(
    'clang-format is missing. Debian and Ubuntu: apt-get install clang-format. macOS: brew install clang-format.',
  );
}
process.exitCode = result.status ?? 1;
