/** A project that uses the package from ESM, CommonJS, TypeScript and bundles. */
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';
import { npmCommand } from '../lib/npm.js';
import { cleanEnv, run, runScript } from './process.js';
import { versionOf } from './repository.js';
import { toollessPath } from './toolless.js';

export async function checkProject({ root, temporary, tarball, check }) {
  const project = join(temporary, 'project');
  const runHere = (args, replica) =>
    runScript(process.execPath, [...args, join(project, replica)], { cwd: project });
  const runFile = (script, replica) => runHere([join(project, script)], replica);

  const installed = await check('npm install in a fresh project, where there is no compiler', async () => {
    mkdirSync(project);
    for (const directory of ['esm', 'cjs', 'both', 'ts', 'express']) {
      cpSync(join(root, 'test', 'package', directory), join(project, directory), { recursive: true });
    }
    writeFileSync(join(project, 'package.json'), JSON.stringify({ name: 'sample', private: true }));
    const sameAsHere = ['typescript', '@types/node', 'express'].map((name) => `${name}@${versionOf(name)}`);
    const args = ['install', '--no-audit', '--no-fund', '--prefer-offline', tarball, ...sameAsHere];
    const [npm, npmArgs] = npmCommand(args);
    const path = toollessPath(join(temporary, 'no-tools'), process.execPath);
    await run(npm, npmArgs, {
      cwd: project,
      env: cleanEnv(npm === process.execPath ? { PATH: path } : {}),
    });
  });
  if (installed === undefined) return;

  const replicas = { ESM: 'esm/replica.mjs', CommonJS: 'cjs/replica.cjs' };
  for (const [kind, replica] of Object.entries(replicas)) {
    await check(`an ESM script with ${kind} replicas`, () => runFile('esm/main.mjs', replica));
    await check(`a CommonJS script with ${kind} replicas`, () => runFile('cjs/main.cjs', replica));
  }
  await check(
    'require() and import of both faces in one process, in the folders that pnpm makes',
    async () => {
      const folder = join(project, 'pnpm');
      const store = join('.pnpm', 'ballermann@0.0.0', 'node_modules', 'ballermann');
      cpSync(join(project, 'both'), folder, { recursive: true });
      cpSync(join(project, 'node_modules', 'ballermann'), join(folder, 'node_modules', store), {
        recursive: true,
      });
      symlinkSync(store, join(folder, 'node_modules', 'ballermann'));
      await runFile('pnpm/main.cjs', 'pnpm/replica.cjs');
    },
  );
  for (const [format, ending] of [
    ['esm', 'mjs'],
    ['cjs', 'cjs'],
  ]) {
    await check(`a bundled script (${format}) with the package external, and bundled replicas`, async () => {
      const [main, replica] = ['main', 'replica'].map((name) => `${format}/${name}.${ending}`);
      await bundle(project, main, format, ['ballermann']);
      await bundle(project, replica, format, []);
      await runFile(`bundled/${main}`, `bundled/${replica}`);
    });
  }
  await check('a script in node -e', () =>
    runHere(['-e', `import(${JSON.stringify(join(project, 'esm', 'main.mjs'))})`, 'main'], replicas.ESM),
  );
  await check('npx ballermann run, status and stop, with an express server', () => {
    const [npx, npxArgs] = npmCommand(['exec', '--no', '--']);
    const script = join(project, 'express', 'run.mjs');
    return runScript(process.execPath, [script, npx, ...npxArgs], { cwd: project, env: cleanEnv() });
  });
  const compiler = join(project, 'node_modules', 'typescript', 'bin', 'tsc');
  await check('the files of docs/typescript.md compile', () => {
    const folder = join(project, 'page');
    mkdirSync(folder);
    const page = readFileSync(join(root, 'docs', 'typescript.md'), 'utf8');
    const blocks = [...page.matchAll(/^```ts (\S+)\n([\s\S]*?)^```$/gm)];
    for (const [, name, code] of blocks) writeFileSync(join(folder, name), code);
    const flags = ['--noEmit', '--strict', '--module', 'nodenext', '--allowImportingTsExtensions'];
    const files = blocks.map(([, name]) => join('page', name));
    return run(process.execPath, [compiler, ...flags, '--types', 'node', ...files], { cwd: project });
  });
  const built = await check('a strict TypeScript project compiles', () =>
    run(process.execPath, [compiler, '-p', 'ts'], { cwd: project }),
  );
  if (built === undefined) return;
  for (const [kind, replica] of Object.entries({ ...replicas, TypeScript: 'ts/out/replica.mjs' })) {
    await check(`a TypeScript project with ${kind} replicas`, () => runFile('ts/out/main.mjs', replica));
  }
}

function bundle(project, script, format, external) {
  return build({
    entryPoints: [join(project, script)],
    outfile: join(project, 'bundled', script),
    format,
    external,
    bundle: true,
    platform: 'node',
    logLevel: 'silent',
  });
}
