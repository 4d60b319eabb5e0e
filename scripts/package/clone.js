/** A clone on a machine without a compiler: npm start and npm test say so, before node-gyp does. */
import { cpSync, mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { cleanEnv, run } from './process.js';
import { toollessPath } from './toolless.js';

export async function checkClone({ root, temporary, check }) {
  await check('a clone without a compiler says what to install, and nothing of node-gyp', async () => {
    const clone = join(temporary, 'clone');
    mkdirSync(clone);
    for (const part of ['package.json', 'package-lock.json', 'binding.gyp', 'native', 'scripts'])
      cpSync(join(root, part), join(clone, part), { recursive: true });
    symlinkSync(join(root, 'node_modules'), join(clone, 'node_modules'));
    const PATH = toollessPath(join(temporary, 'clone-tools'), process.execPath);
    const error = await run(process.execPath, ['scripts/setup.js'], {
      cwd: clone,
      env: cleanEnv({ PATH }),
    }).then(
      () => 'nothing',
      ({ message }) => message,
    );
    if (
      !/setup: the addon is compiled here, .*Install: a.*python3 make g\+\+/.test(error) ||
      /gyp/.test(error)
    )
      throw new Error(`it said:\n${error}`);
  });
}
