/**
 * Each installer, at its defaults, on each Node that is supported, where there is neither compiler nor python. Where npm has
 * installed it, what the README shows is run.
 */
import { cpSync, mkdirSync, readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { inParallel } from '../lib/in-parallel.js';
import { installNode, SUPPORTED } from '../lib/nodes.js';
import { getInstaller, installers } from './installers.js';
import { cleanEnv, run, runScript } from './process.js';
import { writeReadmeFiles } from './readme.js';
import { toollessPath } from './toolless.js';

/** What a replica's start says on a machine that is busy with installing. */
const SLOW_START = /is not ready after 5000 ms/;

/** What an installer says of install scripts, run or not: the package has none. */
const OF_SCRIPTS = /install script|build script|allow-scripts|approve|node-gyp|gyp (info|ERR)/i;

export async function checkInstallers(context) {
  const { cache, check } = context;
  const present = [];
  for (const installer of installers) {
    await check(`${installer.name} is there`, () => {
      present.push(getInstaller(installer, join(cache, 'installers')));
    });
  }
  const nodes = SUPPORTED.map((major) => ({
    major: Number(major),
    ...installNode(major, join(cache, major)),
  }));
  const pairs = nodes.flatMap((node) =>
    present.filter(({ since = 0 }) => node.major >= since).map((installer) => ({ installer, node })),
  );
  await inParallel(availableParallelism(), pairs, ({ installer, node }) =>
    check(`${installer.name} (${installer.version}) without a compiler, on Node ${node.version}`, () =>
      tryInstaller(context, present[0], installer, node),
    ),
  );
}

/** @returns what it said. */
async function tryInstaller({ root, temporary, tarball }, npm, installer, node) {
  const home = join(temporary, `${installer.name.replace(' ', '-')}-${node.version}`);
  const project = join(home, 'project');
  mkdirSync(project, { recursive: true });
  const [command] = installer.name.split(' ');
  const env = {
    ...withoutConfig(),
    HOME: home, // what has been configured on this machine is no default
    PATH: toollessPath(join(home, 'bin'), node.path, { npm: npm.path, [command]: installer.path }),
  };
  const type = (words) => run(join(home, 'bin', words[0]), words.slice(1), { cwd: project, env });
  await type(['npm', 'init', '-y']); // as the README says
  const { stdout, stderr } = await type([command, ...installer.add, tarball]);
  const said = `${stdout}\n${stderr}`;
  if (OF_SCRIPTS.test(said)) throw new Error(`it speaks of install scripts:\n${said}`);
  if (readdirSync(project).includes('node_modules')) checkNothingBuilt(project);
  if (command === 'npm') writeReadmeFiles(root, project);
  else cpSync(join(root, 'test', 'package', 'esm'), project, { recursive: true });
  const script = command === 'npm' ? ['drive.mjs'] : ['main.mjs', 'replica.mjs'];
  const [runner, ...args] = [...installer.node, ...script];
  await runScript(join(home, 'bin', runner), args, { cwd: project, env, expected: SLOW_START });
  return lastLine(stdout) || lastLine(stderr);
}

function checkNothingBuilt(project) {
  const built = readdirSync(project, { recursive: true }).filter((file) =>
    /(?:^|\/)build\/Release/.test(file),
  );
  if (built.length > 0) throw new Error(`something was built: ${built.join(', ')}`);
}

/** The environment without what configures an installer or Node. */
function withoutConfig() {
  const entries = Object.entries(cleanEnv()).filter(
    ([key]) => !/^(?:npm|pnpm|yarn|node|corepack)_/i.test(key),
  );
  // Only so that nothing is asked of the network: yarn 4 reports its use, and looks for a newer version.
  return { ...Object.fromEntries(entries), YARN_ENABLE_TELEMETRY: '0', NO_UPDATE_NOTIFIER: '1' };
}

function lastLine(text) {
  return text.trimEnd().split('\n').at(-1)?.trim() ?? '';
}
